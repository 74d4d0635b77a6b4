"""What a person types: `jukebox demo`, `serve`, `submit` and the rest. See `cli/main.py`."""
