"""What a member keeps in the DHT: its keys if it wants to, its room's committee, hints, and contacts under each tag.

Owns: which record holds what, under whose key, how long. Must not know: how relays look records up.

Spec: docs/spec/dht.md, what members publish. Records under a tag are asked for through relays that serve that tag,
which know of this client's interest already. A device's own keys name it: they are published only when the application
asks for it, since the relay that passes them on learns which device stands behind its client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from railgun.core.roster_entries import prekey_is_genuine
from railgun.crypto.contact_sealing import NONCE_BYTES, open_contact, seal_contact
from railgun.crypto.epoch import EpochKeys
from railgun.dht.records import RULES, RecordKind, SignedRecord, join_payload, sign_record, split_payload
from railgun.errors import CryptoError, MalformedInput, UsageError
from railgun.network import NetworkParameters
from railgun.ports import Entropy
from railgun.runtime.dht_client import DhtClient
from railgun.types import DeviceKey, NodeKey
from railgun.wire.roster import PREKEYS, PrekeyRecord
from railgun.wire.tag_payloads import COMMITTEE_CHANGES, TRAVERSAL_HINTS, CommitteeChange, TraversalHints

KEYS_SECONDS: Final = 7 * 86_400


@dataclass(slots=True)
class RecordCounters:
    """What records that are valid as such were refused for, since the start; all only grow."""

    keys_forged: int = 0
    """Prekeys that are malformed, another device's, or not signed as they should be."""
    payloads_malformed: int = 0
    """Committees of another epoch or not in their form, and hints not in theirs."""
    contacts_forged: int = 0
    """Contacts that no member has sealed."""


def _places(keys: EpochKeys, device: DeviceKey, kind: RecordKind) -> Iterator[int]:
    """The items of a tag's records of a kind, in the order in which a device tries them."""
    places = RULES[kind].items_max
    first = hashlib.blake2b(device + keys.tag, digest_size=2).digest()[0] % places
    return ((first + step) % places for step in range(places))


class PeerRecords:
    """See the module. All calls raise DiscoveryError where no relay answers, UsageError where too much is asked."""

    def __init__(self, dht: DhtClient, network: NetworkParameters, entropy: Entropy, wall: Callable[[], float]) -> None:
        """``wall`` gives corrected Unix seconds."""
        self._dht = dht
        self._network = network
        self._entropy = entropy
        self._wall = wall
        self.counters = RecordCounters()

    # --- keys of devices ------------------------------------------------------------------------

    async def put_keys(self, seed: bytes, prekey: PrekeyRecord) -> int:
        """Publish a device's prekeys for a week. ``seed``: the device key's, 32 bytes. Returns how many nodes hold
        the part that fewest hold."""
        wall = int(self._wall())
        holders = []
        for item, part in enumerate(split_payload(PREKEYS.encode(prekey))):
            record = sign_record(
                seed,
                RecordKind.KEY_BUNDLE,
                part,
                version=prekey.issued,
                issued=wall,
                expires=wall + KEYS_SECONDS,
                item=item,
            )
            holders.append(await self._dht.put(record))
        return min(holders)

    async def keys_of(self, device: DeviceKey) -> PrekeyRecord | None:
        """A device's newest prekeys, if it has published any that hold."""
        found = await self._dht.find(RecordKind.KEY_BUNDLE, device)
        payload = join_payload(found.records)
        if payload is None:
            return None
        try:
            prekey = PREKEYS.decode(payload)
        except MalformedInput:
            prekey = None
        if prekey is None or prekey.device != device or not prekey_is_genuine(prekey):
            self.counters.keys_forged += 1
            return None
        return prekey

    # --- under a tag ----------------------------------------------------------------------------

    async def put_committee(self, keys: EpochKeys, change: CommitteeChange, through: Sequence[NodeKey]) -> int:
        """Announce who serves a tag; how many nodes hold it."""
        return await self._put(keys, RecordKind.COMMITTEE_CHANGE, COMMITTEE_CHANGES.encode(change), 0, through)

    async def committee_of(self, keys: EpochKeys, through: Sequence[NodeKey]) -> CommitteeChange | None:
        """What members have announced last of who serves a tag."""
        for signed in await self._newest(keys, RecordKind.COMMITTEE_CHANGE, through):
            try:
                change = COMMITTEE_CHANGES.decode(signed.record.payload)
            except MalformedInput:
                self.counters.payloads_malformed += 1
                continue
            if change.start == keys.start:
                return change
            self.counters.payloads_malformed += 1
        return None

    async def put_hints(
        self, keys: EpochKeys, device: DeviceKey, hints: TraversalHints, through: Sequence[NodeKey] = ()
    ) -> int:
        """Name STUN and TURN servers to a room's members; how many nodes hold it.

        Each device has its place among 8 by hash, and takes the next that is free. Raises UsageError when all are
        taken.
        """
        held = {signed.record.item for signed in await self._under(keys, RecordKind.TRAVERSAL_HINTS, through)}
        for place in _places(keys, device, RecordKind.TRAVERSAL_HINTS):
            if place not in held:
                payload = TRAVERSAL_HINTS.encode(hints)
                return await self._put(keys, RecordKind.TRAVERSAL_HINTS, payload, place, through)
        raise UsageError(f"{len(held)} members have named servers under this tag already")

    async def hints_of(self, keys: EpochKeys, through: Sequence[NodeKey] = ()) -> list[TraversalHints]:
        """What members have named of STUN and TURN servers, the newest first; checked in form alone."""
        found = []
        for signed in await self._newest(keys, RecordKind.TRAVERSAL_HINTS, through):
            try:
                found.append(TRAVERSAL_HINTS.decode(signed.record.payload))
            except MalformedInput:
                self.counters.payloads_malformed += 1
        return found

    async def put_contact(
        self, keys: EpochKeys, device: DeviceKey, contact: bytes, through: Sequence[NodeKey] = ()
    ) -> int:
        """Leave a way to reach a device, at most 668 bytes, for the room's members alone; how many nodes hold it.

        Any member can seal one in another's name: what it says has to prove itself. Each device has its place among 64
        by hash, and takes the next that is free. Raises UsageError when all are taken.
        """
        held = {signed.record.item: signed for signed in await self._under(keys, RecordKind.SEALED_CONTACT, through)}
        sealed = seal_contact(keys, device + contact, self._entropy.random_bytes(NONCE_BYTES))
        for place in _places(keys, device, RecordKind.SEALED_CONTACT):
            owner = self._opened(keys, held[place])[:32] if place in held else device
            if owner in (device, b""):
                return await self._put(keys, RecordKind.SEALED_CONTACT, sealed, place, through)
        raise UsageError(f"{len(held)} members have left their contacts under this tag already")

    async def contacts(self, keys: EpochKeys, through: Sequence[NodeKey] = ()) -> dict[DeviceKey, bytes]:
        """The contacts that the room's members have left under a tag, by device; of two the newer."""
        found: dict[DeviceKey, tuple[tuple[int, bytes], bytes]] = {}
        for signed in await self._under(keys, RecordKind.SEALED_CONTACT, through):
            opened = self._opened(keys, signed)
            device = DeviceKey(opened[:32])
            if len(device) == 32 and (device not in found or found[device][0] < signed.rank):
                found[device] = (signed.rank, opened[32:])
        return {device: contact for device, (_, contact) in sorted(found.items())}

    # --- inside ---------------------------------------------------------------------------------

    def _opened(self, keys: EpochKeys, signed: SignedRecord) -> bytes:
        """Device key and contact; nothing where no member has sealed it."""
        try:
            return open_contact(keys, signed.record.payload)
        except CryptoError:
            self.counters.contacts_forged += 1
            return b""

    async def _under(self, keys: EpochKeys, kind: RecordKind, through: Sequence[NodeKey]) -> tuple[SignedRecord, ...]:
        return (await self._dht.find(kind, keys.tag, through=through)).records

    async def _newest(self, keys: EpochKeys, kind: RecordKind, through: Sequence[NodeKey]) -> list[SignedRecord]:
        records = await self._under(keys, kind, through)
        return sorted(records, key=lambda signed: signed.rank, reverse=True)

    async def _put(
        self, keys: EpochKeys, kind: RecordKind, payload: bytes, item: int, through: Sequence[NodeKey]
    ) -> int:
        wall = int(self._wall())
        network = self._network
        expires = max(wall + 1, keys.start + network.epoch_seconds + 2 * network.overlap_seconds)
        expires = min(expires, wall + RULES[kind].lifetime_seconds_max)
        record = sign_record(
            keys.signing_seed, kind, payload, version=int(self._wall() * 1000), issued=wall, expires=expires, item=item
        )
        return await self._dht.put(record, through=through)
