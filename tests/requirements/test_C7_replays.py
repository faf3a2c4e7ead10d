"""C7: what is replayed to relays and to recipients never reaches the application a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun.crypto.sealing import envelope_id, open_envelope, seal_envelope
from railgun.types import EnvelopeKind, PeerKey, SizeClass
from railgun.wire.envelope import parse_envelope
from railgun.wire.frames import FRAMES, Deliver, Publish
from tests.requirements.real import Ear, Tap, bare_clients, members_of, quiet_room, tag_of
from tests.support.api_lab import WAIT_SECONDS, lab, network_of, texts

REPLAYS = 5


async def test_c7_a_replayed_envelope_is_stored_once_and_shown_once(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, bare_clients(net, 1) as (thief,):
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        ear = Ear(there)
        await here.send("the session's key goes ahead")
        await ear.hears("the session's key goes ahead")
        taps = [Tap(relay) for relay in net.relays]
        await here.send("once")
        await ear.hears("once")
        tag = tag_of(anna, here)
        (envelope,) = {one for tap in taps for one in tap.published()}
        # At relays, over a link of somebody else's: receipted like the first, and not stored, passed on or delivered.
        assert await anna.wait_until(
            lambda: all(relay.machine.seats[tag.tag].store.get(envelope_id(envelope)) for relay in net.relays),
            WAIT_SECONDS,
        )
        await thief.link_to(net.relays)
        stored = [relay.machine.counters.envelopes_stored for relay in net.relays]
        delivered = [relay.machine.counters.deliveries for relay in net.relays]
        for _ in range(REPLAYS):
            for relay in net.relays:
                thief.send(relay.machine.node_key, Publish(envelope, tag.committee.seats_hash, None))
        await thief.until(lambda: len({receipt.seat for receipt in thief.receipts}) == len(net.relays))
        assert [relay.machine.counters.envelopes_stored for relay in net.relays] == stored
        assert [relay.machine.counters.deliveries for relay in net.relays] == delivered
        # At the recipient, by a relay that delivers it again and again, under its own and under new numbers.
        dropped = bert.machine.counters.duplicates_dropped
        own = {PeerKey(up) for up in _links_of(bert)}
        for relay in net.relays:
            for peer in set(relay.links.peers()) & own:
                for number in range(REPLAYS):
                    assert relay.links.send_frame(peer, FRAMES.encode(Deliver(1 + number, envelope)))
        assert await bert.wait_until(lambda: bert.machine.counters.duplicates_dropped > dropped, WAIT_SECONDS)
        # Sealed anew by somebody who has the room's keys: no relay can know that for the same, the recipients can.
        inner = open_envelope(tag.keys, envelope)
        assert inner.kind is EnvelopeKind.GROUP
        received = bert.machine.counters.envelopes_received
        for number in range(REPLAYS):
            again = seal_envelope(tag.keys, inner.kind, inner.hint, inner.body, SizeClass.SMALL, bytes([number]) * 12)
            assert again != envelope
            thief.send(net.relays[0].machine.node_key, Publish(again, tag.committee.seats_hash, None))
        assert await bert.wait_until(
            lambda: bert.machine.counters.envelopes_received >= received + REPLAYS, WAIT_SECONDS
        )
        await here.send("the end")
        await ear.hears("the end")
        assert texts(there.history()) == ["the session's key goes ahead", "once", "the end"]


def _links_of(peer: object) -> list[bytes]:
    """The keys under which relays know this member."""
    return [up.local_key for up in peer.machine.connector.linked.values()]  # type: ignore[attr-defined]


@pytest.mark.slow
async def test_c7_an_envelope_of_an_epoch_that_is_over_is_taken_by_nobody(tmp_path: Path) -> None:
    async with lab(tmp_path, network=network_of(epoch_seconds=10, overlap_seconds=1)) as net:
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        taps, ear = [Tap(relay) for relay in net.relays], Ear(there)
        await here.send("once")
        await ear.hears("once")
        published = [one for tap in taps for one in tap.published()]
        # A boundary may have passed since: what counts is the epoch that it went out under.
        tag = tag_of(anna, here, parse_envelope(published[-1]).epoch_start)
        old = [one for one in published if parse_envelope(one).tag == tag.tag]
        assert old
        # Until seats have forgotten the tag: its epoch is over by twice the overlap.
        assert await anna.wait_until(
            lambda: not any(tag.tag in relay.machine.seats for relay in net.relays), WAIT_SECONDS
        )
        async with bare_clients(net, 1) as (thief,):
            await thief.link_to(net.relays)
            for relay in net.relays:
                thief.send(relay.machine.node_key, Publish(old[0], tag.committee.seats_hash, None))
            await thief.until(lambda: len(thief.refusals) == len(net.relays))
            # The tag is unknown, and showing its descriptor does not open it again.
            assert set(thief.refusals) == {"UNKNOWN_TAG"}
            for number in range(len(net.relays)):
                thief.subscribe(tag.keys, tag.descriptor, tag.committee, bytes([number]) * 16)  # type: ignore[arg-type]
            await thief.until(lambda: thief.refusals.count("OUTSIDE_WINDOW") == len(net.relays))
        await here.send("the end")
        await ear.hears("the end")
        assert texts(there.history()) == ["once", "the end"]
