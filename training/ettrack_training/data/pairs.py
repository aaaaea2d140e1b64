"""A training pair: a template crop, a search crop, and the box of the template's object in the search crop."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class Kind(IntEnum):
    """The kind of a pair.

    In ``WRONG_TEMPLATE`` pairs the box marks an object in the search crop that the template does not show. ``ABSENT``
    pairs have no box (zeros). In both kinds all scores must be 0.
    """

    POSITIVE = 0
    WRONG_TEMPLATE = 1
    ABSENT = 2


class Origin(IntEnum):
    """The way in which a pair was made."""

    VIDEO = 0
    STILL = 1
    REFRAMED = 2
    COMPOSITE = 3
    CROSSING = 4


#: Largest number of other objects in a search crop whose boxes are kept.
MAX_OTHERS = 3


@dataclass
class Pair:
    """One pair.

    ``template`` and ``search`` are u8 RGB [size, size, 3]. ``box`` is the target in search pixels and ``template_box``
    the template's object in template pixels, both float32 x1, y1, x2, y2. ``others`` is float32 [k, 4] with k at most
    ``MAX_OTHERS``: the known boxes, in search pixels, of objects that could be confused with the target.
    """

    template: np.ndarray
    search: np.ndarray
    box: np.ndarray
    kind: Kind
    origin: Origin
    template_box: np.ndarray
    others: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


NO_BOX = np.zeros(4, np.float32)
