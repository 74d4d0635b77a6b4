"""Classifiers that listen to generated songs, and what they report."""
