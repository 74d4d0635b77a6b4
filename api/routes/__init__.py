"""The endpoints, one file for each thing a client can point at."""
