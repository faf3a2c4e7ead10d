"""Keys and sealed things: epoch keys, envelopes, identities, sessions, secrets at rest.

Randomness is a parameter everywhere, except behind the `Sessions` port, whose libraries take none.
Knows nothing of sockets, clocks, machines or files.
"""
