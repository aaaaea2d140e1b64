"""The installed node as a process, without a launch system."""

import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from ament_index_python.packages import get_package_prefix, get_package_share_directory

EXECUTABLES = Path(get_package_prefix("ettrack")) / "lib" / "ettrack"
SHARE = Path(get_package_share_directory("ettrack"))
LARGE_IMAGES = SHARE / "config" / "fastdds_large_images.xml"
PATIENCE = 30.0


class Node:
    """A process of ettrack_node with parameters, a namespace and remappings {topic: name}. `arguments` come last."""

    EXECUTABLE = "ettrack_node"
    READY = "waiting for images on"

    def __init__(self, *arguments, parameters=None, namespace="", remappings=None, environment=None, wait=True):
        line = [EXECUTABLES / self.EXECUTABLE, "--ros-args", "-r", f"__ns:=/{namespace}"]
        for topic, name in (remappings or {}).items():
            line += ["-r", f"{topic}:={name}"]
        for name, value in (parameters or {}).items():
            line += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115, it lives as long as the process
        self.process = subprocess.Popen(
            [str(word) for word in (*line, *arguments)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        if wait:
            self.wait_for(self.READY)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """Ends the process. A test that has passed so far fails if the exit code is not 0."""
        code = self.stop()
        if kind is None:
            assert code == 0, f"exit code {code} of the node, which said:\n{self.text()}"

    def text(self):
        """Returns the output of the process so far."""
        self.log.seek(0)
        return self.log.read()

    def wait_for(self, words, patience=PATIENCE):
        """Waits until the output contains these words."""
        end = time.monotonic() + patience
        while words not in self.text():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < end, f"{words!r} not in {patience} s:\n{self.text()}"
            time.sleep(0.02)

    def stop(self, number=signal.SIGINT, patience=PATIENCE):
        """Sends a signal unless the process has ended. Returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"not ended {patience} s after {number!r}:\n{self.text()}") from None

    def takes(self, *signals):
        """Returns whether the process handles these signals, or blocks them until it can handle them."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        masks = [int(re.search(rf"^{key}:\s+(\w+)", text, re.M)[1], 16) for key in ("SigCgt", "SigBlk")]
        return all((masks[0] | masks[1]) >> (number - 1) & 1 for number in signals)

    def facts(self):
        """Returns the resident memory in MiB and the number of threads."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        number = {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) for key in ("VmRSS", "Threads")}
        return number["VmRSS"] / 1024, number["Threads"]


class Follower(Node):
    """A process of ettrack_follower."""

    EXECUTABLE = "ettrack_follower"
    READY = "waiting for a target on"


def run_command_line(*arguments):
    """Runs the installed `ettrack` and returns its standard output."""
    done = subprocess.run([EXECUTABLES / "ettrack", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"ettrack {' '.join(map(str, arguments))}: {done.stderr}"
    return done.stdout
