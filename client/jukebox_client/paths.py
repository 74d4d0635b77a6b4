"""Paths of the service's resources."""

from urllib.parse import quote


def path_of(*segments: str) -> str:
    """E.g. `/jobs/job_1/audio`; whatever was typed stays one segment."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)
