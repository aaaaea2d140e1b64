"""Recognises the inputs and outputs of a tracker's graph, and the family that reads its outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..pixels import MEAN, SCALE, STD
from .graphs import AdoptError, OnnxFile, Port, listed

IMAGENET = {"channels": "rgb", "scale": SCALE, "mean": list(MEAN), "std": list(STD)}
PLAIN = {"channels": "bgr", "scale": 1.0, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


@dataclass(frozen=True)
class FamilyDefaults:
    """Usual values of a family's authors. They are used for values that the graph does not contain."""

    pixels: dict[str, Any]
    template: dict[str, Any]
    search: dict[str, Any]
    tracking: dict[str, float] = field(default_factory=dict)


FAMILIES: dict[str, FamilyDefaults] = {
    "anchor_free": FamilyDefaults(
        IMAGENET,
        {"context": 0.5},
        {},
        {"window_influence": 0.225, "penalty_k": 0.007, "learning_rate": 0.616},
    ),
    "nanotrack": FamilyDefaults(
        PLAIN,
        {"context": 0.5},
        {},
        {"window_influence": 0.455, "penalty_k": 0.138, "learning_rate": 0.348},
    ),
    "centre_head": FamilyDefaults(IMAGENET, {"factor": 2.0}, {"factor": 4.0}),
    "single_box": FamilyDefaults(IMAGENET, {"factor": 2.0}, {"factor": 4.0}),
}
# Constants for a second template: those of MixFormer on LaSOT.
REFRESHED = {"update_interval": 200, "update_above": 0.5, "score_decay": 1.0}


@dataclass(frozen=True)
class Images:
    """Names of the image inputs."""

    template: Port
    search: Port
    refreshed: Port | None = None

    @property
    def templates(self) -> list[Port]:
        return [self.template, *([self.refreshed] if self.refreshed else [])]

    @property
    def ports(self) -> list[Port]:
        return [*self.templates, self.search]


@dataclass(frozen=True)
class Outputs:
    """The outputs that are read, by their roles, and those that are not read."""

    family: str
    score: Port | None = None
    boxes: Port | None = None
    size: Port | None = None
    offset: Port | None = None
    dropped: tuple[Port, ...] = ()


def is_image(port: Port) -> bool:
    """Whether the port takes a square image of three channels. Sides without a fixed length count as equal."""
    if len(port.shape) != 4 or port.shape[1] not in (3, "?") and not isinstance(port.shape[1], str):
        return False
    rows, columns = port.shape[2:]
    return isinstance(rows, str) or isinstance(columns, str) or rows == columns


def images_of(file: OnnxFile, stated: dict[str, str]) -> Images:
    """Returns the image inputs of a graph that takes all images. `stated` maps roles (template, refreshed, search) to
    names that the user gave."""
    ports = {port.name: port for port in file.inputs}
    if strange := [port for port in file.inputs if not is_image(port)]:
        raise AdoptError(
            f"{file.path}: input {strange[0]} is no image, expected [1, 3, size, size] for the template and the search "
            f"region; the graph takes {listed(file.inputs)}"
        )
    if len(ports) not in (2, 3):
        hint = ": a backbone without its head?" if len(ports) == 1 else ""
        raise AdoptError(
            f"{file.path}: expected two images, template and search region, or three with a second template; the graph "
            f"takes {listed(file.inputs)}{hint}"
        )
    for role, name in stated.items():
        if name not in ports:
            raise AdoptError(f"{file.path}: no input {name} for --{role}-input; the graph takes {listed(file.inputs)}")
    roles = {role: ports[name] for role, name in stated.items()}
    rest = [port for port in file.inputs if port not in roles.values()]
    if "search" not in roles:
        roles["search"] = _pick(rest, r"search|(^|_)x|instance|img_s", largest=True)
        rest.remove(roles["search"])
    if "refreshed" not in roles and len(ports) == 3:
        candidates = [
            port for port in rest if re.search(r"online|dynamic|update|refresh|second|_1$|2$", port.name.lower())
        ]
        roles["refreshed"] = candidates[0] if candidates else rest[-1]
        rest.remove(roles["refreshed"])
    if "template" not in roles:
        roles["template"] = rest[0]
    found = Images(roles["template"], roles["search"], roles.get("refreshed"))
    if found.refreshed and found.refreshed.shape != found.template.shape:
        raise AdoptError(
            f"{file.path}: the second template is {found.refreshed}, expected the shape of {found.template}"
        )
    return found


def _pick(ports: list[Port], pattern: str, largest: bool) -> Port:
    sizes = [port.shape[2] for port in ports]
    if all(isinstance(size, int) for size in sizes) and len(set(sizes)) > 1:
        return max(ports, key=lambda port: port.shape[2]) if largest else min(ports, key=lambda port: port.shape[2])
    named = [port for port in ports if re.search(pattern, port.name.lower())]
    return named[0] if named else ports[-1]


def outputs_of(file: OnnxFile, ports: list[Port], family: str | None, stated: dict[str, str]) -> Outputs:
    """Returns the outputs among `ports` that a family reads. `stated` maps roles (score, boxes, size, offset) to names
    that the user gave."""
    by_name = {port.name: port for port in ports}
    for role, name in stated.items():
        if name not in by_name:
            raise AdoptError(f"{file.path}: no output {name} for --{role}-output; the graph gives {listed(ports)}")
    given = {role: by_name[name] for role, name in stated.items()}
    maps = [
        port for port in ports if len(port.shape) == 4 and port.shape[0] == 1 and port.shape[2] == port.shape[3] > 1
    ]
    planes = {number: [port for port in maps if port.shape[1] == number] for number in (1, 2, 4)}
    boxes = [port for port in ports if port.shape in ((1, 4), (1, 1, 4))]
    scores = [port for port in ports if port.shape in ((), (1,), (1, 1), (1, 1, 1))]
    of_centre = _centre_head(planes, given)
    of_grid = _grid(planes, given)
    of_box = _single_box(boxes, scores, given)
    choices = {
        "centre_head": of_centre,
        "nanotrack": of_grid,
        "anchor_free": of_grid,
        "single_box": of_box,
    }
    if family is None:
        # Graphs with a centre head often also return the best box, chosen without the cosine window. Maps come first.
        family = next((name for name in ("centre_head", "nanotrack", "single_box") if choices[name]), None)
        if family == "nanotrack" and of_grid and of_grid["score"].shape[1] == 1:
            family = "anchor_free"
    found = choices.get(family) if family else None
    if found is None:
        expected = {
            "centre_head": "a score map [1, 1, n, n] with size and offset [1, 2, n, n] each",
            "nanotrack": "scores [1, 1 or 2, n, n] and distances [1, 4, n, n]",
            "anchor_free": "scores [1, 1 or 2, n, n] and distances [1, 4, n, n]",
            "single_box": "a box [1, 1, 4] or [1, 4]",
        }
        wanted = expected[family] if family else "; or ".join(dict.fromkeys(expected.values()))
        raise AdoptError(f"{file.path}: expected {wanted}; the graph gives {listed(ports)}")
    used = [port for port in found.values() if port]
    return Outputs(family, **found, dropped=tuple(port for port in ports if port not in used))


def _centre_head(planes: dict[int, list[Port]], given: dict[str, Port]) -> dict[str, Port] | None:
    score = given.get("score") or _first(planes[1])
    pairs = [port for port in planes[2] if score and port.shape[2:] == score.shape[2:]]
    if not score or len(pairs) < 2 or not {"score", "size", "offset"}.issuperset(given):
        return None
    size = given.get("size") or next((port for port in pairs if re.search(r"size|wh", port.name.lower())), None)
    offset = given.get("offset") or next((port for port in pairs if re.search(r"off", port.name.lower())), None)
    rest = [port for port in pairs if port not in (size, offset)]
    size = size or rest.pop(0)
    return {"score": score, "size": size, "offset": offset or rest[0]}


def _grid(planes: dict[int, list[Port]], given: dict[str, Port]) -> dict[str, Port] | None:
    boxes = given.get("boxes") or _first(planes[4])
    scores = [port for port in (*planes[1], *planes[2]) if boxes and port.shape[2:] == boxes.shape[2:]]
    score = given.get("score") or _first(scores)
    return {"score": score, "boxes": boxes} if score and boxes and len(boxes.shape) == 4 else None


def _single_box(boxes: list[Port], scores: list[Port], given: dict[str, Port]) -> dict[str, Port] | None:
    chosen = given.get("boxes") or _first(boxes)
    if not chosen or len(chosen.shape) > 3:
        return None
    score = given.get("score") or _first(scores)
    return {"boxes": chosen, **({"score": score} if score else {})}


def _first(ports: list[Port]) -> Port | None:
    return ports[0] if ports else None
