"""Memory and latency do not grow while the node works. soak.py measures this for a longer time and draws a plot."""

import csv
import os

import soak

VARIABLE = "ETTRACK_SOAK_MINUTES"


def test_memory_and_latency_do_not_grow(tmp_path):
    minutes = float(os.environ.get(VARIABLE, "0.7"))
    print(f"{minutes} minutes ({VARIABLE})")
    with (tmp_path / "soak.csv").open("w", newline="") as file:
        rows = soak.run(minutes, csv.writer(file))
    assert len(rows) == int(minutes * 60)
    # Memory for kept images and for the second model is allocated in the first seconds.
    assert soak.judge(rows, warm_up=min(soak.WARM_UP, minutes / 4))
