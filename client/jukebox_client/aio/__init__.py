"""The asynchronous client; `generate.py` writes the synchronous one from it."""
