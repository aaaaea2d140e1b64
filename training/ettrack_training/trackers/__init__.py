"""The trackers that `convert` knows. A new one is a module here and a line in `TRACKERS`."""

from . import compresstracker, et_track, fear, lighttrack, smat, sparsett
from .base import Tracker

TRACKERS: dict[str, Tracker] = {
    module.TRACKER.name: module.TRACKER for module in (et_track, lighttrack, smat, sparsett, compresstracker, fear)
}

__all__ = ["TRACKERS", "Tracker"]
