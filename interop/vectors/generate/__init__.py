"""Generators of the vectors that both languages check: one module a JSON file, each with ``vectors()``.

``python -m interop.vectors.generate`` writes all files anew, or those that are named. They use no randomness, so a
change in a file is a change of the protocol.

Form of a file: ``description``, ``accepted`` and ``refused``, lists of cases. A case has a unique ``name``, an
``operation``, its inputs, and ``expected`` outputs (accepted) or a ``code`` (refused): a wire code in lower case,
``crypto`` (the one opaque reason), ``invalid_argument`` (the caller's mistake) or ``clock`` (an impossible time).
Byte strings are hexadecimal.
"""
