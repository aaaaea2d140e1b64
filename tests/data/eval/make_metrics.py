"""Writes metrics.json: random boxes and their measures, computed in numpy from the definitions.

The definitions are those of docs/evaluation.md. With `--got10k FOLDER` (the unpacked source of the PyPI package
got10k) the numbers of its toolkit are held against these first.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np

rng = np.random.default_rng(20261121)


def draw(frames):
    truth = np.column_stack(
        [
            rng.uniform(0, 300, frames),
            rng.uniform(0, 200, frames),
            rng.uniform(8, 90, frames),
            rng.uniform(8, 90, frames),
        ]
    )
    spread = rng.choice([0.05, 0.3, 1.5], frames)[:, None]
    guess = truth + rng.normal(0, 1, (frames, 4)) * truth[:, [2, 3, 2, 3]] * spread
    guess[:, 2:] = np.maximum(guess[:, 2:], 3)
    return truth.round(4), guess.round(4)


def overlaps(a, b):
    corner = np.maximum(a[:, :2], b[:, :2])
    far = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    inner = np.prod(np.clip(far - corner, 0, None), axis=1)
    # Without this, rounding could put the overlap of equal boxes above the last threshold.
    return np.clip(inner / (np.prod(a[:, 2:], axis=1) + np.prod(b[:, 2:], axis=1) - inner), 0, 1)


def clip(boxes, bound):
    x, y = np.clip(boxes[:, 0], 0, bound[0]), np.clip(boxes[:, 1], 0, bound[1])
    return np.column_stack([x, y, np.clip(boxes[:, 2], 0, bound[0] - x), np.clip(boxes[:, 3], 0, bound[1] - y)])


def one_pass(truth, guess):
    guess = guess.copy()
    guess[0] = truth[0]
    iou = overlaps(guess, truth)
    delta = (guess[:, :2] + guess[:, 2:] / 2) - (truth[:, :2] + truth[:, 2:] / 2)
    center = np.linalg.norm(delta, axis=1)
    normalized = np.linalg.norm(delta / truth[:, 2:], axis=1)
    success = [(iou > t).mean() for t in np.linspace(0, 1, 21)]
    return {
        "success_auc": float(np.mean(success)),
        "precision_20": float((center <= 20).mean()),
        "normalized_precision_20": float((normalized <= 0.2).mean()),
        "sr_50": float((iou > 0.5).mean()),
        "sr_75": float((iou > 0.75).mean()),
        "ao": float(iou.mean()),
    }


def got10k(sequences, bound):
    iou = np.concatenate(
        [overlaps(clip(s["guess"][1:], bound), clip(s["truth"][1:], bound))[s["cover"][1:] > 0] for s in sequences]
    )
    return {"ao": float(iou.mean()), "sr_50": float((iou > 0.5).mean()), "sr_75": float((iou > 0.75).mean())}


def toolkit(folder):
    """Imports only the metrics module of the package got10k, because the whole package needs drawing libraries."""
    sys.modules.setdefault("shapely", types.ModuleType("shapely"))
    geometry = types.ModuleType("shapely.geometry")
    geometry.box = geometry.Polygon = None
    sys.modules.setdefault("shapely.geometry", geometry)
    spec = importlib.util.spec_from_file_location("metrics", Path(folder) / "got10k/utils/metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sequences = []
for frames in (40, 97, 150):
    truth, guess = draw(frames)
    sequences.append({"truth": truth, "guess": guess, "cover": (rng.uniform(size=frames) > 0.1).astype(int)})
bound = (320, 240)
one = [one_pass(s["truth"], s["guess"]) for s in sequences]
pooled = got10k(sequences, bound)

if "--got10k" in sys.argv:
    metrics = toolkit(sys.argv[sys.argv.index("--got10k") + 1])
    for s, ours in zip(sequences, one, strict=True):
        guess = s["guess"].copy()
        guess[0] = s["truth"][0]
        iou, center = metrics.rect_iou(guess, s["truth"]), metrics.center_error(guess, s["truth"])
        # ExperimentOTB: 21 thresholds of overlap, pixels 0..50, the value at 20.
        success = np.greater(iou[:, None], np.linspace(0, 1, 21)[None]).mean(0)
        precision = np.less_equal(center[:, None], np.arange(51)[None]).mean(0)
        np.testing.assert_allclose(success.mean(), ours["success_auc"], atol=1e-12)
        np.testing.assert_allclose(precision[20], ours["precision_20"], atol=1e-12)
        np.testing.assert_allclose(success[10], ours["sr_50"], atol=1e-12)
    # ExperimentGOT10k: the first frame and hidden ones left out, cut at the image, all frames together.
    iou = np.concatenate(
        [
            metrics.rect_iou(s["guess"][1:].copy(), s["truth"][1:].copy(), bound=bound)[s["cover"][1:] > 0]
            for s in sequences
        ]
    )
    np.testing.assert_allclose(iou.mean(), pooled["ao"], atol=1e-12)
    np.testing.assert_allclose((iou > 0.5).mean(), pooled["sr_50"], atol=1e-12)
    print("the got10k toolkit agrees")

out = {
    "image_size": bound,
    "sequences": [
        {"truth": s["truth"].tolist(), "guess": s["guess"].tolist(), "cover": s["cover"].tolist(), "one_pass": o}
        for s, o in zip(sequences, one, strict=True)
    ],
    "one_pass_mean": {key: float(np.mean([o[key] for o in one])) for key in one[0]},
    "got10k": pooled,
}
Path(__file__).with_name("metrics.json").write_text(json.dumps(out) + "\n")
