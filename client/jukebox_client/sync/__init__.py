"""The synchronous client: written by `generate.py`, except for this file and `waiting.py`."""
