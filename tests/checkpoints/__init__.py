"""Weights in every format they come in, and in those they should not come in."""
