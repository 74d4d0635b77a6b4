"""Fleets of workers, simulated: how many cards a number of songs takes, and what that costs."""
