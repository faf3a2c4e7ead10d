"""A fuzz program; see tests/fuzz/program.py for what it feeds."""

from tests.fuzz.harness import main

main("machines")
