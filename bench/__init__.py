"""Measurements that a person runs, `python -m bench.NAME`; `python -m bench` lists them."""
