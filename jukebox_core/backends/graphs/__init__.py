"""Captures the steps of a backend as CUDA graphs."""
