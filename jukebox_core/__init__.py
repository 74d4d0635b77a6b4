"""The model library: torch in, sound out; knows no HTTP, Redis or Celery."""
