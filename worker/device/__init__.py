"""The device of a worker: the engine thread that owns it, models, backend and cores."""
