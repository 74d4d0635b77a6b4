"""Training the priors."""
