"""What a member's room refused of others, counted by kind: a user is to see that somebody tries.

Owns: the kinds. Must not know: who counts, how it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.errors import PeerError, RefusalCode


class ForgedBundle(PeerError):
    """A device's prekeys that are not signed as they should be."""

    def __init__(self) -> None:
        super().__init__(RefusalCode.BAD_SIGNATURE, "prekey", penalty_points=10)


@dataclass(slots=True)
class RosterRefusals:
    """Counters of one roster since it was loaded; all only grow."""

    bundles: int = 0
    """Forged ones."""
    entries: int = 0
    """Forged, malformed or another room's; and those beyond a bound."""


@dataclass(frozen=True, slots=True)
class RoomRefusals:
    """What was refused of a room since this peer started, by kind.

    Attributes:
        devices_out: messages of devices that were removed or revoked and went on to speak.
        bundles_forged: prekeys in a device's name that it has not signed.
        roster_entries: entries of the roster that are forged, malformed, another room's, or more than one may write.
        session_keys: keys of message sessions that are not their author's.
        messages: others that were read and say nothing that a member may say.
        requests: other words between devices (requests, deliveries) that are forged, malformed or no member's.
    """

    devices_out: int = 0
    bundles_forged: int = 0
    roster_entries: int = 0
    session_keys: int = 0
    messages: int = 0
    requests: int = 0
