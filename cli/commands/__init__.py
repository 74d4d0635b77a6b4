"""One file per command; `cli/main.py` puts them together."""
