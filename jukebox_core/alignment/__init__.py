"""When the lyrics are sung: from the attention of a prior to timed text."""
