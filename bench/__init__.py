"""Measurements that a person runs; see `bench/README.md`."""
