"""Commands: what a person types, and what they read back. Knows the runtime and the simulation; holds no protocol."""
