"""Swarm testing: every seed draws its own network, its own faults, and must keep every promise."""
