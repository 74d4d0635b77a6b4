"""The serving bench: the service beside the library, under load, and with a fleet."""
