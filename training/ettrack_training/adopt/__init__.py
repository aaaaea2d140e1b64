"""Makes model folders from ONNX files of other projects: `python -m ettrack_training.adopt`."""
