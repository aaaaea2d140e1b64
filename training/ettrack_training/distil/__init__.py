"""Learning from a teacher tracker given as ONNX: its features first, then its maps."""
