"""What the owner of a link layer chooses, and what the layer counts.

Owns: settings with their defaults, the identity that links prove, the counters that metrics read.
Must not know: how any of it is enforced.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from railgun import limits
from railgun.network import NetworkParameters

VERSION = 1
"""Version of the link protocol, in the first message of the in-band proof."""


@dataclass(frozen=True, slots=True)
class LinkIdentity:
    """The key that this end proves.

    Attributes:
        signing_seed: Ed25519 seed, 32 bytes; None makes a fresh key for each connection (clients).
        is_relay: whether that key is a node key. A relay needs a seed.

    Raises:
        ValueError: the seed has another length, or a relay has none.
    """

    signing_seed: bytes | None = field(repr=False)
    is_relay: bool

    def __post_init__(self) -> None:
        if self.signing_seed is None:
            if self.is_relay:
                raise ValueError("a relay proves its node key: give its seed")
        elif len(self.signing_seed) != 32:
            raise ValueError("a signing seed has 32 bytes")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Deadlines, budgets and quotas of one link layer.

    Attributes:
        dial_seconds: deadline of one dial, proof included.
        close_seconds: deadline of closing one link.
        idle_seconds: a link without activity for so long is closed; None for never.
        pulses_keep_alive: whether pulses that this side sends count as activity. They are sent on links that a
            machine still wants, so that a quiet room does not lose its relays; False counts frames only.
        stall_seconds: a link whose full or filling send buffer makes no progress for so long is lost.
        links_max: links of this node; beyond it the remote is told BUSY and `busy_retry_ms`.
        links_per_prefix_max: inbound links from one /24 or /48; beyond it the same.
        send_budget_bytes: bytes that may wait in one link before `send_frame` refuses.
        half_open_*: unfinished handshakes on the listener, and how long each may take.
        stun_*, cookie_*: token buckets per prefix for answers to unproved addresses, in datagrams.
    """

    dial_seconds: float = limits.DIAL_SECONDS
    close_seconds: float = limits.CLOSE_SECONDS
    idle_seconds: float | None = limits.LINK_IDLE_SECONDS
    pulses_keep_alive: bool = True
    stall_seconds: float = 20.0
    links_max: int = limits.LINKS_MAX
    links_per_prefix_max: int = limits.LINKS_PER_PREFIX_MAX
    busy_retry_ms: int = 5_000
    send_budget_bytes: int = limits.LINK_SEND_BUDGET_BYTES
    half_open_max: int = limits.HALF_OPEN_MAX
    half_open_per_address_max: int = limits.HALF_OPEN_PER_ADDRESS_MAX
    half_open_per_prefix_max: int = limits.HALF_OPEN_PER_PREFIX_MAX
    half_open_seconds: float = limits.HALF_OPEN_SECONDS
    stun_per_second: float = 200.0
    stun_burst: float = 400.0
    cookies_per_second: float = 200.0
    cookies_burst: float = 400.0

    @classmethod
    def for_network(cls, parameters: NetworkParameters) -> LinkSettings:
        """The defaults; in a ``lan`` network no quota is per address or prefix, since all may share one."""
        if not parameters.is_lan:
            return cls()
        return cls(
            links_per_prefix_max=limits.LINKS_MAX,
            half_open_per_address_max=limits.HALF_OPEN_MAX,
            half_open_per_prefix_max=limits.HALF_OPEN_MAX,
            stun_per_second=10_000.0,
            stun_burst=10_000.0,
            cookies_per_second=10_000.0,
            cookies_burst=10_000.0,
        )


@dataclass(slots=True)
class LinkCounters:
    """Everything that was refused, dropped or ended, by reason; plain integers that only grow."""

    datagrams_received: int = 0
    datagrams_unknown: int = 0
    datagrams_unsent: int = 0
    stun_answered: int = 0
    stun_invalid: int = 0
    stun_limited: int = 0
    cookies_sent: int = 0
    cookies_limited: int = 0
    cookies_refused: int = 0
    hellos_malformed: int = 0
    half_open_started: int = 0
    half_open_evicted: int = 0
    half_open_expired: int = 0
    handshakes_failed: int = 0
    refused_busy: int = 0
    refused_conflict: int = 0
    refused_wrong_network: int = 0
    refused_bad_proof: int = 0
    refused_malformed: int = 0
    links_opened: int = 0
    links_replaced: int = 0
    links_idle: int = 0
    links_stalled: int = 0
    dials_started: int = 0
    dials_failed: int = 0
    frames_refused: int = 0
    frames_dropped_unfinished: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    pulses_sent: int = 0
    pulses_received: int = 0
    pulses_dropped: int = 0
    internal_errors: int = 0

    def as_dict(self) -> dict[str, int]:
        """Name to value, in the order above."""
        return {item.name: getattr(self, item.name) for item in fields(self)}
