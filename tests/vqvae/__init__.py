"""The VQ-VAE against golden numbers, and against itself in pieces."""
