"""Sound files, read and written in both directions."""
