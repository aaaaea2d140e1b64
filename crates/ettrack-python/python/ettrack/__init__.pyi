# Only types. The docstring of each item says what it does, with units (`help(ettrack.Tracker)`).

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

__all__ = ["SEARCH_SCALES", "ModelError", "Timings", "Tracker", "__version__"]

__version__: Final[str]
SEARCH_SCALES: Final[tuple[float, float]]

_Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_Box = Sequence[float] | npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]

class ModelError(RuntimeError): ...

@final
class Timings:
    @property
    def crop(self) -> float: ...
    @property
    def network(self) -> float: ...
    @property
    def decode(self) -> float: ...

@final
class Tracker:
    def __new__(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        encoding: str = "bgr8",
        threads: int | None = None,
        library: str | os.PathLike[str] | None = None,
        provider: Literal["cpu", "acl", "coreml", "cuda", "openvino", "qnn", "tensorrt", "xnnpack"] | None = None,
        precision: Literal["exact", "fast"] | None = None,
        provider_options: dict[str, str] | None = None,
        constants: str | None = None,
        overrides: dict[str, float] | None = None,
        search_scale: float | None = None,
        lost: Literal["model", "off", "on"] | Mapping[str, Any] | None = None,
    ) -> Self: ...
    def init(self, frame: _Frame, box: _Box) -> None: ...
    def update(self, frame: _Frame) -> tuple[bool, tuple[float, float, float, float]]: ...
    @property
    def state(self) -> Literal["idle", "tracking", "lost"]: ...
    @property
    def execution(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def timings(self) -> Timings: ...
