"""Owns the device; Celery brings it job ids."""
