"""Reads a bag with other people's readers (rosbags, mcap-ros2-support) and prints what it holds as JSON.

Usage: check_bag.py BAG. Exit code 3 where the packages are not installed.
"""

import json
import sys
from pathlib import Path

try:
    from mcap_ros2.reader import read_ros2_messages
    from rosbags.highlevel import AnyReader
    from rosbags.rosbag2 import Reader
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)


def stamp(header):
    return header.stamp.sec * 1_000_000_000 + (
        header.stamp.nanosec if hasattr(header.stamp, "nanosec") else header.stamp.nanosecs
    )


def summary(topic, time, message):
    """The same fields of a message, whichever reader decoded it."""
    entry = {"topic": topic, "time": time, "stamp": stamp(message.header), "frame_id": message.header.frame_id}
    if topic == "/tracked_target":
        box = message.bounding_box
        entry |= {
            "state": message.state,
            "id": message.target_id,
            "box": [box.center.position.x, box.center.position.y, box.size_x, box.size_y],
            "confidence": round(float(message.confidence), 6),
            "offset": [message.offset_x, message.offset_y],
            "bearing_valid": bool(message.bearing_valid),
        }
    elif topic == "/detections":
        entry["detections"] = [
            {
                "id": detection.id,
                "class": detection.results[0].hypothesis.class_id,
                "box": [detection.bbox.center.position.x, detection.bbox.center.position.y],
                "orientation_w": detection.results[0].pose.pose.orientation.w,
            }
            for detection in message.detections
        ]
    elif topic == "/diagnostics":
        entry["values"] = {value.key: value.value for value in message.status[0].values}
    return entry


def by_rosbags(bag):
    with Reader(bag) as reader:
        duration, count = reader.duration, reader.message_count
    with AnyReader([bag]) as reader:
        messages = [
            summary(connection.topic, time, reader.deserialize(raw, connection.msgtype))
            for connection, time, raw in reader.messages()
        ]
    if count != len(messages):
        raise SystemExit(f"metadata.yaml says {count} messages, the file holds {len(messages)}")
    if messages and duration < messages[-1]["time"] - messages[0]["time"]:
        raise SystemExit(f"metadata.yaml says a duration of {duration} ns")
    return messages


def by_mcap(bag):
    messages = []
    for path in sorted(bag.glob("*.mcap")):
        for item in read_ros2_messages(str(path)):
            messages.append(summary(item.channel.topic, item.log_time_ns, item.ros_msg))
    return messages


def main():
    bag = Path(sys.argv[1])
    one, other = by_rosbags(bag), by_mcap(bag)
    key = lambda entry: (entry["time"], entry["topic"], json.dumps(entry, sort_keys=True))  # noqa: E731
    if sorted(one, key=key) != sorted(other, key=key):
        raise SystemExit("rosbags and mcap-ros2-support read different messages")
    json.dump(one, sys.stdout)


main()
