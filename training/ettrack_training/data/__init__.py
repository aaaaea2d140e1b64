"""Training pairs for template trackers: readers, packed pictures, sampling, compositing, labels."""
