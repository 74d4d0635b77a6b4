"""`jukebox train`: from recordings to a model."""
