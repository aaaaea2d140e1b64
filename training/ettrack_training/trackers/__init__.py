"""The trackers that `convert` knows. A new one is a module here and a line in `TRACKERS`."""

from . import (
    asymtrack,
    avtrack,
    compresstracker,
    et_track,
    fear,
    hit,
    lighttrack,
    litetrack,
    mixformer2,
    ostrack,
    sglatrack,
    smat,
    sparsett,
    stark,
    sutrack,
)
from .base import Tracker

TRACKERS: dict[str, Tracker] = {
    tracker.name: tracker
    for tracker in (
        *(
            module.TRACKER
            for module in (
                et_track,
                lighttrack,
                smat,
                sparsett,
                compresstracker,
                ostrack,
                litetrack,
                avtrack,
                sglatrack,
                hit,
                asymtrack,
                mixformer2,
                stark,
                sutrack,
                fear,
            )
        ),
        ostrack.WITHOUT_ELIMINATION,
        asymtrack.BASE,
    )
}

#: The trackers by the names of the tests' recorded outputs.
RECORDED: dict[str, Tracker] = TRACKERS | {name: tracker for tracker in TRACKERS.values() for name in tracker.further}

__all__ = ["RECORDED", "TRACKERS", "Tracker"]
