"""What a running relay tells its operator: the calls that its control socket answers.

Owns: the calls' names and answers. Must not know: the socket, commands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any

from railgun.crypto.network_ids import network_id
from railgun.errors import UsageError
from railgun.network import NetworkParameters
from railgun.runtime.dht_status import relay_dht_status
from railgun.runtime.relay_host import RelayHost


class RelayService:
    """Implements `railgun.runtime.control.Service` for one relay."""

    def __init__(self, host: RelayHost, network: NetworkParameters) -> None:
        self._host = host
        self._network = network

    async def call(self, name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        """Carry out one call. Raises UsageError: a relay's profile answers ``status`` alone."""
        if name != "status":
            raise UsageError(
                "this profile is a relay's: it has no rooms and sends no messages; `railgun status` shows what it does"
            )
        return self.status()

    def tail(self, arguments: Mapping[str, object]) -> AsyncIterator[dict[str, Any]]:
        """Raises UsageError: a relay reads nothing."""
        raise UsageError("this profile is a relay's: it reads no messages")

    def status(self) -> dict[str, Any]:
        """What is going on, at this moment."""
        host, machine = self._host, self._host.machine
        peers = host.links.peers()
        relays = machine.connector.relays
        return {
            "node": machine.node_key.hex(),
            "address": str(host.contact.addresses[0]),
            "network": self._network.name,
            "network_id": network_id(self._network).hex(),
            "relays_known": machine.directory.relays_known,
            "relays_linked": len(relays),
            "clients_linked": len(peers) - len(relays),
            "tags": len(machine.seats),
            "clock_correction_seconds": round(machine.clock.correction_seconds, 3),
            "rendezvous": [dataclasses.asdict(one) for one in host.registrar.registrations],
            "dht": relay_dht_status(host.dht),
        }
