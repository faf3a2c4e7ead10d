"""Relays that are handed out: registered here, told of by other instances, or configured.

Owns: their bounds, how long they count, which of them are named. Must not know: connections, how instances talk.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.frames import RelayAddress
from railgun_signaling.limits import (
    RELAYS_ANSWERED_MAX,
    RELAYS_HELD_SECONDS,
    RELAYS_MAX,
    RELAYS_PER_NETWORK_MAX,
)
from railgun_signaling.proofs import RelayAd

FULL_SECONDS = 600


@dataclass(frozen=True, slots=True)
class StaticRelay:
    """A relay that the operator has configured."""

    network: bytes
    relay: RelayAddress


@dataclass(slots=True)
class _Held:
    ad: RelayAd
    encoded: bytes
    until: float
    is_own: bool


class Relays:
    """The relays of every network, by network id and node key."""

    def __init__(
        self,
        static: Sequence[StaticRelay],
        networks: Iterable[bytes],
        chooser: random.Random,
        clock: Callable[[], float],
    ) -> None:
        """``networks``: those that are served; none: all. ``clock``: monotonic seconds."""
        self._static = tuple(static)
        self._networks = frozenset(networks)
        self._chooser = chooser
        self._clock = clock
        self._held: dict[bytes, dict[bytes, _Held]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def check_network(self, network: bytes) -> None:
        """Raises Refusal (NETWORK_NOT_SERVED)."""
        if self._networks and network not in self._networks:
            raise Refusal(RefusalCode.NETWORK_NOT_SERVED)

    def register(self, network: bytes, ad: RelayAd, encoded: bytes, seconds: float) -> None:
        """Hand this relay out until `withdraw`, for ``seconds`` at most. Raises Refusal (FULL)."""
        self._put(network, ad, encoded, self._clock() + seconds, is_own=True)

    def withdraw(self, network: bytes, node_key: bytes, encoded: bytes) -> bool:
        """The relay is gone. False where a newer registration stands in its place."""
        held = self._held.get(network, {}).get(node_key)
        if held is None or not held.is_own or held.encoded != encoded:
            return False
        self._drop(network, node_key)
        return True

    def heard(self, network: bytes, ad: RelayAd, encoded: bytes) -> None:
        """Another instance has this relay. Raises Refusal (FULL)."""
        held = self._held.get(network, {}).get(ad.relay.node_key)
        if held is None or not held.is_own:
            self._put(network, ad, encoded, self._clock() + RELAYS_HELD_SECONDS, is_own=False)

    def heard_withdrawn(self, network: bytes, node_key: bytes) -> None:
        """Another instance no longer has it."""
        held = self._held.get(network, {}).get(node_key)
        if held is not None and not held.is_own:
            self._drop(network, node_key)

    def own(self) -> list[tuple[bytes, bytes]]:
        """Network id and encoded ad of every relay that is registered on this instance."""
        return [
            (network, one.encoded) for network, relays in self._held.items() for one in relays.values() if one.is_own
        ]

    def choose(self, network: bytes) -> tuple[RelayAddress, ...]:
        """Up to eight, drawn at random: who asks twice learns more, and no relay is asked by all."""
        self.check_network(network)
        self.forget_old()
        by_key = {one.relay.node_key: one.relay for one in self._static if one.network == network}
        by_key.update({key: one.ad.relay for key, one in self._held.get(network, {}).items()})
        found = list(by_key.values())
        return tuple(self._chooser.sample(found, min(RELAYS_ANSWERED_MAX, len(found))))

    def forget_old(self) -> None:
        """Drop whoever was not told of for too long."""
        now = self._clock()
        old = [(n, key) for n, relays in self._held.items() for key, one in relays.items() if one.until <= now]
        for network, key in old:
            self._drop(network, key)

    def _put(self, network: bytes, ad: RelayAd, encoded: bytes, until: float, *, is_own: bool) -> None:
        self.check_network(network)
        relays = self._held.get(network, {})
        if ad.relay.node_key not in relays:
            if self._count >= RELAYS_MAX or len(relays) >= RELAYS_PER_NETWORK_MAX:
                raise Refusal(RefusalCode.FULL, FULL_SECONDS)
            self._count += 1
        self._held.setdefault(network, relays)[ad.relay.node_key] = _Held(ad, encoded, until, is_own)

    def _drop(self, network: bytes, node_key: bytes) -> None:
        relays = self._held[network]
        del relays[node_key]
        self._count -= 1
        if not relays:
            del self._held[network]
