"""Training data: recordings, label lists, codes, and new model folders."""
