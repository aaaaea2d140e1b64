"""Tests the arguments, the answers and the errors of the package."""

import math
import os
import subprocess
import sys
import threading

import ettrack
import numpy as np
import pytest
from conftest import MODEL


def follow(tracker, frames, target):
    tracker.init(frames[0], target)
    return [tracker.update(frame) for frame in frames[1:]]


@pytest.fixture(scope="module")
def expected(frames, target):
    return follow(ettrack.Tracker(threads=1), frames, target)


def test_target_is_followed_with_confidence_state_and_timings(frames, target):
    tracker = ettrack.Tracker()
    assert (tracker.state, tracker.confidence) == ("idle", 0.0)
    tracker.init(frames[0], target)
    assert (tracker.state, tracker.confidence) == ("tracking", 1.0)
    found, box = tracker.update(frames[1])
    assert found is True
    assert [type(number) for number in box] == [float] * 4
    assert math.dist(box[:2], target[:2]) < max(target[2:])
    assert tracker.state == "tracking"
    assert 0.5 < tracker.confidence <= 1.0
    timings = tracker.timings
    assert 0 < timings.crop < timings.network < 10
    assert 0 < timings.decode < 10
    assert repr(timings).startswith("Timings(crop=0.")


@pytest.mark.parametrize("box", [tuple, list, np.asarray, lambda box: np.asarray(box, dtype=np.float32)])
def test_box_is_any_sequence_of_four_numbers(frames, target, expected, box):
    whole = tuple(map(round, target))
    tracker = ettrack.Tracker(threads=1)
    assert follow(tracker, frames, box(whole)) == follow(tracker, frames, whole)


@pytest.mark.parametrize(
    ("encoding", "convert"),
    [
        ("rgb8", lambda frame: np.ascontiguousarray(frame[:, :, ::-1])),
        ("bgra8", lambda frame: np.dstack([frame, np.zeros_like(frame[:, :, 0])])),
        ("bgr8", lambda frame: np.pad(frame, ((3, 2), (5, 7), (0, 0)))[3:-2, 5:-7]),
        ("bgr8", lambda frame: frame[:, :, None, :].repeat(2, axis=2)[:, :, 0].copy()),
    ],
    ids=["rgb8", "bgra8", "part of a larger image", "copy"],
)
def test_layout_of_the_array_does_not_change_the_boxes(frames, target, expected, encoding, convert):
    tracker = ettrack.Tracker(encoding=encoding, threads=1)
    assert follow(tracker, [convert(frame) for frame in frames], target) == expected


@pytest.mark.parametrize(
    ("encoding", "convert"),
    [
        ("mono8", lambda grey: grey),
        ("mono8", lambda grey: grey[:, :, None]),
        ("mono16", lambda grey: grey.astype(np.uint16) * 257),
        ("mono16", lambda grey: grey.astype(np.uint16) * 3 + 7000),
        ("nv12", lambda grey: None),
    ],
    ids=["mono8", "mono8 with an axis of one", "mono16", "mono16 of a thermal camera", "nv12"],
)
def test_grey_images_are_tracked(frames, target, encoding, convert):
    greys = [np.ascontiguousarray(frame[:, :, 1]) for frame in frames[:8]]
    if encoding == "nv12":
        # Limited range, without colour.
        wanted = [np.round(grey * (219 / 255) + 16).astype(np.uint8) for grey in greys]
        converted = [np.vstack([grey, np.full((grey.shape[0] // 2, grey.shape[1]), 128, np.uint8)]) for grey in wanted]
    else:
        converted = [convert(grey) for grey in greys]
    boxes = follow(ettrack.Tracker(encoding=encoding, threads=1), converted, target)
    in_colour = follow(ettrack.Tracker(threads=1), [np.dstack([grey] * 3) for grey in greys], target)
    for (found, box), (_, wanted_box) in zip(boxes, in_colour, strict=True):
        assert found
        # The levels of black and white of 16-bit images are those of the frames, with some room at both ends.
        assert np.allclose(box, wanted_box, atol=1e-9 if encoding == "mono8" else 1.0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda frame: None, TypeError, "frame is a NoneType, expected a numpy.ndarray of shape (height, width, 3)"),
        (lambda frame: frame.tolist(), TypeError, "frame is a list, expected a numpy.ndarray"),
        (lambda frame: frame / 255, TypeError, "elements of type float64, expected uint8 for encoding bgr8"),
        (lambda frame: frame.astype(np.int8), TypeError, "elements of type int8, expected uint8"),
        (lambda frame: frame[:, :, 0], ValueError, "frame has shape [240, 320], expected (height, width, 3)"),
        (lambda frame: frame[:, :, :2], ValueError, "frame has shape [240, 320, 2], expected (height, width, 3)"),
        (lambda frame: frame[None], ValueError, "frame has shape [1, 240, 320, 3], expected (height, width, 3)"),
        (lambda frame: frame[:, :, ::-1], ValueError, "strides [960, 3, -1] bytes for shape [240, 320, 3], expected"),
        (lambda frame: frame[::-1], ValueError, "strides [-960, 3, 1]"),
        (lambda frame: frame[:, ::2], ValueError, "strides [960, 6, 1]"),
        (lambda frame: frame.transpose(1, 0, 2), ValueError, "numpy.ascontiguousarray(frame)"),
        (lambda frame: np.broadcast_to(frame[:1], frame.shape), ValueError, "strides [0, 3, 1]"),
        (lambda frame: frame[:0], ValueError, "image is 320x0 pixels, expected at least 1x1 for bgr8"),
        (lambda frame: frame[:, :0], ValueError, "image is 0x240 pixels, expected at least 1x1"),
        (lambda frame: frame[:-1].copy(), ValueError, "frame is 320x239 pixels, expected 320x240 as at init"),
    ],
)
def test_frame_that_is_no_image_of_the_encoding_is_refused(frames, target, expected, change, error, words):
    tracker = ettrack.Tracker(threads=1)
    tracker.init(frames[0], target)
    with pytest.raises(error) as refused:
        tracker.update(change(frames[1]))
    assert words in str(refused.value)
    assert tracker.update(frames[1]) == expected[0], "a refused frame leaves the target as it was"


def test_nv12_array_of_rows_that_no_image_has_is_refused(target):
    with pytest.raises(ValueError, match=r"shape \[241, 320\], expected \(height \* 3 / 2, width\) for encoding nv12"):
        ettrack.Tracker(encoding="nv12").init(np.zeros((241, 320), np.uint8), target)


def test_other_byte_order_is_refused(target):
    with pytest.raises(TypeError, match="expected uint16 for encoding mono16"):
        ettrack.Tracker(encoding="mono16").init(np.zeros((240, 320), ">u2"), target)


@pytest.mark.parametrize(
    ("box", "error", "words"),
    [
        ((1, 2, 3), ValueError, "box is (1, 2, 3), expected four numbers: x, y, width, height in pixels"),
        ("abcd", ValueError, "box is 'abcd', expected four numbers"),
        (None, TypeError, "box is None, expected four numbers"),
        ((10, 10, 0, 20), ValueError, "width and height must be positive"),
        ((10, 10, math.nan, 20), ValueError, "not all finite"),
        ((400, 10, 20, 20), ValueError, "it lies outside the image (the image is 320x240 pixels)"),
    ],
)
def test_box_that_is_no_target_is_refused(frames, target, expected, box, error, words):
    tracker = ettrack.Tracker(threads=1)
    tracker.init(frames[0], target)
    with pytest.raises(error) as refused:
        tracker.init(frames[0], box)
    assert words in str(refused.value)
    assert tracker.update(frames[1]) == expected[0], "a refused box leaves the target as it was"


def test_update_before_init_says_what_to_do(frames):
    with pytest.raises(RuntimeError, match=r"no target yet: call init\(frame, box\) first"):
        ettrack.Tracker().update(frames[0])


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"encoding": "bgr"}, ValueError, ['image encoding "bgr" is not supported', "bgr8", "mono8"]),
        ({"model": "/nowhere"}, ettrack.ModelError, ["/nowhere"]),
        ({"constants": "other"}, ValueError, ["constants: ", "is other, expected one of default"]),
        ({"overrides": {"speed": 1}}, ValueError, ["overrides: tracking.default.speed is 1", "window_influence"]),
        ({"overrides": {"learning_rate": 2}}, ValueError, ["learning_rate is 2, expected 0..=1"]),
        ({"overrides": {"penalty_k": "much"}}, TypeError, ["overrides is {'penalty_k': 'much'}, expected a dict"]),
        ({"search_scale": ettrack.SEARCH_SCALES[1] + 1}, ValueError, ["search_scale is 9, expected 1..=8"]),
        ({"search_scale": 0.9}, ValueError, ["search_scale is 0.9, expected 1..=8"]),
        ({"lost": "never"}, ValueError, ['lost is "never"', '"model", "off", "on" or a mapping']),
        ({"lost": 3}, TypeError, ["lost is 3", '"model", "off", "on" or a mapping']),
        ({"lost": {"lost_belov": 0.1}}, ValueError, ["lost_belov", "lost_below"]),
        ({"lost": {"weights": {"colour": 0.1}}}, ValueError, ["colour", "appearance"]),
        ({"lost": {"smoothing": 3}}, ValueError, ["lost.smoothing is 3, expected 0..=1"]),
        ({"provider": "gpu"}, ValueError, ['provider is "gpu", expected cpu, acl,', "openvino"]),
        ({"precision": "half"}, ValueError, ['precision is "half", expected exact or fast']),
        ({"provider": "qnn"}, ettrack.ModelError, ["does not have the provider qnn, it has cpu", "onnxruntime-qnn"]),
        ({"provider_options": {"colour": "red"}}, ettrack.ModelError, ['"colour" for provider cpu', "has no options"]),
        ({"provider_options": {"colour": 3}}, TypeError, ["provider_options is", "expected a dict of texts"]),
        ({"threads": -1}, ValueError, ["threads is -1, expected 0 or more"]),
        ({"wide": True}, TypeError, ["wide"]),
    ],
)
def test_option_that_cannot_be_is_refused_with_what_can(keywords, error, words):
    with pytest.raises(error) as refused:
        ettrack.Tracker(**keywords)
    for word in words:
        assert word in str(refused.value)


def test_what_runs_the_network_is_said():
    assert ettrack.Tracker().execution == "cpu, exact (f32)"
    assert ettrack.Tracker(provider="cpu", precision="exact").execution == "cpu, exact (f32)"


def test_interpreter_runs_other_threads_while_a_frame_is_tracked(frames, target):
    tracker = ettrack.Tracker()
    tracker.init(frames[0], target)
    gate = threading.Lock()
    gate.acquire()
    passed = []

    def wait():
        with gate:
            passed.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    interval = sys.getswitchinterval()
    # This interval is so long that a thread lets another thread run only if it releases the lock itself.
    sys.setswitchinterval(1000)
    try:
        gate.release()
        before = list(passed)
        for frame in frames[1:]:
            tracker.update(frame)
            if passed:
                break
        during = list(passed)
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert (before, during) == ([], [True])


def test_two_trackers_in_two_threads_give_the_boxes_of_one_alone(frames, target, expected):
    said = [None, None]

    def track(place):
        said[place] = follow(ettrack.Tracker(threads=1), frames, target)

    threads = [threading.Thread(target=track, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [expected, expected]


def test_two_threads_that_share_a_tracker_take_turns(frames, target, expected):
    tracker = ettrack.Tracker(threads=1)
    tracker.init(frames[0], target)
    said = []
    threads = [threading.Thread(target=lambda: said.extend(tracker.update(frames[1]) for _ in range(4))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = ettrack.Tracker(threads=1)
    alone.init(frames[0], target)
    assert sorted(said) == sorted(alone.update(frames[1]) for _ in range(8))


PROGRAM = """
import numpy as np
{before}
import ettrack
frame = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
tracker = ettrack.Tracker({keywords})
tracker.init(frame, (50, 40, 30, 30))
print(tracker.update(frame)[0])
{after}
"""

SESSION = f"""
import onnxruntime
session = onnxruntime.InferenceSession({str(MODEL / "template.onnx")!r}, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
print(len(session.run(None, {{given.name: np.zeros(given.shape, np.float32)}})) > 0)
"""


def run(environment=None, **parts):
    program = PROGRAM.format(**{"before": "", "keywords": "", "after": "", **parts})
    variables = {key: value for key, value in os.environ.items() if key != "ORT_DYLIB_PATH"}
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=variables | (environment or {}),
    )


@pytest.mark.parametrize("place", ["before", "after"])
def test_python_package_of_onnxruntime_works_in_the_same_process(place):
    done = run(**{place: SESSION})
    assert (done.returncode, len(done.stdout.split())) == (0, 2), done.stderr


def test_library_is_that_of_the_installed_package():
    done = run(after="print(next(line for line in open('/proc/self/maps') if 'libonnxruntime' in line))")
    assert done.returncode == 0, done.stderr
    folder = run(before="import onnxruntime; print(onnxruntime.__path__[0])").stdout.split()[0]
    assert f"{folder}/capi/libonnxruntime" in done.stdout


def test_library_that_does_not_load_is_named_with_who_named_it():
    done = run(keywords="library='/nowhere/libonnxruntime.so'")
    assert "ettrack.ModelError: ONNX Runtime cannot be loaded from /nowhere/libonnxruntime.so" in done.stderr
    done = run(environment={"ORT_DYLIB_PATH": "/nowhere.so"})
    assert "/nowhere.so (named by ORT_DYLIB_PATH)" in done.stderr


def test_public_items_say_what_they_are():
    for name in ettrack.__all__:
        item = getattr(ettrack, name)
        if not callable(item):
            continue
        assert item.__doc__, name
        for member in vars(item):
            if not member.startswith("_"):
                assert getattr(item, member).__doc__, f"{name}.{member}"


def test_stubs_agree_with_the_module():
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "ettrack", "--ignore-missing-stub"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
