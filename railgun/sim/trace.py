"""The trace of a simulated run: one digest over everything that happened.

Owns: the records' form, the numbers that stand for kinds, the digest, an optional line-by-line listener.
Must not know: what any event means. Spec: design, simulation.

A record is (virtual seconds, node number, kind number, logical number). Bytes never enter it: keys and nonces may
come from generators that no seed reaches, and two runs that behave alike must have the same digest.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, TextIO

from railgun.ports import Trace

RECORD: Final = struct.Struct("<dIHQ")
"""Virtual time, node, kind, logical number: 22 bytes."""
FLUSH_BYTES: Final = 1 << 16
DIGEST_BYTES: Final = 32
RECEIVED: Final = 1
"""Kinds are even; a frame or pulse that arrives has its kind with this bit set."""
_KIND_NODE: Final = 2**32 - 1


class Kinds(dict[object, int]):
    """Numbers for kinds, given out at first sight; each name enters the trace once, when its number is given out.

    Keys are classes, or texts for calls of the scenario. All are named by the program, never by a peer.
    """

    def __init__(self, trace: TraceDigest) -> None:
        super().__init__()
        self._trace = trace
        self.names: list[str] = []

    def __missing__(self, key: object) -> int:
        name = key if isinstance(key, str) else getattr(key, "__name__", repr(key))
        number = len(self.names)
        self.names += [name, f"{name} received"]
        self[key] = number
        encoded = name.encode()
        self._trace.buffer += RECORD.pack(0.0, _KIND_NODE, number, len(encoded)) + encoded
        return number


class TraceDigest:
    """An incremental BLAKE2b over packed records.

    The world's inner loop appends `RECORD.pack(...)` to ``buffer`` itself, since a call for each of millions of
    records is dear, and calls `flush` once it is longer than FLUSH_BYTES.
    """

    def __init__(self, listener: Trace | None = None) -> None:
        self.buffer = bytearray()
        self.listener = listener
        self.kinds = Kinds(self)
        self._hash = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def record(self, at: float, node_index: int, node_name: str, kind: int, number: int) -> None:
        """Append one record, and tell the listener."""
        self.buffer += RECORD.pack(at, node_index, kind, number)
        if self.listener is not None:
            self.listener.record(at, node_name, self.kinds.names[kind], number)

    def flush(self) -> None:
        """Hash what the buffer holds and empty it."""
        self._hash.update(self.buffer)
        self.buffer.clear()

    def hexdigest(self) -> str:
        """The digest so far, 64 hexadecimal digits; recording may go on."""
        self.flush()
        return self._hash.hexdigest()


class TraceText:
    """A listener that writes one line a record, so that two runs can be compared with ordinary tools."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def record(self, virtual_seconds: float, node: str, kind: str, message_number: int | None) -> None:
        """One line: seconds to the nanosecond, node, kind, number."""
        number = "-" if message_number is None else str(message_number)
        self._stream.write(f"{virtual_seconds:.9f} {node} {kind} {number}\n")
