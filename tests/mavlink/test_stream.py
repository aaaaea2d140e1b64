"""Tests the video of `--stream` with ffmpeg as the receiver. `-s` shows how late the pictures are."""

import shutil
import statistics
import subprocess
import threading
import time

import pytest
from ground import ACCEPTED, Station, camera, free_port

#: Each frame carries its number in this many squares, from the lowest bit on, white for 1.
BITS = 8
SQUARE = 16
RATE = 30

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=ettrack
c=IN IP4 127.0.0.1
t=0 0
m=video {port} RTP/AVP 96
a=rtpmap:96 H264/90000
"""


@pytest.fixture(scope="module")
def numbered(flight, tmp_path_factory):
    """Returns a folder with the flight's frames, each with its number painted in its upper-left corner."""
    folder = tmp_path_factory.mktemp("numbered")
    width, height = flight.size
    pictures = ["-framerate", str(RATE), "-i", f"{flight.frames}/%04d.jpg"]
    raw = subprocess.run(
        ["ffmpeg", "-nostdin", "-loglevel", "error", *pictures, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
        check=True,
        capture_output=True,
    ).stdout
    size = width * height * 3
    assert len(raw) == len(flight.truth) * size
    for number in range(len(flight.truth)):
        picture = bytearray(raw[number * size : (number + 1) * size])
        row = b"".join((b"\xff" if number >> bit & 1 else b"\x00") * SQUARE * 3 for bit in range(BITS))
        for y in range(SQUARE):
            picture[y * width * 3 : y * width * 3 + len(row)] = row
        (folder / f"{number:04}.ppm").write_bytes(b"P6\n%d %d\n255\n" % flight.size + picture)
    return folder


class Receiver:
    """Decodes the stream and notes when the first picture of each frame number came."""

    def __init__(self, folder, port, size):
        sdp = folder / "stream.sdp"
        sdp.write_text(SDP.format(port=port))
        low_delay = ["-fflags", "nobuffer", "-flags", "low_delay", "-analyzeduration", "0", "-reorder_queue_size", "0"]
        stream = ["-protocol_whitelist", "file,udp,rtp", "-i", str(sdp)]
        output = ["-fps_mode", "passthrough", "-flush_packets", "1", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"]
        self.process = subprocess.Popen(
            ["ffmpeg", "-nostdin", "-loglevel", "fatal", *low_delay, *stream, *output],
            stdout=subprocess.PIPE,
        )
        self.size = size
        self.came = {}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        width, height = self.size
        while len(picture := self.process.stdout.read(width * height)) == width * height:
            row = picture[SQUARE // 2 * width :]
            number = sum((row[bit * SQUARE + SQUARE // 2] > 127) << bit for bit in range(BITS))
            self.came.setdefault(number, time.monotonic())

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(timeout=5)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed, which sends and receives the stream")
def test_the_stream_shows_each_frame_soon_after_it_was_due(numbered, flight, tmp_path):
    link, video = free_port(), free_port()
    receiver = Receiver(tmp_path, video, flight.size)
    try:
        arguments = ["--connect", f"udpin:127.0.0.1:{link}", "--stream", f"rtp://127.0.0.1:{video}"]
        with camera(numbered, *arguments):
            station = Station(link)
            station.heartbeat()
            # The first frame is sent again until a target is chosen. A viewer can join only at a key frame.
            until = time.monotonic() + 20
            while 0 not in receiver.came and time.monotonic() < until:
                time.sleep(0.05)
            assert 0 in receiver.came, "no picture of the stream came within 20 s"
            assert station.draw(flight.truth[0], flight.size) == ACCEPTED
            started = time.monotonic()
            time.sleep(len(flight.truth) / RATE + 1)
    finally:
        receiver.end()
    late = [1000 * (came - started - number / RATE) for number, came in sorted(receiver.came.items()) if number > 0]
    # Of pictures that come faster than they are encoded only the newest is sent.
    assert len(late) >= 0.8 * (len(flight.truth) - 1), f"{len(late)} of {len(flight.truth) - 1} frames came"
    ranked = sorted(late)
    median, most = statistics.median(ranked), ranked[int(0.95 * len(ranked))]
    print(
        f"\n    the stream is {median:.0f} ms late in the median, {most:.0f} ms in 95 % of the frames",
        end="",
        flush=True,
    )
    assert median < 300, f"{median:.0f} ms"
