"""Decode steps with few launches, for CUDA: off unless it is asked for."""
