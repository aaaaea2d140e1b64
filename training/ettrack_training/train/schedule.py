"""The learning rate during a run."""

from __future__ import annotations

import math

from .recipe import Schedule


def share(schedule: Schedule, step: int) -> float:
    """Returns the share of the highest rate, 0..1, for the step after `step` finished steps."""
    warm = 1.0
    if schedule.warmup:
        risen = min(1.0, (step + 1) / schedule.warmup)
        warm = schedule.warmup_from + (1 - schedule.warmup_from) * risen
    return warm * _shape(schedule, step)


def _shape(schedule: Schedule, step: int) -> float:
    if schedule.shape == "constant":
        if not schedule.decay:
            return 1.0
        done = 1 - min(1.0, max(0.0, (schedule.steps - step) / schedule.decay))
    else:
        done = min(1.0, max(0.0, (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)))
    if schedule.shape == "log":
        return schedule.final**done
    return schedule.final + (1 - schedule.final) * (0.5 + 0.5 * math.cos(math.pi * done))
