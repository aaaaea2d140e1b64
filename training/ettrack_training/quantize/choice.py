"""Chooses the groups of layers that compute in eight bits: those that save enough time for what they cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .layers import Group
from .measure import Cost


@dataclass(frozen=True)
class Judged:
    """A group, and its effect when all other groups are in eight bits."""

    group: Group
    milliseconds: float | None
    """Time that it saves; negative if it costs time; None if nothing was measured."""
    loss: float | None
    """Its share of the squared difference of the outputs."""
    is_kept: bool


def choose(found: list[Group], measured: Callable[[list[list[Group]]], list[Cost]], *, balance: float) -> list[Judged]:
    """Judges each group by leaving it out. Repeats this with the groups that were kept, until all are kept.

    `measured` returns the costs of the exact graph and of the graphs with these groups in eight bits. A group stays in
    single precision if it saves no time, or if its share of the loss is more than `balance` times its share of the
    saved time. Returns the last judgement of each group, in the order of `found`.
    """
    judged: dict[int, Judged] = {}
    left = found
    while left:
        for one in _judge(left, measured, balance):
            judged[id(one.group)] = one
        kept = [group for group in left if judged[id(group)].is_kept]
        if len(kept) == len(left):
            break
        left = kept
    return [judged[id(group)] for group in found]


def _judge(found: list[Group], measured: Callable[[list[list[Group]]], list[Cost]], balance: float) -> list[Judged]:
    without = [[other for other in found if other is not group] for group in found]
    _, whole, *others = measured([found, *without])
    gains = [other.milliseconds - whole.milliseconds for other in others]
    losses = [max(whole.difference**2 - other.difference**2, 0.0) for other in others]
    gain, loss = sum(max(own, 0.0) for own in gains), sum(losses)
    judged = []
    for group, milliseconds, own in zip(found, gains, losses, strict=True):
        share = own / loss if loss > 0 else 0.0
        is_kept = milliseconds > 0 and share <= balance * milliseconds / gain
        judged.append(Judged(group, milliseconds, share, is_kept))
    return judged
