"""Benchmarks that people run: what one relay's processor time buys, beside what it would buy without Rail Gun."""
