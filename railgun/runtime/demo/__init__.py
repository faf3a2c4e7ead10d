"""The demo: a network of real processes on one machine, a room whose members talk, and what came of it."""
