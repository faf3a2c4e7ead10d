"""C4: two entries take an envelope, every seat checks it and signs for it, each delivers to about 1/K of all."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from railgun import DiscoveryError
from railgun.core.committee import rank_for_handle
from railgun.core.effects import Effects, SendFrame
from railgun.core.events import Event
from railgun.crypto.receipts import verify_receipt
from railgun.crypto.sealing import envelope_id
from railgun.runtime.relay_host import RelayHost
from railgun.types import NodeKey, PeerKey
from railgun.wire.frames import Deliver, Publish, Receipt, Subscribed
from tests.requirements.real import (
    BareClient,
    Ear,
    Tap,
    bare_clients,
    handle_of,
    members_of,
    quiet_room,
    relays_agree,
    tag_of,
)
from tests.support.api_lab import WAIT_SECONDS, lab

SUBSCRIBERS = 24
HANDLES = 3_000
SHARE_TOLERANCE = 0.05
"""Of 3,000 handles one seat in three is primary for a third, give or take 0.009: this is more than five of those."""


async def test_c4_two_entries_and_a_verified_receipt_of_every_seat(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=7) as net:
        anna, bert = await members_of(net, "anna", "bert")
        await relays_agree(net, anna)
        here, there = await quiet_room(anna, bert, committee_size=5)
        ear = Ear(there)
        await here.send("the session's key goes ahead")
        await ear.hears("the session's key goes ahead")
        tag = tag_of(anna, here)
        seats = tag.committee.seat_keys
        assert await anna.wait_until(lambda: len(tag.attached) == 2, WAIT_SECONDS)
        taps = {relay.machine.node_key: Tap(relay) for relay in net.relays}
        before = anna.machine.counters.receipts_verified
        receipt = await here.send("to five seats")
        assert receipt.of == 5
        assert receipt.receipts >= tag.committee.majority == 3
        # `send` returns at a majority; the others' receipts come in as well.
        assert await anna.wait_until(lambda: anna.machine.counters.receipts_verified - before >= 5, WAIT_SECONDS)
        entries = {node for node, tap in taps.items() if tap.published()}
        assert entries == set(tag.attached[:2])
        (envelope,) = {one for tap in taps.values() for one in tap.published()}
        signed: dict[NodeKey, Receipt] = {}
        for tap in taps.values():
            for _, frame in tap.sent:
                if isinstance(frame, Receipt) and envelope_id(envelope) in frame.ids:
                    signed[frame.seat] = frame
        assert set(signed) == set(seats)
        assert all(verify_receipt(one) for one in signed.values())
        assert all(relay.machine.seats[tag.tag].store.get(envelope_id(envelope)) for relay in net.relays
                   if relay.machine.node_key in seats)  # fmt: skip
        await ear.hears("to five seats")


def _forge_receipts(relay: RelayHost) -> None:
    """From now on this relay passes on no receipt that is signed."""
    handle = relay.machine.handle

    def lying(event: Event, now: float) -> Effects:
        effects = handle(event, now)
        for place, effect in enumerate(effects):
            if isinstance(effect, SendFrame) and isinstance(effect.frame, Receipt):
                effects[place] = SendFrame(effect.peers, dataclasses.replace(effect.frame, signature=bytes(64)))
        return effects

    relay.machine.handle = lying  # type: ignore[method-assign]


@pytest.mark.slow
async def test_c4_each_seat_delivers_to_its_own_slice_of_many_subscribers(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=3) as net, bare_clients(net, SUBSCRIBERS) as clients:
        anna = await net.connect("anna")
        await relays_agree(net, anna)
        (room,) = await quiet_room(anna)
        tag = tag_of(anna, room)
        seats = tag.committee.seat_keys
        assert await anna.wait_until(lambda: len(tag.attached) == 2, WAIT_SECONDS)
        slices: dict[BareClient, NodeKey] = {}
        for number, client in enumerate(clients):
            seat = rank_for_handle(handle_of(number), seats)[0]
            await client.link_to([relay for relay in net.relays if relay.machine.node_key == seat])
            slices[client] = client.subscribe(tag.keys, tag.descriptor, tag.committee, handle_of(number))
        await asyncio.gather(*(client.until_count(Subscribed, 1) for client in clients))
        await room.send("to all slices")
        await asyncio.gather(*(client.until_count(Deliver, 1) for client in clients))
        # Each got it once, from its own seat and from no other, whichever two seats were the entries.
        for client, seat in slices.items():
            assert [from_seat for from_seat, _ in client.deliveries] == [PeerKey(seat)]
        assert len({envelope for client in clients for _, envelope in client.deliveries}) == 1
        primaries = Counter(rank_for_handle(handle_of(number), seats)[0] for number in range(HANDLES))
        assert all(abs(primaries[seat] / HANDLES - 1 / 3) < SHARE_TOLERANCE for seat in seats)


async def test_c4_seats_forward_nothing_without_the_epochs_key_and_only_signed_receipts_count(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, bare_clients(net, 1) as (stranger,):
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        taps = [Tap(relay) for relay in net.relays]
        ear = Ear(there)
        await here.send("a real one")
        await ear.hears("a real one")
        tag = tag_of(anna, here)
        real = taps[0].envelopes()[0]
        forged = real[:60] + bytes([real[60] ^ 1]) + real[61:]
        await stranger.link_to(net.relays)
        for relay in net.relays:
            stranger.send(relay.machine.node_key, Publish(forged, tag.committee.seats_hash, None))
        await stranger.until(lambda: len(stranger.refusals) == len(net.relays))
        assert stranger.refusals == ["BAD_SIGNATURE"] * len(net.relays)
        await here.send("after it")
        await ear.hears("after it")
        sent = [frame for tap in taps for _, frame in tap.sent]
        assert not any(getattr(frame, "envelope", None) == forged for frame in sent)
        assert all(relay.machine.seats[tag.tag].store.get(envelope_id(forged)) is None for relay in net.relays)
        # Receipts that no seat signed count for nothing.
        verified = anna.machine.counters.receipts_verified
        for relay in net.relays:
            _forge_receipts(relay)
        with pytest.raises(DiscoveryError, match="kept and goes on"):
            await here.send("signed for by nobody", timeout=1)
        assert anna.machine.counters.receipts_refused > 0
        assert anna.machine.counters.receipts_verified <= verified + 1  # the message before may have lacked its third
