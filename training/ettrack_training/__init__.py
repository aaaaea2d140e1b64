"""The workshop of ettrack: networks, conversion to model folders, training."""
