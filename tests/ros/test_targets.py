"""Targets are chosen by a stamped detection and followed to the newest image, lost, stopped, and chosen again."""

import copy
import time

from diagnostic_msgs.msg import DiagnosticStatus
from ettrack.msg import TrackedTarget
from harness import PATIENCE, stamp_of
from sensor_msgs.msg import RegionOfInterest
from std_srvs.srv import SetBool, Trigger


def answer_to(bench, age):
    """Returns an answer that has `age` newer answers."""
    bench.film(lambda: len(bench.targets) > age + 5)
    return bench.targets[-1 - age]


def test_a_detection_is_applied_to_its_image_and_followed_to_the_newest(start):
    _, bench = start()
    target = answer_to(bench, 15)
    bench.boxes.publish(bench.detection(target, "the one"))
    bench.film(lambda: bench.targets[-1].target_id == "the one")
    first = next(target for target in bench.targets if target.target_id == "the one")
    assert bench.index_of[stamp_of(first)] >= bench.index_of[stamp_of(target)] + 10, (
        "the newest image is answered, and not the old one"
    )
    assert bench.overlap(first) > 0.4, "the target was followed through the kept images"
    bench.film_for(1.0)
    assert bench.targets[-1].target_id == "the one"
    assert bench.overlap(bench.targets[-1]) > 0.4


def test_a_detection_that_is_newer_than_all_images_waits_for_its_image(start):
    _, bench = start()
    target = answer_to(bench, 0)
    message = bench.message()
    detection = bench.detection(target, "early")
    detection.header = copy.deepcopy(message.header)
    detection.header.stamp.sec += 2
    bench.boxes.publish(detection)
    bench.wait(lambda: "target waits for" in bench.status())
    assert all(target.target_id == "" for target in bench.targets)
    # The detection's image comes.
    message.header = detection.header
    bench.index_of[stamp_of(message)] = bench.index_of[stamp_of(target)]
    message.data = bench.scene.picture(bench.index_of[stamp_of(target)]).tobytes()
    bench.images.publish(message)
    bench.wait(lambda: bench.targets[-1].target_id == "early")
    assert bench.overlap(bench.targets[-1]) > 0.9


def test_the_refusal_of_a_detection_without_an_image_says_what_to_do(start):
    _, bench = start(parameters={"history_frames": 5, "diagnostics_period": 0.2})
    target = answer_to(bench, 20)
    bench.boxes.publish(bench.detection(target, "late"))
    bench.film(lambda: "history_frames" in bench.status()["last refused request"])
    assert bench.targets[-1].state == TrackedTarget.IDLE


def test_a_new_region_is_a_new_target(start):
    _, bench = start()
    bench.start_tracking()
    ids = [bench.targets[-1].target_id]
    for _ in range(5):
        bench.settle()
        bench.choose()
        bench.film(lambda: bench.targets[-1].target_id not in ids)
        ids.append(bench.targets[-1].target_id)
        bench.film_for(0.3)
        assert bench.targets[-1].target_id == ids[-1]
        assert bench.overlap(bench.targets[-1]) > 0.4
    assert len(set(ids)) == 6


def test_a_target_that_disappears_is_lost_and_found_again(start):
    _, bench = start(parameters={"diagnostics_period": 0.2})
    bench.start_tracking()
    bench.film_for(1.0)
    name = bench.targets[-1].target_id
    bench.film(lambda: bench.targets[-1].state == TrackedTarget.LOST, visible=False)
    bench.wait(lambda: bench.detections[-1].detections == [])
    bench.film(lambda: bench.statuses[-1].level == DiagnosticStatus.WARN, visible=False)
    # The target comes back at the place where it was last seen.
    lost = max(bench.index_of[stamp_of(t)] for t in bench.targets if t.state == TrackedTarget.TRACKING)
    bench.index = lost
    bench.film(lambda: bench.targets[-1].state == TrackedTarget.TRACKING)
    assert bench.targets[-1].target_id == name


def test_a_target_is_stopped_and_chosen_again(start):
    _, bench = start()
    bench.start_tracking()
    first = bench.targets[-1].target_id
    answer = bench.call(Trigger, "/tracker/stop", Trigger.Request())
    assert answer.success
    assert first in answer.message
    bench.wait(lambda: bench.targets[-1].state == TrackedTarget.IDLE)
    assert "no target" in bench.call(Trigger, "/tracker/stop", Trigger.Request()).message
    bench.start_tracking()
    assert bench.targets[-1].target_id != first


def test_a_disabled_node_answers_nothing_and_refuses_targets(start):
    _, bench = start(parameters={"diagnostics_period": 0.2})
    bench.start_tracking()
    answer = bench.call(SetBool, "/tracker/enable", SetBool.Request(data=False))
    assert answer.success, answer.message
    # The last answer says that the target was given up.
    bench.wait(lambda: bench.targets[-1].state == TrackedTarget.IDLE)
    bench.targets.clear()
    bench.film_for(0.5)
    bench.choose()
    bench.wait(lambda: "disabled" in bench.status()["last refused request"])
    assert bench.targets == []
    bench.call(SetBool, "/tracker/enable", SetBool.Request(data=True))
    bench.film(lambda: len(bench.targets) > 0)
    assert bench.targets[-1].state == TrackedTarget.IDLE


def test_a_region_before_any_image_waits_for_the_first(start):
    _, bench = start()
    x, y, width, height = bench.scene.box(0)
    bench.rois.publish(RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height))
    time.sleep(0.5)

    def one_more():
        bench.index = 0
        bench.publish()

    bench.film(lambda: len(bench.targets) > 0, rate=5.0, publish=one_more, patience=PATIENCE)
    assert bench.targets[0].state == TrackedTarget.TRACKING
    assert bench.overlap(bench.targets[0]) > 0.99
