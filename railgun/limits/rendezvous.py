"""Bounds of first contact through a rendezvous server.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

RENDEZVOUS_SERVERS_MAX: Final = 4
"""Servers that one configuration names."""
INVITE_RENDEZVOUS_MAX: Final = 2
"""Servers that an invite link names: it should stay short enough for a QR code."""
RENDEZVOUS_URL_BYTES_MAX: Final = 128
RENDEZVOUS_FRAME_BYTES_MAX: Final = 4_608
"""A sealed blob, a key, a number and their CBOR."""
SEALED_BLOB_BYTES: Final = 4_096
"""The one length of what a rendezvous server forwards."""
SEALED_BLOB_CONTENT_BYTES_MAX: Final = 4_045
"""What fits: less version, ephemeral key, length and authenticator."""
RENDEZVOUS_RELAYS_MAX: Final = 8
"""Relays in one answer: as many as an invite names. A hostile server could name its own, and no more of them."""
RENDEZVOUS_RELAY_ADDRESSES_MAX: Final = 4
RENDEZVOUS_ASK_SECONDS: Final = 5.0
"""Deadline of asking one server, connection included."""
RENDEZVOUS_BLOBS_WAITING_MAX: Final = 8
"""Blobs that wait to be read from an open mailbox; more make the server wait, and then refuse."""
RENDEZVOUS_AGAIN_SECONDS_MAX: Final = 600.0
"""A server that asks to be left alone for longer is asked again after this."""
