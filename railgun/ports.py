"""What the inside needs from the outside, as Protocol classes.

Owns: the seams. Must not know: any implementation.
Implementations: `railgun.links` (Links), `railgun.storage` (Store), `railgun.crypto.sessions`
(Sessions), `railgun.runtime` (Clock, Entropy, Trace), and `railgun.sim` (all of them, virtual).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from railgun.types import Address, PeerKey, RelayContact

if TYPE_CHECKING:
    from railgun.errors import LinkError


class Clock(Protocol):
    """Two readings. Wall time serves epochs only."""

    def monotonic(self) -> float:
        """Seconds; never goes back."""

    def wall(self) -> float:
        """Unix seconds as this machine believes them."""


class Entropy(Protocol):
    """Source of key material and nonces."""

    def random_bytes(self, count: int) -> bytes:
        """``count`` uniformly random bytes."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link whose two ends have proved their keys.

    ``is_relay`` tells whether the remote proved a node key. ``clock_offset_seconds`` is the remote's wall
    time less ours, corrected for half the measured round trip.
    """

    peer: PeerKey
    is_relay: bool
    inbound: bool
    clock_offset_seconds: float
    round_trip_seconds: float


class LinkObserver(Protocol):
    """What a link layer tells its owner. Called on the event loop, must not block, must not raise."""

    def link_up(self, up: LinkUp) -> None: ...

    def link_down(self, peer: PeerKey, error: LinkError) -> None: ...

    def dial_failed(self, peer: PeerKey, error: LinkError) -> None: ...

    def frame_received(self, peer: PeerKey, frame: bytes) -> None:
        """One whole frame (reassembled), still undecoded; at most FRAME_BYTES_MAX bytes."""

    def pulse_received(self, peer: PeerKey, pulse: bytes) -> None:
        """One message of the unreliable channel; at most PULSE_BYTES_MAX bytes."""

    def link_writable(self, peer: PeerKey) -> None:
        """A link that had refused a frame has room again."""


class Links(Protocol):
    """Links by remote key: one a peer, shared by all rooms and epochs (spec: links)."""

    def dial(self, contact: RelayContact) -> None:
        """Begin to connect. Ends in `link_up` or `dial_failed`, within DIAL_SECONDS. Idempotent."""

    def send_frame(self, peer: PeerKey, frame: bytes) -> bool:
        """Queue a frame on the reliable channel; flushed at the end of the loop's turn.

        Returns False, with nothing queued, when there is no link or its budget is full."""

    def send_pulse(self, peer: PeerKey, pulse: bytes) -> bool:
        """Send at once on the unreliable channel; lost if it cannot be sent now."""

    def close_link(self, peer: PeerKey, code: int, retry_after_ms: int | None = None) -> None:
        """Tell the peer why (a Goodbye frame) and close. Idempotent, bounded by CLOSE_SECONDS."""

    def peers(self) -> Sequence[PeerKey]: ...

    async def aclose(self) -> None: ...


class DatagramCarrier(Protocol):
    """A socket, or a virtual one."""

    def send_datagram(self, data: bytes, to: Address) -> None: ...

    def on_datagram(self, receive: Callable[[bytes, Address], None]) -> None: ...


class Trace(Protocol):
    """Where machines' events and effects are recorded (simulation, --trace)."""

    def record(self, virtual_seconds: float, node: str, kind: str, message_number: int | None) -> None: ...
