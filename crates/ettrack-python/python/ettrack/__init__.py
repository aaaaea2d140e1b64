"""Keep a camera on one chosen target, on the CPU.

tracker = ettrack.Tracker()
tracker.init(frame, (x, y, width, height))
found, box = tracker.update(next_frame)
"""

from ._ettrack import SEARCH_SCALES, ModelError, Timings, Tracker, __version__

__all__ = ["SEARCH_SCALES", "ModelError", "Timings", "Tracker", "__version__"]
