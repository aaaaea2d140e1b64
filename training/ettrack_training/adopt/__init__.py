"""Model folders of ONNX files that others exported: `python -m ettrack_training.adopt`."""
