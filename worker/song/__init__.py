"""One song in a worker: generate, write, render, time the lyrics, clean up."""
