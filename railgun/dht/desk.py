"""What a relay does in the DHT for clients that nobody can reach.

Owns: how much one client may have done at once, turning its requests into lookups and back.
Must not know: links; the caller carries the frames (`railgun.wire.dht_frames`).

Spec: docs/spec/dht.md, clients.
"""

from __future__ import annotations

from typing import Protocol

from railgun.dht.node import Finding
from railgun.dht.records import SignedRecord, read_record
from railgun.errors import MalformedInput, RefusalCode, UsageError
from railgun.limits import DHT_CLIENT_REQUESTS_MAX, DHT_ITEMS_MAX, DHT_QUORUM
from railgun.ports import Clock
from railgun.types import PeerKey
from railgun.wire.dht_frames import DhtAsk, DhtDeclined, DhtFind, DhtFound, DhtHeld, DhtReply

_HOLDERS_MAX = 255


class Finder(Protocol):
    """The part of `DhtNode` that is used."""

    async def get_by_key(self, key: bytes, *, quorum: int = DHT_QUORUM) -> Finding: ...

    async def put(self, signed: SignedRecord) -> int: ...


class ClientDesk:
    """One relay's desk for all its clients."""

    def __init__(self, node: Finder, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._under_way: dict[PeerKey, int] = {}

    async def serve(self, client: PeerKey, ask: DhtAsk) -> DhtReply:
        """Do what a client asks. Never raises for what is asked."""
        if self._under_way.get(client, 0) >= DHT_CLIENT_REQUESTS_MAX:
            return DhtDeclined(ask.number, RefusalCode.BUSY)
        self._under_way[client] = self._under_way.get(client, 0) + 1
        try:
            return await self._do(ask)
        except MalformedInput as error:
            return DhtDeclined(ask.number, error.code)
        except UsageError:  # too many lookups of all clients together
            return DhtDeclined(ask.number, RefusalCode.BUSY)
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]

    async def _do(self, ask: DhtAsk) -> DhtReply:
        if isinstance(ask, DhtFind):
            finding = await self._node.get_by_key(ask.key, quorum=DHT_QUORUM if ask.quorum is None else ask.quorum)
            records = tuple(signed.encoded for signed in finding.records[:DHT_ITEMS_MAX])
            return DhtFound(ask.number, records, finding.is_certain)
        # Checked here already: what others would refuse is not spread in this relay's name.
        holders = await self._node.put(read_record(ask.record, now=self._clock.wall()))
        return DhtHeld(ask.number, min(holders, _HOLDERS_MAX))


def read_found(reply: DhtFound, key: bytes, *, now: float) -> tuple[SignedRecord, ...]:
    """What a client makes of its relay's answer: valid records that lie under ``key``, the newest of each item.

    ``now`` is Unix seconds. Raises MalformedInput where the relay sends anything else: an honest one has checked.
    """
    newest: dict[int, SignedRecord] = {}
    for encoded in reply.records:
        signed = read_record(encoded, now=now)
        if signed.key != key:
            raise MalformedInput("a record that was not asked for")
        old = newest.get(signed.record.item)
        if old is None or old.rank < signed.rank:
            newest[signed.record.item] = signed
    return tuple(newest[item] for item in sorted(newest))
