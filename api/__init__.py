"""HTTP in, HTTP out. Imports no torch and never the worker."""
