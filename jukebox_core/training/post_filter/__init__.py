"""Training what takes haze from the sound of a codec; the codec itself stays as it is."""
