"""Talking to a service over HTTP."""
