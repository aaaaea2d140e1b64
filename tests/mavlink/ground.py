"""Helpers of the tests: a ground station on pymavlink, a camera process, and a link that loses packets."""

import collections
import contextlib
import heapq
import os
import random
import selectors
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from pymavlink.dialects.v20 import common as mavlink

COMMAND = os.environ.get("ETTRACK_COMMAND", "target/release/ettrack")
CAMERA = (1, 100)
ACCEPTED, BUSY, DENIED, UNSUPPORTED = (
    mavlink.MAV_RESULT_ACCEPTED,
    mavlink.MAV_RESULT_TEMPORARILY_REJECTED,
    mavlink.MAV_RESULT_DENIED,
    mavlink.MAV_RESULT_UNSUPPORTED,
)
TRACKING_STATUS = mavlink.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS


class Camera:
    """A process that runs `ettrack mavlink`."""

    def __init__(self, source, *arguments, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            [COMMAND, "-v", "mavlink", str(source), *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=stdin == subprocess.DEVNULL,
        )
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line if isinstance(line, str) else line.decode(errors="replace"))

    def wait_until_ready(self):
        """Waits for the first line, which names the connections."""
        line = self.process.stdout.readline()
        assert line, "".join(self.lines)
        return self

    def cpu(self):
        """Returns the processor time of the MAVLink threads and of the tracking thread, seconds."""
        spoken = tracked = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            # Nanoseconds; the older counts are in ticks of 10 ms.
            seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
            if name.startswith("mavlink"):
                spoken += seconds
            elif int(task.name) == self.process.pid:
                tracked += seconds
        return spoken, tracked

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=20)
        self.reader.join(timeout=5)
        return code


@contextlib.contextmanager
def camera(source, *arguments, **options):
    running = Camera(source, *arguments, **options)
    try:
        yield running.wait_until_ready()
    finally:
        code = running.end()
    assert code == 0, "".join(running.lines)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Station:
    """Sends packets to a UDP port and collects the answers. `send` may be replaced to use another connection."""

    def __init__(self, port, system=255, component=190, here=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", here))
        self.there = ("127.0.0.1", port)
        self._make(system, component)
        self.socket.setblocking(False)

    def _make(self, system, component):
        self.mav = mavlink.MAVLink(self, srcSystem=system, srcComponent=component)
        self.mav.robust_parsing = True
        self.waiting = collections.deque()
        self.log = []

    def write(self, data):
        """Sends a message. pymavlink calls this with each whole message."""
        with contextlib.suppress(ConnectionRefusedError):
            self.socket.sendto(bytes(data), self.there)

    def _receive(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            if not selector.select(max(0, seconds)):
                return b""
        try:
            data, self.there = self.socket.recvfrom(65536)
        except (BlockingIOError, ConnectionRefusedError):
            return b""
        return data

    def poll(self, seconds=0.0):
        """Collects the messages that come within this time."""
        data = self._receive(seconds)
        for message in self.mav.parse_buffer(data) or [] if data else []:
            message.at = time.monotonic()
            self.waiting.append(message)
            self.log.append(message)

    def wait(self, wanted, seconds=5.0):
        """Returns the next message that `wanted` (a name or a function) accepts, or None if none comes in time."""
        accepts = wanted if callable(wanted) else lambda message: message.get_type() == wanted
        until = time.monotonic() + seconds
        while True:
            while self.waiting:
                message = self.waiting.popleft()
                if accepts(message):
                    return message
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.poll(left)

    def collect(self, wanted, seconds):
        """Returns all messages of a type that come within this time."""
        found, until = [], time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if message := self.wait(wanted, left):
                found.append(message)
        return found

    def heartbeat(self):
        self.mav.heartbeat_send(mavlink.MAV_TYPE_GCS, mavlink.MAV_AUTOPILOT_INVALID, 0, 0, 0)

    def send(self, command, *parameters, to=CAMERA, confirmation=0):
        parameters = [*parameters, *[0] * (7 - len(parameters))]
        self.mav.command_long_send(*to, command, confirmation, *parameters)

    def ask(self, command, *parameters, to=CAMERA, seconds=5.0):
        """Sends a command and returns its result, or None if no answer comes."""
        self.send(command, *parameters, to=to)
        ack = self.wait(lambda message: message.get_type() == "COMMAND_ACK" and message.command == command, seconds)
        if ack is None:
            return None
        assert (ack.target_system, ack.target_component) == (self.mav.srcSystem, self.mav.srcComponent)
        assert (ack.get_srcSystem(), ack.get_srcComponent()) == CAMERA
        return ack.result

    def insist(self, command, *parameters, tries=20, seconds=0.4):
        """Repeats a command until an answer comes, as ground stations do on bad links."""
        for _ in range(tries):
            if (result := self.ask(command, *parameters, seconds=seconds)) is not None:
                return result
        return None

    def rate(self, hertz, ask=None):
        interval = -1 if hertz is None else 1e6 / hertz
        return (ask or self.ask)(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, TRACKING_STATUS, interval)

    def draw(self, box, size, ask=None):
        """Draws a box in pixels in a picture of this size. Tries again until the camera has a frame."""
        until = time.monotonic() + 5
        while True:
            result = (ask or self.ask)(mavlink.MAV_CMD_CAMERA_TRACK_RECTANGLE, *normalized(box, size))
            if result != BUSY or time.monotonic() > until:
                return result
            time.sleep(0.05)


class Wire(Station):
    """A ground station on a file descriptor: one end of a serial line or of a TCP connection."""

    def __init__(self, descriptor, system=255, component=190):
        self.descriptor = descriptor
        self._make(system, component)

    def write(self, data):
        os.write(self.descriptor, bytes(data))

    def _receive(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self.descriptor, selectors.EVENT_READ)
            if not selector.select(max(0, seconds)):
                return b""
        try:
            return os.read(self.descriptor, 65536)
        except OSError:  # The other end of the terminal was closed.
            time.sleep(0.01)
            return b""


def normalized(box, size):
    x, y, width, height = box
    return x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1]


def status_box(status, size):
    """Returns the box of a status, in pixels."""
    left, top = status.rec_top_x * size[0], status.rec_top_y * size[1]
    return left, top, status.rec_bottom_x * size[0] - left, status.rec_bottom_y * size[1] - top


def overlap(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def overlaps(statuses, truth, size):
    """Returns the best overlap of each status with the true boxes. The matched frames only go forward."""
    at, found = 0, []
    for status in statuses:
        box = status_box(status, size)
        window = range(at, min(at + 15, len(truth)))
        best = max(window, key=lambda frame: (overlap(box, truth[frame]), -frame))
        found.append(overlap(box, truth[best]))
        at = best
    return found, at


class LossyLink:
    """A link between station and camera that loses, doubles and delays packets in both directions."""

    def __init__(self, port, lost=0.2, doubled=0.05, delayed=0.2, seed=1):
        self.random = random.Random(seed)
        self.odds = lost, doubled, delayed
        self.front, self.back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.front.bind(("127.0.0.1", 0))
        self.port = self.front.getsockname()[1]
        self.back.connect(("127.0.0.1", port))
        self.station = None
        self.late = []
        self.count = self.gone = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.front.close()
        self.back.close()

    def _carry(self, data, to_camera):
        lost, doubled, delayed = self.odds
        self.count += 1
        if self.random.random() < lost:
            self.gone += 1
            return
        for _ in range(1 + (self.random.random() < doubled)):
            # A delayed packet arrives after packets that were sent later.
            wait = self.random.uniform(0.01, 0.08) if self.random.random() < delayed else 0
            heapq.heappush(self.late, (time.monotonic() + wait, self.count, self.random.random(), data, to_camera))

    def _run(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.front, selectors.EVENT_READ)
            selector.register(self.back, selectors.EVENT_READ)
            while not self.over.is_set():
                for key, _ in selector.select(0.005):
                    with contextlib.suppress(ConnectionRefusedError):
                        if key.fileobj is self.front:
                            data, self.station = self.front.recvfrom(65536)
                            self._carry(data, True)
                        else:
                            self._carry(self.back.recv(65536), False)
                while self.late and self.late[0][0] <= time.monotonic():
                    *_, data, to_camera = heapq.heappop(self.late)
                    with contextlib.suppress(ConnectionRefusedError):
                        if to_camera:
                            self.back.send(data)
                        elif self.station:
                            self.front.sendto(data, self.station)
