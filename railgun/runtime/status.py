"""What a peer can tell of itself at a moment.

Owns: the shapes. Must not know: how they are gathered or shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.types import DeviceKey, NodeKey, RoomId


@dataclass(frozen=True, slots=True)
class RoomStatusView:
    """One room. ``seats`` are the open epoch's, in order; ``attached`` those that serve this peer, primary first.

    ``name`` is None while the room is being joined."""

    room_id: RoomId
    name: str | None
    is_member: bool
    members: int
    epoch_start: int
    epoch_ends_in_seconds: float
    epochs_seen: int
    seats: tuple[NodeKey, ...]
    attached: tuple[NodeKey, ...]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """The whole peer. ``mode`` is ``volunteers`` when a committee serves it, else ``offline``."""

    device_key: DeviceKey
    network_name: str
    relays_known: int
    relays_linked: int
    clock_correction_seconds: float
    mode: str
    rooms: tuple[RoomStatusView, ...]
