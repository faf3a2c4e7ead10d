"""What a node of the DHT needs from outside.

Owns: the bundle. Must not know: any implementation.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.ports import Chooser, Clock, DatagramCarrier, Entropy


@dataclass(frozen=True, slots=True)
class DhtPorts:
    """Datagrams, time and chance, real or virtual."""

    carrier: DatagramCarrier
    clock: Clock
    entropy: Entropy
    chooser: Chooser
