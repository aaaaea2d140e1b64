"""The workshop of ettrack: networks, conversion to model folders, training."""

__version__ = "0.1.0"
