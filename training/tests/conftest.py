"""Common fixtures: one thread, and pseudo-random E.T.Track and LightTrack checkpoints."""

import pytest
import torch

from ettrack_training.pseudo_weights import pseudo_state_dict
from ettrack_training.trackers import TRACKERS

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def states():
    """State dict of each tracker, pseudo-random with the salt of the recorded outputs."""
    return {
        name: pseudo_state_dict(
            TRACKERS[name].build({}).state_dict(),
            TRACKERS[name].pseudo_rule,
            TRACKERS[name].golden_salt,
        )
        for name in ("et_track", "lighttrack")
    }


@pytest.fixture(scope="session")
def networks(states):
    """Network of each tracker with these weights, in evaluation mode."""
    built = {}
    for name, state in states.items():
        built[name] = TRACKERS[name].build({}).eval()
        built[name].load_state_dict(state)
    return built
