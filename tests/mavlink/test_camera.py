"""Tests the drone's camera with a ground station on pymavlink. `-s` shows the measured figures."""

import contextlib
import math
import os
import pty
import shutil
import socket
import statistics
import time
import tty

import pytest
from ground import (
    ACCEPTED,
    BUSY,
    CAMERA,
    DENIED,
    TRACKING_STATUS,
    UNSUPPORTED,
    Camera,
    LossyLink,
    Station,
    Wire,
    camera,
    free_port,
    mavlink,
    normalized,
    overlap,
    overlaps,
    status_box,
)

STATUS = "CAMERA_TRACKING_IMAGE_STATUS"
IDLE, ACTIVE, ERROR = 0, 1, 2
TRACK_POINT = mavlink.MAV_CMD_CAMERA_TRACK_POINT
TRACK_RECTANGLE = mavlink.MAV_CMD_CAMERA_TRACK_RECTANGLE
STOP_TRACKING = mavlink.MAV_CMD_CAMERA_STOP_TRACKING
NAN = math.nan


def say(text):
    print(f"\n    {text}", end="", flush=True)


def has_state(state):
    return lambda message: message.get_type() == STATUS and message.tracking_status == state


@contextlib.contextmanager
def connected(source, *arguments):
    """Starts a camera that listens on UDP, and a station that the camera knows."""
    port = free_port()
    with camera(source, "--connect", f"udpin:127.0.0.1:{port}", *arguments) as running:
        station = Station(port)
        station.heartbeat()
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert station.ask(mavlink.MAV_CMD_REQUEST_MESSAGE, 259) == ACCEPTED
            # The camera knows the size of its frames only after the first frame.
            if station.wait("CAMERA_INFORMATION").resolution_h:
                break
        yield running, station


def test_answers_the_discovery_of_a_ground_station(flight):
    # These are the commands of QGroundControl in its order. docs/drones.md names the places in its source.
    with connected(flight.frames, "--video-uri", "rtp://127.0.0.1:5600", "--hfov", "60") as (_, station):
        heartbeat = station.wait("HEARTBEAT")
        assert heartbeat.type == mavlink.MAV_TYPE_CAMERA and heartbeat.autopilot == mavlink.MAV_AUTOPILOT_INVALID
        assert (heartbeat.get_srcSystem(), heartbeat.get_srcComponent()) == CAMERA

        def both_ways(name, number, old, *old_parameters):
            found = []
            for command, parameters in (
                (mavlink.MAV_CMD_REQUEST_MESSAGE, (number,)),
                (old, old_parameters),
            ):
                assert station.ask(command, *parameters) == ACCEPTED, (name, command)
                found.append(station.wait(name))
                assert found[-1], (name, command)
            return found[0]

        information = both_ways("CAMERA_INFORMATION", 259, mavlink.MAV_CMD_REQUEST_CAMERA_INFORMATION, 1)
        wanted = (
            mavlink.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT
            | mavlink.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE
            | mavlink.CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM
        )
        assert information.flags == wanted and information.cam_definition_uri == ""
        assert (information.resolution_h, information.resolution_v) == flight.size
        assert bytes(information.vendor_name).rstrip(b"\0") == b"ettrack"
        settings = both_ways("CAMERA_SETTINGS", 260, mavlink.MAV_CMD_REQUEST_CAMERA_SETTINGS, 1)
        assert settings.mode_id == mavlink.CAMERA_MODE_VIDEO
        stream = both_ways("VIDEO_STREAM_INFORMATION", 269, mavlink.MAV_CMD_REQUEST_VIDEO_STREAM_INFORMATION, 0)
        assert (stream.stream_id, stream.count, stream.uri, stream.hfov) == (1, 1, "5600", 60)
        assert stream.type == mavlink.VIDEO_STREAM_TYPE_RTPUDP
        assert stream.encoding == mavlink.VIDEO_STREAM_ENCODING_H264
        both_ways("VIDEO_STREAM_STATUS", 270, mavlink.MAV_CMD_REQUEST_VIDEO_STREAM_STATUS, 1)
        storage = both_ways("STORAGE_INFORMATION", 261, mavlink.MAV_CMD_REQUEST_STORAGE_INFORMATION, 0, 1)
        assert storage.status == mavlink.STORAGE_STATUS_NOT_SUPPORTED
        both_ways("CAMERA_CAPTURE_STATUS", 262, mavlink.MAV_CMD_REQUEST_CAMERA_CAPTURE_STATUS, 1)
        # The camera does not know the target's position on the earth or the commands of other components.
        for command in (mavlink.MAV_CMD_REQUEST_MESSAGE, mavlink.MAV_CMD_SET_MESSAGE_INTERVAL):
            assert station.ask(command, 276, 1e5) == UNSUPPORTED
        assert station.ask(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, 1) == UNSUPPORTED
        assert station.ask(42_424) == UNSUPPORTED, "a command that no dialect knows"
        beats = station.collect("HEARTBEAT", 3.2)
        assert len(beats) in (3, 4)


def test_refuses_a_box_in_a_picture_that_is_no_longer_kept(flight):
    roi = ",".join(map(str, flight.truth[0]))
    late = ("--video-delay", "2", "--roi", roi, "--rate", "20")
    for kept, result in ((5, DENIED), (100, ACCEPTED)):
        with connected(flight.frames, *late, "--set", f"history_frames={kept}") as (_, station):
            # The pilot draws the target where it was two seconds ago.
            time.sleep(2.5)
            assert station.draw(flight.truth[10], flight.size) == result, kept


def test_follows_a_drawn_box_until_the_stop(flight):
    with connected(flight.frames) as (running, station):
        assert station.rate(30) == ACCEPTED
        assert station.wait(STATUS).tracking_status == IDLE
        before = running.cpu()
        sent = time.monotonic()
        assert station.draw(flight.truth[0], flight.size) == ACCEPTED
        acknowledged = time.monotonic()
        first = station.wait(has_state(ACTIVE))
        statuses = [first, *(one for one in station.collect(STATUS, 1.2) if one.tracking_status == ACTIVE)]
        after = running.cpu()
        assert all(
            one.tracking_mode == mavlink.CAMERA_TRACKING_MODE_RECTANGLE
            and one.target_data == mavlink.CAMERA_TRACKING_TARGET_DATA_IN_STATUS
            for one in statuses
        )
        found, last = overlaps(statuses, flight.truth, flight.size)
        gaps = [b.at - a.at for a, b in zip(statuses, statuses[1:], strict=False)]
        rate = len(gaps) / sum(gaps)
        spoken, tracked = (b - a for a, b in zip(before, after, strict=True))
        say(f"command to acknowledgement {1e3 * (acknowledged - sent):.0f} ms")
        say(f"command to first status {1e3 * (first.at - sent):.0f} ms")
        say(f"asked for 30 Hz: {rate:.1f} Hz, median gap {1e3 * statistics.median(gaps):.1f} ms")
        share = spoken / (statuses[-1].at - sent)
        say(f"processor time: {1e3 * spoken:.1f} ms speaking ({100 * share:.2f} %), {1e3 * tracked:.0f} ms tracking")
        say(f"overlap: mean {statistics.mean(found):.2f}, lowest {min(found):.2f}, up to frame {last}")
        assert statistics.mean(found) > 0.6 and min(found) > 0.3 and last > 5
        # On a busy machine the frames of a recorded source come more slowly, but the statuses do not.
        assert rate > 20
        assert share < 0.03
        assert station.ask(STOP_TRACKING) == ACCEPTED
        stopped = station.wait(has_state(IDLE))
        assert stopped and math.isnan(stopped.rec_top_x) and stopped.tracking_mode == mavlink.CAMERA_TRACKING_MODE_NONE
        # QGroundControl does this after a stop.
        assert station.rate(None) == ACCEPTED
        station.collect(STATUS, 0.1)
        assert station.collect(STATUS, 0.5) == []


def test_follows_a_point_and_sends_statuses_without_a_requested_rate(flight):
    with connected(flight.frames) as (_, station):
        x, y, width, height = flight.truth[0]
        middle = (x + width / 2) / flight.size[0], (y + height / 2) / flight.size[1]
        assert station.ask(TRACK_POINT, *middle, 0.05) == ACCEPTED
        statuses = station.collect(has_state(ACTIVE), 1.5)
        assert 4 <= len(statuses) <= 12
        assert max(overlap(status_box(statuses[0], flight.size), box) for box in flight.truth[:15]) > 0.3
        assert abs(statuses[0].point_x - (statuses[0].rec_top_x + statuses[0].rec_bottom_x) / 2) < 1e-5


def test_reports_an_error_without_position_for_a_lost_target(vanishing):
    with connected(vanishing.frames) as (_, station):
        assert station.rate(30) == ACCEPTED
        assert station.draw(vanishing.truth[0], vanishing.size) == ACCEPTED
        assert station.wait(has_state(ACTIVE))
        lost = station.wait(has_state(ERROR), 8)
        assert lost and lost.target_data == 0
        assert all(
            math.isnan(number)
            for number in (lost.point_x, lost.point_y, lost.radius, lost.rec_top_x, lost.rec_bottom_y)
        )


def test_reports_a_stalled_source_and_refuses_targets_in_it(flight, tmp_path):
    for name in sorted(flight.frames.iterdir())[:10]:
        shutil.copy(name, tmp_path)
    with connected(tmp_path) as (running, station):
        assert station.rate(10) == ACCEPTED
        # A recorded source that waits for a target does not count as stalled.
        assert not station.wait(has_state(ERROR), 1.3)
        assert station.wait("HEARTBEAT").system_status == mavlink.MAV_STATE_ACTIVE
        assert station.draw(flight.truth[0], flight.size) == ACCEPTED
        assert station.wait(has_state(ACTIVE))
        assert station.wait(has_state(ERROR), 4), "the ten frames are over"
        assert station.ask(TRACK_RECTANGLE, *normalized(flight.truth[0], flight.size)) == BUSY
        assert station.ask(STOP_TRACKING) == ACCEPTED
        assert station.wait(has_state(IDLE))
        critical = station.wait(
            lambda message: message.get_type() == "HEARTBEAT" and message.system_status == mavlink.MAV_STATE_CRITICAL
        )
        assert critical
    assert any("stalled" in line for line in running.lines)


def test_takes_the_same_target_over_a_link_that_loses_and_reorders(flight):
    port = free_port()
    # Slow frames, because the target hides after 50 of them, and lost acknowledgements take time.
    arguments = ["--connect", f"udpin:127.0.0.1:{port}", "--rate", 15]
    with camera(flight.frames, *arguments) as running, LossyLink(port) as link:
        station = Station(link.port)
        assert station.insist(mavlink.MAV_CMD_REQUEST_MESSAGE, 259) == ACCEPTED
        assert station.rate(30, station.insist) == ACCEPTED
        assert station.draw(flight.truth[0], flight.size, station.insist) == ACCEPTED
        statuses = station.collect(has_state(ACTIVE), 2.0)
        # Late statuses belong to earlier frames.
        good = [max(overlap(status_box(status, flight.size), box) for box in flight.truth) > 0.5 for status in statuses]
        say(f"{link.gone} of {link.count} packets lost; {len(statuses)} statuses in 2 s, {sum(good)} on the target")
        assert len(statuses) > 20 and sum(good) > 0.9 * len(good)
        assert station.insist(STOP_TRACKING) == ACCEPTED
        assert station.wait(has_state(IDLE), 3)
    # The target was chosen only once, however often the command was sent.
    assert sum("target chosen" in line for line in running.lines) == 1


def test_keeps_the_target_after_repeated_or_late_commands(flight):
    with connected(flight.frames) as (running, station):
        assert station.rate(30) == ACCEPTED
        drawn = normalized(flight.truth[0], flight.size)
        early = station.mav.command_long_encode(*CAMERA, TRACK_RECTANGLE, 0, *drawn, 0, 0, 0)
        packet = early.pack(station.mav)
        station.mav.seq = (station.mav.seq + 1) % 256
        station.write(packet)
        assert station.wait("COMMAND_ACK").result == ACCEPTED
        assert station.wait(has_state(ACTIVE))
        # The station repeats the command as if the answer was lost, and gets the answer again.
        assert station.ask(TRACK_RECTANGLE, *drawn) == ACCEPTED
        assert station.ask(STOP_TRACKING) == ACCEPTED
        assert station.wait(has_state(IDLE))
        # The first packet arrives late.
        station.write(packet)
        assert station.wait("COMMAND_ACK").result == BUSY
        assert not station.wait(has_state(ACTIVE), 0.4)
    assert sum("target chosen" in line for line in running.lines) == 1


def test_gives_two_ground_stations_their_own_rates_and_answers(flight):
    with connected(flight.frames) as (_, first):
        second = Station(first.there[1], system=254)
        assert second.rate(20) == ACCEPTED and first.rate(5) == ACCEPTED
        assert first.draw(flight.truth[0], flight.size) == ACCEPTED
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            first.poll(0.01)
            second.poll(0.01)
        slow, fast = (sum(has_state(ACTIVE)(message) for message in station.log) for station in (first, second))
        assert slow <= 11 and fast >= 18 and fast > 2 * slow
        for station in (first, second):
            acks = [message for message in station.log if message.get_type() == "COMMAND_ACK"]
            assert {message.target_system for message in acks} == {station.mav.srcSystem}
        # If one station stops its statuses, the other still gets its own.
        assert first.rate(None) == ACCEPTED
        first.collect(STATUS, 0.3)
        assert first.collect(STATUS, 0.6) == []
        assert second.collect(STATUS, 0.5)
        # These commands are for another system's camera and for another component of this system.
        for other in ((2, 100), (1, 101)):
            assert second.ask(STOP_TRACKING, to=other, seconds=0.3) is None
        assert second.wait(has_state(ACTIVE), 1)
        assert second.ask(STOP_TRACKING, to=(0, 0)) == ACCEPTED, "zeros are for all"


def test_works_again_after_a_restart_of_camera_or_ground_station(flight):
    here = free_port()
    arguments = flight.frames, "--connect", f"udpout:127.0.0.1:{here}"
    station = Station(free_port(), here=here)
    for _ in range(2):
        with camera(*arguments):
            assert station.wait("HEARTBEAT")
            assert station.draw(flight.truth[0], flight.size) == ACCEPTED
            assert station.wait(has_state(ACTIVE))
            # A new station with the address of the old one.
            there = station.there[1]
            station.socket.close()
            station = Station(there, here=here)
            assert station.wait("HEARTBEAT")
            assert station.rate(10) == ACCEPTED
            assert station.wait(STATUS).tracking_status == ACTIVE


def test_refuses_bad_commands_and_goes_on_tracking(flight):
    with connected(flight.frames) as (running, station):
        assert station.rate(30) == ACCEPTED
        for command, parameters, result in (
            (TRACK_RECTANGLE, (NAN, 0.1, 0.2, 0.2), DENIED),
            (TRACK_RECTANGLE, (0.1, 0.1, math.inf, 0.2), DENIED),
            (TRACK_RECTANGLE, (0.3, 0.3, 0.3, 0.3), DENIED),
            (TRACK_RECTANGLE, (0.5, 0.5, 0.3, 0.3), DENIED),
            (TRACK_RECTANGLE, (1.1, 1.1, 1.3, 1.3), DENIED),
            (TRACK_RECTANGLE, (-0.5, -0.5, 0.1, 0.1), DENIED),
            (TRACK_RECTANGLE, (0.1, 0.1, 0.3, 0.3, 101), DENIED),
            (TRACK_POINT, (NAN, 0.5, 0.1), DENIED),
            (TRACK_POINT, (1.5, 0.5, 0.1), DENIED),
            (mavlink.MAV_CMD_REQUEST_MESSAGE, (NAN,), DENIED),
            (mavlink.MAV_CMD_REQUEST_MESSAGE, (259.5,), DENIED),
            (mavlink.MAV_CMD_REQUEST_MESSAGE, (-1,), DENIED),
            (mavlink.MAV_CMD_REQUEST_MESSAGE, (1e30,), DENIED),
            (mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, (TRACKING_STATUS, NAN), DENIED),
            (mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, (TRACKING_STATUS, -7), DENIED),
            (mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, (0, -1), DENIED),
            (mavlink.MAV_CMD_REQUEST_MESSAGE, (269,), UNSUPPORTED),
        ):
            assert station.ask(command, *parameters) == result, (command, parameters)
        # Points on the border and on the horizon, where the picture has little contrast.
        for point in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.0), (0.0, 0.5)):
            time.sleep(0.12)
            assert station.ask(TRACK_POINT, *point, 0.01) in (ACCEPTED, DENIED), point
        assert station.ask(STOP_TRACKING) == ACCEPTED
        # Random bytes and beginnings of messages.
        for garbage in (b"", b"\xfd", b"\xfd\xff\x00", bytes(range(256)) * 20, b"\xfe" * 300, os.urandom(2000)):
            station.write(garbage)
        time.sleep(0.12)
        station.mav.command_int_send(
            *CAMERA, 0, TRACK_RECTANGLE, 0, 0, *normalized(flight.truth[0], flight.size), 0, 0, 0
        )
        assert station.wait("COMMAND_ACK").result in (ACCEPTED, DENIED)
        assert station.ask(STOP_TRACKING) == ACCEPTED
    assert any(line.strip() and "refused" in line for line in running.lines)


def test_goes_on_tracking_under_a_thousand_commands_per_second(flight):
    with connected(flight.frames) as (_, station):
        assert station.rate(30) == ACCEPTED
        assert station.draw(flight.truth[0], flight.size) == ACCEPTED
        # Answers to earlier commands do not count.
        station.log.clear()
        start = time.monotonic()
        for number in range(1000):
            station.send(TRACK_RECTANGLE, *(side + 1e-6 * number for side in normalized(flight.truth[0], flight.size)))
            station.poll()
            time.sleep(max(0, start + number / 1000 - time.monotonic()))
        seconds = time.monotonic() - start
        station.collect("PING", 0.5)
        results = [message.result for message in station.log if message.get_type() == "COMMAND_ACK"]
        statuses = [message for message in station.log if message.get_type() == STATUS]
        taken = results.count(ACCEPTED)
        say(f"{len(results)} of 1000 commands in {seconds:.1f} s answered, {taken} done; {len(statuses)} statuses")
        assert set(results) <= {ACCEPTED, BUSY} and len(results) > 900 and 1 <= taken <= 12 * seconds + 2
        assert len(statuses) > 10 * seconds
        assert station.ask(STOP_TRACKING) == ACCEPTED


def test_accepts_only_signed_messages_if_there_is_a_key(flight, tmp_path):
    key = bytes(range(32))
    (tmp_path / "key").write_text(key.hex())
    port = free_port()
    with camera(flight.frames, "--connect", f"udpin:127.0.0.1:{port}", "--signing-key", tmp_path / "key"):
        station = Station(port)
        assert station.ask(mavlink.MAV_CMD_REQUEST_MESSAGE, 259, seconds=0.5) is None
        station.mav.signing.secret_key = key
        station.mav.signing.sign_outgoing = True
        station.mav.signing.link_id = 3
        station.mav.signing.timestamp = int((time.time() - 1_420_070_400) * 1e5)
        assert station.draw(flight.truth[0], flight.size) == ACCEPTED
        status = station.wait(has_state(ACTIVE))
        assert status and status.get_msgbuf()[2] & mavlink.MAVLINK_IFLAG_SIGNED


def test_opens_a_serial_port_again_after_a_loss(flight, tmp_path):
    port = tmp_path / "ttyDRONE"

    def plug():
        here, there = pty.openpty()
        tty.setraw(here)
        port.unlink(missing_ok=True)
        port.symlink_to(os.ttyname(there))
        return here, there

    here, there = plug()
    with camera(flight.frames, "--connect", f"serial:{port}:115200"):
        station = Wire(here)
        assert station.wait("HEARTBEAT")
        assert station.draw(flight.truth[0], flight.size) == ACCEPTED
        assert station.wait(has_state(ACTIVE))
        os.close(there)
        os.close(here)
        time.sleep(0.3)
        here, there = plug()
        station = Wire(here)
        assert station.wait("HEARTBEAT", 10)
        assert station.rate(10) == ACCEPTED
        assert station.wait(STATUS)
    os.close(here)
    os.close(there)


def test_connects_to_a_server_that_comes_late_or_restarts(flight):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with camera(flight.frames, "--connect", f"tcp:127.0.0.1:{port}"):
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)) as server:
                server.settimeout(10)
                connection, _ = server.accept()
                with connection:
                    station = Wire(connection.fileno())
                    assert station.wait("HEARTBEAT")
                    assert station.ask(mavlink.MAV_CMD_REQUEST_MESSAGE, 259) == ACCEPTED


def test_turns_a_gimbal_only_with_control_and_stops_it_without_a_target(flight):
    with connected(flight.frames, "--hfov", "60", "--gimbal", "0.5") as (_, station):
        autopilot = Station(station.there[1], system=1, component=1)

        def in_control(system, component):
            autopilot.mav.gimbal_manager_status_send(0, 0, 1, system, component, 0, 0)

        in_control(255, 190)
        assert station.draw(flight.truth[0], flight.size) == ACCEPTED
        assert not autopilot.wait("GIMBAL_MANAGER_SET_PITCHYAW", 0.4), "the pilot steers"
        assert not [message for message in autopilot.log if message.get_type() == "COMMAND_LONG"]
        in_control(0, 0)
        asked = autopilot.wait("COMMAND_LONG")
        assert asked.command == mavlink.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE
        assert (asked.param1, asked.param2, asked.param7) == (1, 100, 1)
        in_control(*CAMERA)
        turned = autopilot.collect("GIMBAL_MANAGER_SET_PITCHYAW", 0.5)
        assert turned and all(math.isnan(one.pitch) and math.isnan(one.yaw) for one in turned)
        status = station.wait(has_state(ACTIVE))
        # Near the middle, the sign may change from frame to frame.
        for beside, rate in (
            (status.point_x - 0.5, turned[-1].yaw_rate),
            (0.5 - status.point_y, turned[-1].pitch_rate),
        ):
            assert abs(beside) < 0.05 or beside * rate > 0
        assert all(abs(one.pitch_rate) <= 0.5 and abs(one.yaw_rate) <= 0.5 for one in turned)
        assert station.ask(STOP_TRACKING) == ACCEPTED
        stopped = autopilot.collect("GIMBAL_MANAGER_SET_PITCHYAW", 1.5)
        assert stopped and (stopped[-1].pitch_rate, stopped[-1].yaw_rate) == (0, 0)
        # The camera never sent a message that moves the vehicle.
        kinds = {message.get_type() for message in autopilot.log}
        assert kinds <= {"HEARTBEAT", "COMMAND_LONG", "GIMBAL_MANAGER_SET_PITCHYAW"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--connect", "pigeon:home"], "expected udpin:"),
        (["--connect", "udpin:127.0.0.1:0", "--stream", "clip.mp4"], "expected rt"),
        (["--connect", "udpin:127.0.0.1:0", "--gimbal", "0.5"], "needs --hfov or --calibration"),
        (["--connect", "udpin:127.0.0.1:0", "--signing-key", "/dev/null"], "64 hexadecimal digits"),
        (["--connect", "serial:/dev/ttyAMA0:12345"], "expected the speed"),
    ],
)
def test_refuses_wrong_arguments_before_the_start(flight, arguments, words):
    running = Camera(flight.frames, *arguments)
    assert running.process.wait(timeout=30) == 2
    running.end()
    assert words in "".join(running.lines)
