"""The trackers that `convert` knows. A new one is a module here and a line in `TRACKERS`."""

from . import et_track, lighttrack
from .base import Tracker

TRACKERS: dict[str, Tracker] = {tracker.name: tracker for tracker in (et_track.TRACKER, lighttrack.TRACKER)}

__all__ = ["TRACKERS", "Tracker"]
