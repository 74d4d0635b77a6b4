"""Holding a job: its lease, progress, reaper and quarantine."""
