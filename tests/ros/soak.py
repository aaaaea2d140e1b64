"""Runs the node for a long time and measures its memory and latency.

python3 tests/ros/soak.py --minutes 30 --output out/soak      (ROS 2 and the package sourced)

Publishes pictures at 30 Hz. Meanwhile targets are chosen, leave and come back, parameters change, models are loaded
again, and bad messages are sent. Writes soak.csv, one line per second, and soak.png if matplotlib is installed. The
exit code is 0 if memory and latency in the second half are about those of the first half, else 1.
"""

import argparse
import csv
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import Bench, tell
from process import Node
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters

COLUMNS = ["second", "memory_mib", "threads", "latency_p50_ms", "latency_p95_ms", "age_ms", "rate_hz", "state"]
# Minutes at the start that do not count, because buffers still grow; then the largest growth of memory and of latency.
WARM_UP = 1.0
MOST_GROWTH_MIB = 8.0
MOST_SLOWER = 1.5


def disturb(bench, second):
    """Changes something every few seconds: the target, a parameter, the model, or a bad message is sent."""
    if second % 20 == 5:
        bench.choose()
    if second % 30 == 12:
        bench.publish(encoding="jelly")
    if second % 60 in (25, 40):
        set_parameter(bench, "search_scale", ParameterValue(type=3, double_value=2.0 if second % 60 == 25 else 1.0))
    if second % 120 == 50:
        # A changed number of threads loads the model again.
        threads = 1 + second // 120 % 2
        set_parameter(bench, "num_threads", ParameterValue(type=2, integer_value=threads))


def set_parameter(bench, name, value):
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    bench.call(SetParameters, "/tracker/set_parameters", request)


def run(minutes, table):
    """Publishes pictures and returns one row of measurements per second."""
    node = Node()
    bench = Bench()
    rows = []
    try:
        bench.start_tracking()
        begun = time.monotonic()
        for second in range(int(minutes * 60)):
            visible = second % 20 < 15
            bench.film_for(max(0.0, begun + second + 1 - time.monotonic()), visible=visible)
            disturb(bench, second)
            if node.process.poll() is not None:
                raise SystemExit(f"the node ended after {second} s with code {node.process.returncode}:\n{node.text()}")
            memory, threads = node.facts()
            values = {entry.key: entry.value for status in bench.statuses[-1:] for entry in status.values}
            row = [
                second,
                round(memory, 2),
                threads,
                *(
                    values.get(key, "")
                    for key in ("latency p50 (ms)", "latency p95 (ms)", "age of the last frame (ms)", "rate (Hz)")
                ),
                values.get("state", ""),
            ]
            rows.append(row)
            table.writerow(row)
            # The memory of the bench must not grow either.
            for heard in (bench.targets, bench.detections, bench.statuses, bench.lines):
                del heard[:-50]
            if len(bench.index_of) > 20000:
                bench.index_of = dict(list(bench.index_of.items())[-1000:])
                bench.arrivals = dict(list(bench.arrivals.items())[-1000:])
    finally:
        code = node.stop()
        bench.close()
    print(f"the node's exit code: {code}")
    return rows


def judge(rows, warm_up=WARM_UP):
    """Compares the second half with the first, without `warm_up` minutes. Returns whether nothing has grown."""
    rows = [row for row in rows if row[0] >= warm_up * 60 and row[3]]
    half = len(rows) // 2
    first, second = rows[:half], rows[half:]
    memory = [statistics.median(row[1] for row in part) for part in (first, second)]
    latency = [statistics.median(float(row[3]) for row in part) for part in (first, second)]
    tell(
        f"{len(rows)} s of work: "
        f"memory, median of each half: {memory[0]:.1f} and {memory[1]:.1f} MiB, most {max(r[1] for r in rows):.1f}; "
        f"latency p50, median of each half: {latency[0]:.2f} and {latency[1]:.2f} ms"
    )
    return memory[1] - memory[0] <= MOST_GROWTH_MIB and latency[1] <= latency[0] * MOST_SLOWER


def plot(rows, path):
    """Draws memory and latency over time."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("matplotlib is not installed: no plot")
        return
    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(10, 6))
    minutes = [row[0] / 60 for row in rows]
    axes[0].plot(minutes, [row[1] for row in rows])
    axes[0].set(ylabel="resident memory (MiB)", ylim=(0, None))
    for column, name in ((3, "p50"), (4, "p95")):
        axes[1].plot(minutes, [float(row[column] or "nan") for row in rows], label=name)
    axes[1].set(ylabel="latency of a frame (ms)", xlabel="minutes", ylim=(0, None))
    axes[1].legend()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--output", type=Path, default=Path("out/soak"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "soak.csv").open("w", newline="", buffering=1) as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        rows = run(arguments.minutes, table)
    plot(rows, arguments.output / "soak.png")
    return 0 if judge(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
