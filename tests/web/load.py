"""Load test of the page: measures how much many viewers slow the tracker down, and whether its memory grows.

python3 tests/web/load.py target/release/ettrack --minutes 10

Serves a rendered flight at 30 frames per second. Viewers connect as the page does and ask for one picture after
another. Turns with and without viewers alternate, so that both times per frame are measured side by side. Needs only
the Python standard library. The exit code is 0 if memory grew by at most 16 MiB and every viewer got more than one
picture per second.
"""

import argparse
import asyncio
import base64
import json
import os
import re
import statistics
import struct
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

FRAMES = 300
# Length of a turn without and with viewers, seconds.
ALONE, WATCHED = 15.0, 45.0
# Largest allowed growth of memory from the end of the first turn with viewers to the end of the last, MiB.
MOST_GROWTH = 16.0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ettrack")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=30.0)
    return parser.parse_args()


class Socket:
    """A client of the page's WebSocket."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /results HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        return cls(reader, writer)

    def say(self, text):
        self.send(1, text.encode())

    def send(self, kind, data):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[k % 4] for k, byte in enumerate(data))
        self.writer.write(bytes([0x80 | kind, 0x80 | len(data)]) + mask + masked)

    async def hear(self):
        """Returns the next message: text as str, binary as bytes."""
        while True:
            kind, data = await self.frame()
            if kind == 1:
                return data.decode()
            if kind == 2:
                return data
            if kind == 9:
                self.send(10, data)
            elif kind == 8:
                raise ConnectionError("the server has closed the connection")

    async def frame(self):
        first, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return first & 15, await self.reader.readexactly(length)

    def close(self):
        self.writer.close()


async def view(port, counts, index):
    """Connects as a viewer and asks for pictures until it is cancelled. Counts them in `counts[index]`."""
    socket = await Socket.open(port)
    try:
        socket.say('"picture"')
        while True:
            if isinstance(await socket.hear(), bytes):
                counts[index] += 1
                socket.say('"picture"')
    finally:
        socket.close()


def ask(port, path, body=None, method="POST"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body or {}).encode(), method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def state(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/state") as answer:
        return json.load(answer)


async def listen(port, times, target):
    """Adds the time of each tracked frame (ms) to `times`. Restarts an ended flight with the same target."""
    socket = await Socket.open(port)
    while True:
        told = json.loads(await socket.hear())
        if told == "changed":
            if (await asyncio.to_thread(state, port))["playback"] == "ended":
                await asyncio.to_thread(ask, port, "/restart")
                await asyncio.sleep(0.5)
                await asyncio.to_thread(ask, port, "/target", {"box": target})
                await asyncio.to_thread(ask, port, "/resume")
        elif told != "beat" and told["update"]["state"] != "idle" and sum(told["update"]["ms"]) > 0:
            times.append(sum(told["update"]["ms"]))


def facts(pid):
    """Returns the memory (MiB) and the processor time so far (seconds) of a process."""
    memory = int(re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) / 1024
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return memory, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(options, folder):
    flight = Path(folder) / "flight"
    made = await asyncio.create_subprocess_exec(
        options.ettrack, "simulate", "--output", flight, "--frames", str(FRAMES), "--width", "640", "--height", "480"
    )
    assert await made.wait() == 0
    first = (flight / "groundtruth_rect.txt").read_text().split("\n")[0]
    x, y, width, height = map(float, re.split(r"[,\s]+", first.strip()))
    target = [x - 1, y - 1, width, height]
    server = await asyncio.create_subprocess_exec(
        *(options.ettrack, "serve", flight / "img", "--address", "127.0.0.1:0", "--rate", str(options.rate)),
        *("--roi", ",".join(map(str, target))),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = ""
        while "http://" not in line:
            line = (await server.stdout.readline()).decode()
        port = int(re.search(r"http://[^/]*:(\d+)", line)[1])
        times, parts = [], {False: [], True: []}
        listener = asyncio.create_task(listen(port, times, target))
        memories, pictures, ends = [], [], time.monotonic() + options.minutes * 60
        await asyncio.sleep(5)
        while time.monotonic() < ends:
            for watched, seconds in ((False, ALONE), (True, WATCHED)):
                counts = [0] * (options.viewers if watched else 0)
                tasks = [asyncio.create_task(view(port, counts, index)) for index in range(len(counts))]
                # The cost of connecting and disconnecting is not measured.
                await asyncio.sleep(2)
                before, done, begun = facts(server.pid), len(times), time.monotonic()
                start = list(counts)
                await asyncio.sleep(seconds - 2)
                after, passed = facts(server.pid), time.monotonic() - begun
                parts[watched].append(
                    {
                        "ms": statistics.median(times[done:]),
                        "rate": (len(times) - done) / passed,
                        "cpu": (after[1] - before[1]) / passed,
                    }
                )
                if watched:
                    pictures += [(now - then) / passed for now, then in zip(counts, start, strict=True)]
                    memories.append(after[0])
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            print(f"{parts[False][-1]} alone, {parts[True][-1]} watched, {memories[-1]:.1f} MiB", flush=True)
            assert not listener.done(), listener.exception()
        # Otherwise it fails when the server ends.
        listener.cancel()
    finally:
        server.terminate()
        await server.wait()
    return parts, memories, pictures


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        parts, memories, pictures = asyncio.run(measure(options, folder))
    alone, watched = (
        {key: statistics.median(part[key] for part in parts[is_watched]) for key in ("ms", "rate", "cpu")}
        for is_watched in (False, True)
    )
    ratios = [two["ms"] / one["ms"] for one, two in zip(parts[False], parts[True], strict=True)]
    taken = statistics.median(pictures)
    cost = (watched["cpu"] - alone["cpu"]) / max(taken, 0.1) * 1e3
    for line in (
        f"{options.viewers} viewers in {len(memories)} turns of {WATCHED:.0f} s",
        f"time per frame, median: {watched['ms']:.2f} ms, without viewers {alone['ms']:.2f} ms",
        f"ratio of neighbouring turns, median: {statistics.median(ratios):.3f}",
        f"frames a second: {watched['rate']:.1f}, without viewers {alone['rate']:.1f}",
        f"pictures a second and viewer: median {taken:.1f}, least {min(pictures):.1f}",
        f"processor time: {watched['cpu']:.2f} s/s, without viewers {alone['cpu']:.2f} s/s",
        f"that is for one picture for all viewers: {cost:.1f} ms",
        f"memory: {memories[0]:.1f} MiB after the first turn, {memories[-1]:.1f} at the end, most {max(memories):.1f}",
    ):
        print(line)
    return 0 if memories[-1] - memories[0] <= MOST_GROWTH and min(pictures) > 1 else 1


if __name__ == "__main__":
    sys.exit(main())
