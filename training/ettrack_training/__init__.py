"""Networks of ettrack, their conversion to model folders, and training."""

__version__ = "0.1.0"
