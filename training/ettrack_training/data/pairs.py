"""A training pair: a template crop, a search crop, and where the template's object is in the latter."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class Kind(IntEnum):
    """The kind of a pair.

    With ``WRONG_TEMPLATE`` the box marks an object in the search crop that the template does not show; with
    ``ABSENT`` there is no box (zeros). In both kinds every score must be 0.
    """

    POSITIVE = 0
    WRONG_TEMPLATE = 1
    ABSENT = 2


class Origin(IntEnum):
    """Where a pair came from."""

    VIDEO = 0
    STILL = 1
    REFRAMED = 2
    COMPOSITE = 3
    CROSSING = 4


#: Of how many other objects in a search crop the boxes are kept.
MAX_OTHERS = 3


@dataclass
class Pair:
    """``template`` and ``search`` are u8 RGB [size, size, 3]; ``box`` and ``template_box`` float32 x1, y1, x2, y2 in
    search and template pixels, the latter around what the template shows. ``others`` float32 [k, 4], at most
    ``MAX_OTHERS``: boxes in search pixels of objects that could be taken for the target, as far as they are known."""

    template: np.ndarray
    search: np.ndarray
    box: np.ndarray
    kind: Kind
    origin: Origin
    template_box: np.ndarray
    others: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


NO_BOX = np.zeros(4, np.float32)
