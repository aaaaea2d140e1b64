"""Decodes every picture of a training set once and stores it in memory-mapped files, with its boxes and cut-outs.

    python -m ettrack_training.data.pack --out CACHE davis=index:/data/davis16 caltech=folder:/data/caltech101

Each NAME=KIND:PATH becomes CACHE/NAME with ``pictures/`` and ``cutouts/`` (see
:mod:`ettrack_training.data.store`), ``source.json`` (its source and options) and ``clips.json``. To resume an
interrupted build, give the same command again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..refusals import refusals
from ..whole_file import write_whole
from .cutout import cut, segment
from .evaluation import refuse_evaluation
from .flow import window_tracks
from .provenance import PackRecord, check_record
from .readers import READERS, measured_videos
from .records import Clip, Track
from .sources import Source, named
from .store import CODECS, Store, StoreWriter

PICTURE_SIZE = 360
VIEWS_PER_TRACK = 24
MIN_PICTURE_SIDE = 64


@dataclass(frozen=True)
class PackOptions:
    """Options of the packer.

    ``size`` is the longest side of a stored picture in pixels. ``frame_stride`` n keeps every n-th frame of videos.
    ``segment_stills`` cuts objects out of photographs that have no masks. ``follow_windows`` follows random windows of
    videos by optical flow. ``namesakes`` are videos that are allowed although they have the name of one on which
    trackers are evaluated (see `evaluation`).
    """

    size: int = PICTURE_SIZE
    codec: str = "raw"
    segment_stills: bool = False
    follow_windows: bool = False
    frame_stride: int = 1
    namesakes: tuple[str, ...] = ()


@dataclass
class Counts:
    """Counts of a build, for its summary line."""

    pictures: int = 0
    unreadable: int = 0
    small: int = 0
    cutouts: int = 0


def pack(clips: Iterable[Clip], folder: Path, options: PackOptions | None = None) -> Counts:
    """Packs clips into ``folder``. Unreadable pictures are counted and left out.

    Raises ValueError if no picture is left, if two clips have the same name, or if a video is one on which trackers are
    evaluated. Errors of the clips' reader are passed on. After an error the folder is not a complete pack.
    """
    options = options or PackOptions()
    counts = Counts()
    rows = []
    seen: dict[str, Path | None] = {}
    with (
        StoreWriter(folder / "pictures", options.codec) as pictures,
        StoreWriter(folder / "cutouts", options.codec) as cutouts,
    ):
        for clip in clips:
            refuse_evaluation(clip, options.namesakes)
            _refuse_repeated_name(clip, seen)
            rows.append(_pack_clip(clip, pictures, cutouts, options, counts))
        if not any(key in pictures for row in rows for key in row["frames"]):
            raise ValueError(
                f"expected readable pictures of at least {MIN_PICTURE_SIDE} px a side, "
                f"got {counts.unreadable} unreadable and {counts.small} smaller ones"
            )
    # This file is written last. Without it the folder is not a pack.
    write_whole(folder / "clips.json", json.dumps(rows))
    return counts


def _refuse_repeated_name(clip: Clip, seen: dict[str, Path | None]) -> None:
    """Raises ValueError if an earlier clip has the same name, because pictures are stored under it. ``seen`` maps the
    names of earlier clips to their first pictures."""
    first = next(iter(clip.frames), None)
    if clip.name in seen:
        raise ValueError(
            f"expected a name of its own for each clip, got {clip.name} twice: it begins with {seen[clip.name]} and "
            f"with {first}"
        )
    seen[clip.name] = first


def expand(source: Path, folder: Path) -> None:
    """Makes a raw pack in ``folder`` from the compressed pack ``source``. Raises ValueError if ``folder`` already holds
    another pack."""
    record = _expanded_record(source)
    check_record(folder, record)
    if record is not None:
        record.write(folder)
    for part in ("pictures", "cutouts"):
        store = Store(source / part)
        with StoreWriter(folder / part) as writer:
            for key in store:
                if key not in writer:
                    entry = store.entry(key)
                    writer.add(key, store.load(entry), (entry.original_height, entry.original_width))
    write_whole(folder / "clips.json", (source / "clips.json").read_text())


def _expanded_record(source: Path) -> PackRecord | None:
    record = PackRecord.read(source)
    return None if record is None else replace(record, codec="raw")


def _pack_clip(clip: Clip, pictures: StoreWriter, cutouts: StoreWriter, options: PackOptions, counts: Counts) -> dict:
    frames = list(range(0, len(clip.frames), options.frame_stride))
    keys = [f"{clip.name}#{frame}" for frame in frames]
    wanted = {
        (number, frame)
        for number, track in enumerate(clip.tracks)
        for frame in _views(track, frames)
        if f"{clip.name}#{frame}@{number}" not in cutouts
    }
    guess = options.segment_stills and len(frames) == 1 and not any(t.masks for t in clip.tracks)
    guess_key = f"{clip.name}#0@guess"
    for key, frame in zip(keys, frames, strict=True):
        here = [number for number, wanted_frame in wanted if wanted_frame == frame]
        if key in pictures and not here and not (guess and guess_key not in cutouts):
            continue
        picture = _read(clip.frames[frame])
        if picture is None:
            counts.unreadable += 1
            print(f"cannot read {clip.frames[frame]}", file=sys.stderr)
            continue
        original = picture.shape[:2]
        if min(original) < MIN_PICTURE_SIDE:
            counts.small += 1
            continue
        small = _shrink(picture, options.size)
        if key not in pictures:
            pictures.add(key, small, original)
            counts.pictures += 1
        for number in here:
            with named(f"clip {clip.name}"):
                mask = clip.tracks[number].masks[frame].read()
            counts.cutouts += _store_cutout(cutouts, f"{clip.name}#{frame}@{number}", picture, mask)
        if guess and guess_key not in cutouts:
            counts.cutouts += _store_cutout(cutouts, guess_key, small, segment(small))
    return {
        "name": clip.name,
        "category": clip.category,
        "frames": keys,
        "tracks": [
            {
                "category": track.category,
                "boxes": [
                    None if np.isnan(b).any() else [round(v, 2) for v in b] for b in track.boxes[frames].tolist()
                ],
                "cutouts": [f"{clip.name}#{frame}@{number}" for frame in _views(track, frames)],
            }
            for number, track in enumerate(clip.tracks)
        ],
        "guess": guess_key if guess else None,
        "windows": _windows(clip, frames) if options.follow_windows else [],
    }


def _windows(clip: Clip, frames: list[int]) -> list[dict]:
    """Windows that were followed through a video. ``first`` is the position of a window's first frame. ``boxes`` are x,
    y, width, height in pixels of the original picture."""
    if len(frames) < 2:
        return []
    small, scale = _grey(clip, frames)
    rng = np.random.default_rng(len(frames))
    rows = []
    for track in window_tracks(small, rng):
        shown = np.flatnonzero(~np.isnan(track.boxes[:, 0]))
        boxes = track.boxes[shown] / scale
        rows.append({"first": int(shown[0]), "boxes": boxes.round(2).tolist()})
    return rows


def _grey(clip: Clip, frames: list[int]) -> tuple[list[np.ndarray], float]:
    """The grey frames, reduced by the scale that is also returned. No frames if one cannot be read or if their sizes
    differ. A long video does not fit into memory at its full size, so each frame is reduced as it is read."""
    small: list[np.ndarray] = []
    shape, scale = None, 1.0
    for frame in frames:
        grey = cv2.imread(str(clip.frames[frame]), cv2.IMREAD_GRAYSCALE)
        if grey is None or shape not in (None, grey.shape):
            return [], scale
        shape = grey.shape
        scale = min(1.0, PICTURE_SIZE / max(shape))
        small.append(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return small, scale


def _views(track: Track, frames: list[int]) -> list[int]:
    """The frames of a track whose cut-outs are stored, distributed evenly over those that have a mask."""
    if track.masks is None:
        return []
    masked = [frame for frame in frames if track.masks[frame] is not None]
    if len(masked) <= VIEWS_PER_TRACK:
        return masked
    picks = np.linspace(0, len(masked) - 1, VIEWS_PER_TRACK).round().astype(int)
    return [masked[pick] for pick in picks]


def _store_cutout(cutouts: StoreWriter, key: str, picture: np.ndarray, mask: np.ndarray | None) -> int:
    if mask is not None and mask.shape != picture.shape[:2]:
        # In some data sets masks and pictures have different resolutions.
        shape = (picture.shape[1], picture.shape[0])
        mask = cv2.resize(mask.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST) > 0
    patch = None if mask is None else cut(picture, mask)
    if patch is None:
        cutouts.refuse(key)
        return 0
    cutouts.add(key, patch, picture.shape[:2])
    return 1


def _read(path: Path) -> np.ndarray | None:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if picture is None else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _shrink(picture: np.ndarray, size: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    if scale >= 1.0:
        return picture
    shape = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)


def _at_least(least: int) -> Callable[[str], int]:
    """Makes the type of an option: a whole number of at least ``least``."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return int(text)

    return parse


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", metavar="NAME=KIND:PATH", help=f"KIND: {', '.join(READERS)}")
    parser.add_argument("--out", type=Path, required=True, help="cache folder")
    parser.add_argument("--size", type=_at_least(1), default=PICTURE_SIZE, help="longest side of a stored picture")
    parser.add_argument("--codec", choices=CODECS, default="raw", help="webp makes packs small for copying")
    parser.add_argument("--segment", action="store_true", help="cut objects out of photographs without masks")
    parser.add_argument("--windows", action="store_true", help="follow random windows of videos by optical flow")
    parser.add_argument("--frame-stride", type=_at_least(1), default=1, help="n: keep every n-th frame of videos")
    parser.add_argument(
        "--namesake",
        action="append",
        default=[],
        metavar="VIDEO",
        help="allow this video although it has the name of one on which trackers are evaluated",
    )
    parser.add_argument("--expand", type=Path, help="rewrite the packs in this folder as raw ones under --out")
    options = parser.parse_args(arguments)
    if not (options.sources or options.expand):
        parser.error("expected sources, NAME=KIND:PATH, or --expand FOLDER")
    packs = sorted(path.parent for path in options.expand.glob("*/clips.json")) if options.expand else []
    if options.expand and not packs:
        parser.error(f"--expand {options.expand}: expected packs, NAME/clips.json, and found none")
    if options.expand and options.expand.resolve() == options.out.resolve():
        parser.error(f"--expand {options.expand}: expected another folder than --out")
    cv2.setNumThreads(1)
    with refusals():
        _run(packs, options)
    return 0


def _refuse_repeats(asked: list[tuple[str, object]]) -> None:
    """Raises ValueError if two sources have the same NAME, because each fills the folder with its NAME."""
    seen: dict[str, object] = {}
    for name, what in asked:
        if name in seen:
            raise ValueError(f"expected a NAME of its own for each source, got {name} twice: {seen[name]} and {what}")
        seen[name] = what


def _run(packs: list[Path], options: argparse.Namespace) -> None:
    """Checks all sources, then packs them. Packing takes hours, so all errors that can be found are found first. Raises
    ValueError that names the refused source."""
    sources = [Source.parse(text) for text in options.sources]
    _refuse_repeats([(folder.name, folder) for folder in packs] + [(source.name, source) for source in sources])
    shape = options.size, options.codec, options.frame_stride
    records = [PackRecord.of(source.specification, *shape) for source in sources]
    for folder in packs:
        with named(folder):
            check_record(options.out / folder.name, _expanded_record(folder))
    for source, record in zip(sources, records, strict=True):
        with named(source):
            check_record(options.out / source.name, record)
            source.check()
    for folder in packs:
        with named(folder):
            expand(folder, options.out / folder.name)
    settings = PackOptions(
        options.size, options.codec, options.segment, options.windows, options.frame_stride, tuple(options.namesake)
    )
    for source, record in zip(sources, records, strict=True):
        measured = tuple(sorted(measured_videos(source.specification)))
        if measured:
            print(
                f"{source.name}: {source.kind} includes videos on which trackers are measured; a network that learns "
                "from them must not be measured on the same data set",
                file=sys.stderr,
            )
        own = replace(settings, namesakes=settings.namesakes + measured)
        with named(source):
            record.write(options.out / source.name)
            counts = pack(source.clips(), options.out / source.name, own)
        print(
            f"{source.name}: {counts.pictures} pictures and {counts.cutouts} cut-outs added, "
            f"{counts.unreadable} unreadable, {counts.small} smaller than {MIN_PICTURE_SIDE} px"
        )


if __name__ == "__main__":
    sys.exit(main())
