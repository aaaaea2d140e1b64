"""Runs all stages of training in minutes, in any clone: `python -m ettrack_training.smoke` (make train-smoke)."""
