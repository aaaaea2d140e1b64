"""Trains a student on a teacher tracker that is given as ONNX: first on its features, then on its maps."""
