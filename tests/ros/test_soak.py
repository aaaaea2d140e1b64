"""A node that works for a while: neither memory nor latency grows. soak.py does the same for long, with a plot."""

import csv
import os

import soak

VARIABLE = "ETTRACK_SOAK_MINUTES"


def test_memory_and_latency_stay(tmp_path):
    minutes = float(os.environ.get(VARIABLE, "0.7"))
    print(f"{minutes} minutes ({VARIABLE})")
    with (tmp_path / "soak.csv").open("w", newline="") as file:
        rows = soak.run(minutes, csv.writer(file))
    assert len(rows) == int(minutes * 60)
    # Kept images and the second model come in the first seconds.
    assert soak.judge(rows, warm_up=min(soak.WARM_UP, minutes / 4))
