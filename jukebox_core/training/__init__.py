"""Training: from a folder of recordings to a model directory."""
