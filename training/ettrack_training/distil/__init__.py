"""Trains a small network (student) on the answers of a tracker in ONNX (teacher): first on features, then on maps."""
