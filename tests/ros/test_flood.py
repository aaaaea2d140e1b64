"""Many requests at once: services still answer, no queue grows, and the newest choice counts."""

import time

from ettrack.msg import TrackedTarget
from harness import tell
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import RegionOfInterest
from std_srvs.srv import SetBool, Trigger


def test_the_node_survives_a_flood_of_regions_detections_and_calls(start):
    node, bench = start()
    bench.start_tracking()
    memory, threads = node.facts()
    end = time.monotonic() + 5.0
    clients = [
        (bench.node.create_client(Trigger, "/tracker/stop"), Trigger.Request()),
        (bench.node.create_client(SetBool, "/tracker/enable"), SetBool.Request(data=True)),
        (bench.node.create_client(GetParameters, "/tracker/get_parameters"), GetParameters.Request(names=["class_id"])),
    ]
    assert all(client.wait_for_service(10.0) for client, _ in clients)
    calls, sent = [], 0
    while time.monotonic() < end:
        bench.publish()
        for client, request in clients:
            calls.append(client.call_async(request))
        for _ in range(20):
            bench.rois.publish(RegionOfInterest(x_offset=sent % 200, y_offset=20, width=30, height=30))
            bench.boxes.publish(bench.detection(bench.targets[-1], f"flood {sent}"))
            sent += 2
        bench.wait(lambda: sum(not call.done() for call in calls) < 20)
    bench.wait(lambda: all(call.done() for call in calls))
    assert all(call.result() is not None for call in calls)
    grown, more = node.facts()[0] - memory, node.facts()[1] - threads
    tell(f"{sent} requests and {len(calls)} calls in 5 s, all answered; memory grew by {grown:.1f} MiB")
    assert grown < 60.0
    assert more <= 1
    # The last choice counts.
    bench.start_tracking()
    bench.film_for(0.5)
    assert bench.targets[-1].state == TrackedTarget.TRACKING
    assert bench.overlap(bench.targets[-1]) > 0.4
