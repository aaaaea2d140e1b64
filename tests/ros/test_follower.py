"""The follower turns so that the target stays in view, and stands still without a target."""

import math
import time

import numpy as np
import pytest
from ettrack.msg import TrackedTarget
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from harness import HEIGHT, SIDE, WIDTH, Bench, Scene, tell
from process import Follower, Node
from rcl_interfaces.msg import Parameter, ParameterEvent, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from sensor_msgs.msg import CameraInfo

FOCAL = 280.0
RATE = 30.0


class Panorama(Scene):
    """A wide scene in which the camera turns by commands. Angles are in radians, positive to the right."""

    def __init__(self):
        super().__init__(width=6 * WIDTH)
        self.size = (WIDTH, HEIGHT)
        self.heading, self.turn = 0.0, 0.0
        self.boxes = []

    def direction(self, index):
        """Returns the direction to the target in picture `index`. It moves by more than the image's width."""
        return 0.9 * math.sin(index / RATE * 0.5)

    def picture(self, index, visible=True):
        """Turns the camera for one picture and returns the picture."""
        self.heading += self.turn / RATE
        left = int(self.ground.shape[1] / 2 + FOCAL * self.heading - WIDTH / 2)
        left = min(max(left, 0), self.ground.shape[1] - WIDTH)
        picture = np.ascontiguousarray(self.ground[:, left : left + WIDTH])
        x = round(WIDTH / 2 + FOCAL * (self.direction(index) - self.heading) - SIDE / 2)
        y = HEIGHT // 2 - SIDE // 2
        self.boxes.append((x, y, SIDE, SIDE))
        shown = slice(max(x, 0), min(x + SIDE, WIDTH))
        if visible and shown.start < shown.stop:
            picture[y : y + SIDE, shown] = self.target[:, shown.start - x : shown.stop - x]
        return picture

    def box(self, index):
        return self.boxes[index]


def test_the_target_stays_in_view_and_the_motion_ends_without_a_target(stack):
    stack.enter_context(Node())
    stack.enter_context(Follower())
    scene = Panorama()
    bench = Bench(scene=scene)
    stack.callback(bench.close)
    commands = []

    def obey(command):
        commands.append(command)
        scene.turn = -command.twist.angular.z

    bench.node.create_subscription(TwistStamped, "cmd_vel", obey, 10)
    k = [FOCAL, 0.0, WIDTH / 2 - 0.5, 0.0, FOCAL, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0]
    bench.calibration = CameraInfo(width=WIDTH, height=HEIGHT, k=k, distortion_model="plumb_bob")
    bench.wait_for_the_node()
    bench.wait(lambda: commands)
    bench.start_tracking()
    beside = []

    def one_more():
        bench.publish()
        x, _, width, _ = scene.boxes[-1]
        beside.append(abs(x + width / 2 - WIDTH / 2))

    bench.film_for(60.0, publish=one_more)
    turned = max(abs(scene.direction(index)) for index in range(bench.index)) * FOCAL
    tell(f"a minute of turns of {2 * turned:.0f} pixels: the target at most {max(beside):.0f} pixels beside the middle")
    assert turned > WIDTH / 2, "without turning it would leave the image"
    assert max(beside) < WIDTH / 2 - SIDE / 2, "it never left the image"
    assert max(abs(command.twist.angular.z) for command in commands) > 0.2
    assert bench.overlap(bench.targets[-1]) > 0.4

    begun = time.monotonic()
    bench.film(lambda: bench.targets[-1].state == TrackedTarget.LOST, visible=False)
    bench.film(lambda: commands[-1].twist.angular.z == 0.0, visible=False)
    tell(f"hidden, the motion ended after {time.monotonic() - begun:.1f} s")
    commands.clear()
    bench.film_for(1.0, visible=False)
    assert len(commands) > 10, "zero velocities are still sent"
    assert all(command.twist.angular.z == 0.0 for command in commands)


@pytest.fixture
def alone(stack):
    """Returns a function that starts a follower. The test sends the tracker's answers."""

    def alone(kind=TwistStamped, **parameters):
        follower = stack.enter_context(Follower(parameters=parameters))
        bench = Bench()
        stack.callback(bench.close)
        commands = []
        bench.node.create_subscription(kind, "cmd_vel", commands.append, 10)
        answers = bench.node.create_publisher(TrackedTarget, "tracked_target", 10)
        bench.wait(lambda: answers.get_subscription_count() > 0 and commands)

        def answer(**changes):
            target = TrackedTarget(state=TrackedTarget.TRACKING, target_id="1", bearing_valid=True)
            target.header.frame_id = "camera"
            target.header.stamp = bench.node.get_clock().now().to_msg()
            target.bearing.x, target.bearing.z = math.sin(0.4), math.cos(0.4)
            for name, value in changes.items():
                setattr(target, name, value)
            answers.publish(target)

        return follower, bench, commands, answer

    return alone


def turn_of(command):
    """Returns the turning rate of a command of either type."""
    return (command.twist if isinstance(command, TwistStamped) else command).angular.z


@pytest.mark.parametrize(("stamped", "kind"), [(True, TwistStamped), (False, Twist)])
def test_commands_have_the_requested_type(alone, stamped, kind):
    _, bench, commands, answer = alone(kind, stamped=stamped, frame_id="rover")
    bench.film(lambda: turn_of(commands[-1]) < -0.3, publish=answer)
    if stamped:
        assert commands[-1].header.frame_id == "rover"
        assert commands[-1].header.stamp.sec > 0


def test_the_position_of_a_target_of_known_size_is_published(alone):
    _, bench, _, answer = alone(target_meters=2.0)
    places = []
    bench.node.create_subscription(PoseStamped, "target_pose", places.append, 10)
    calibration = bench.node.create_publisher(CameraInfo, "camera_info", 1)
    bench.wait(lambda: calibration.get_subscription_count() > 0)
    k = [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0]
    target = TrackedTarget()
    target.bounding_box.size_x, target.bounding_box.size_y = 50.0, 80.0

    def calibrated():
        calibration.publish(CameraInfo(width=640, height=480, k=k))
        answer(bounding_box=target.bounding_box)

    bench.film(lambda: places, publish=calibrated)
    depth = 2.0 * 500.0 / math.sqrt(50.0 * 80.0)
    position = places[-1].pose.position
    assert abs(position.z - depth) < 1e-6 and abs(position.x - depth * math.tan(0.4)) < 1e-6
    assert places[-1].header.frame_id == "camera" and places[-1].pose.orientation.w == 1.0
    places.clear()
    bench.film_for(0.5, publish=lambda: answer(bounding_box=target.bounding_box, state=TrackedTarget.LOST))
    assert not places, "a lost target has no position"


def test_parameters_change_during_a_motion(alone):
    _, bench, commands, answer = alone()
    events = []
    bench.node.create_subscription(ParameterEvent, "/parameter_events", events.append, 10)
    bench.film(lambda: turn_of(commands[-1]) < -0.3, publish=answer)

    def put(name, **value):
        parameters = [Parameter(name=name, value=ParameterValue(**value))]
        return bench.call(
            SetParameters, "/follower/set_parameters", SetParameters.Request(parameters=parameters)
        ).results[0]

    assert put("max_yaw_rate", type=3, double_value=0.1).successful
    bench.film(lambda: -0.11 < turn_of(commands[-1]) < -0.05, publish=answer)
    bench.wait(lambda: any(event.node == "/follower" for event in events))
    for name, value, words in (
        ("max_yaw_rate", {"type": 3, "double_value": -1.0}, "0 to 10"),
        ("frame_id", {"type": 4, "string_value": "other"}, "restart"),
        ("nothing", {"type": 1, "bool_value": True}, "no parameter"),
    ):
        result = put(name, **value)
        assert not result.successful and words in result.reason, result.reason
    request = GetParameters.Request(names=["max_yaw_rate"])
    assert bench.call(GetParameters, "/follower/get_parameters", request).values[0].double_value == 0.1
    request = DescribeParameters.Request(names=["max_yaw_rate", "frame_id"])
    told = bench.call(DescribeParameters, "/follower/describe_parameters", request).descriptors
    assert told[0].floating_point_range[0].to_value == 10.0 and told[1].read_only


def test_missing_answers_end_the_motion(alone):
    follower, bench, commands, answer = alone()
    bench.film(lambda: turn_of(commands[-1]) < -0.3, publish=answer)
    begun = time.monotonic()
    bench.wait(lambda: turn_of(commands[-1]) == 0.0)
    tell(f"after the last answer the motion ended in {time.monotonic() - begun:.2f} s")
    assert time.monotonic() - begun < 2.0
    follower.wait_for("standing still: no message on tracked_target")


def test_the_log_says_why_answers_cannot_be_followed_and_what_to_do(alone):
    follower, bench, commands, answer = alone()
    bench.film(lambda: turn_of(commands[-1]) < -0.3, publish=answer)
    bench.film(lambda: turn_of(commands[-1]) == 0.0, publish=lambda: answer(bearing_valid=False))
    follower.wait_for("camera_info")
    bench.film(lambda: turn_of(commands[-1]) < -0.3, publish=answer)
    frames = iter(["camera", "other"] * 1000)

    bench.film(lambda: "two cameras" in follower.text(), publish=lambda: mixed(answer, bench, next(frames)))
    bench.film(lambda: turn_of(commands[-1]) == 0.0, publish=lambda: mixed(answer, bench, next(frames)))


def mixed(answer, bench, frame):
    """Sends an answer for the camera with this frame."""
    header = TrackedTarget().header
    header.frame_id = frame
    header.stamp = bench.node.get_clock().now().to_msg()
    answer(header=header)
