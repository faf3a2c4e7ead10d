"""Decisions: synchronous state machines that turn events into effects. Knows no clock, socket, disk or randomness."""
