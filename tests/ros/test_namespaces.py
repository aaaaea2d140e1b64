"""Two nodes in two namespaces, each with its own camera, target and services."""

from harness import Bench
from process import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger


def test_two_nodes_do_not_disturb_each_other(stack):
    benches = {}
    for name in ("left", "right"):
        stack.enter_context(Node(namespace=name, remappings={"image": f"/{name}_camera/image_raw"}))
        benches[name] = Bench(image_topic=f"/{name}_camera/image_raw", topics=f"/{name}/")
        stack.callback(benches[name].close)
    left, right = benches["left"], benches["right"]
    left.wait_for_the_node()
    right.wait_for_the_node()
    left.start_tracking()
    assert right.targets == []
    right.start_tracking()
    left.film(lambda: len(left.targets) > 30)
    right.film(lambda: len(right.targets) > 30)
    assert min(left.overlaps()[-1], right.overlaps()[-1]) > 0.4
    assert left.call(Trigger, "/left/tracker/stop", Trigger.Request()).success
    left.wait(lambda: left.targets[-1].state == left.targets[-1].IDLE)
    right.film_for(0.3)
    assert right.targets[-1].state == right.targets[-1].TRACKING
    names = {status.name for status in left.statuses}
    assert {"/left/tracker: tracker", "/right/tracker: tracker"} <= names
    # A subscriber of one overlay does not cause the other overlay to be drawn.
    overlays = []
    left.node.create_subscription(Image, "/left/tracker/overlay", overlays.append, qos_profile_sensor_data)
    left.film(lambda: len(overlays) > 3)
    assert (overlays[-1].width, overlays[-1].height) == left.scene.size
    assert right.node.count_subscribers("/right/tracker/overlay") == 0
