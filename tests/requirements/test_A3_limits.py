"""A3: per-peer rate limits, and typed refusals with a retry time. Over real links."""

from __future__ import annotations

import asyncio
from pathlib import Path

from railgun.core.relay_limits import RelayLimits
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.sealing import envelope_id, seal_envelope
from railgun.errors import RefusalCode
from railgun.links.pool import ListenAt
from railgun.runtime.relay_host import RelayHost, RelayKeys
from railgun.types import EnvelopeKind, PeerKey, SizeClass
from railgun.wire.envelope import NO_HINT
from railgun.wire.frames import Publish, Refused, SeatOpen, Subscribed
from tests.requirements.real import BareClient, Ear, bare_clients, handle_of, members_of, quiet_room, tag_of
from tests.support.api_lab import Lab, lab

LARGE_BYTES = 65_536
BURST = 4
"""Large envelopes that a relay of this test takes at once; one more each second."""
FLOOD = 12


def large(keys: EpochKeys, number: int) -> bytes:
    """A valid envelope of 64 KiB."""
    body = number.to_bytes(8, "big")
    return seal_envelope(keys, EnvelopeKind.SEALED, NO_HINT, body, SizeClass.LARGE, number.to_bytes(12, "big"))


def refusals(client: BareClient) -> list[Refused]:
    return [frame for _, frame in client.heard if isinstance(frame, Refused)]


async def add_strict_relay(net: Lab) -> None:
    net.relays.append(
        await RelayHost.start(
            keys=RelayKeys.generate(net.entropy, net.clock),
            network=net.network,
            listen=ListenAt("127.0.0.1", 0),
            bootstrap=net.bootstrap,
            clock=net.clock,
            entropy=net.entropy,
            relay_limits=RelayLimits(publish_bytes_per_second=LARGE_BYTES, publish_bytes_burst=BURST * LARGE_BYTES),
        )
    )


async def test_a3_a_flood_is_refused_with_a_time_to_wait_and_nobody_else_is(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=0) as net:
        for _ in range(3):
            await add_strict_relay(net)
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        ear = Ear(there)
        tag = tag_of(anna, here)
        async with bare_clients(net, 1) as (flooder,):
            await flooder.link_to(net.relays)
            seat = PeerKey(flooder.subscribe(tag.keys, tag.descriptor, tag.committee, handle_of(1)))
            await flooder.until_count(Subscribed, 1)
            flood = {}
            for number in range(FLOOD):
                envelope = large(tag.keys, number)
                flood[envelope_id(envelope)] = Publish(envelope, tag.committee.seats_hash, None)
            for frame in flood.values():
                flooder.send(seat, frame)
            for number in range(5):  # meanwhile the room goes on through the same seats
                await here.send(f"message {number}")
            await ear.hears(*(f"message {number}" for number in range(5)))
            await flooder.until_count(Refused, 1)
            first = refusals(flooder)[0]
            assert first.code is RefusalCode.RATE_LIMITED
            assert first.retry_after_ms is not None
            assert 0 < first.retry_after_ms <= 1_001
            assert first.ids is not None
            (refused,) = first.ids
            assert not any(refused in receipt.ids for receipt in flooder.receipts)
            await taken_in_the_end(flooder, seat, flood[refused])


async def taken_in_the_end(client: BareClient, seat: PeerKey, frame: Publish) -> None:
    """Whoever waits as long as it was told is served again; more of the flood may have come before it."""
    item = envelope_id(frame.envelope)

    def is_taken() -> bool:
        return any(item in receipt.ids for receipt in client.receipts)

    while not is_taken():
        told = refusals(client)
        waited = asyncio.Event()
        asyncio.get_running_loop().call_later((told[-1].retry_after_ms or 0) / 1000, waited.set)
        await waited.wait()
        client.send(seat, frame)
        await client.until(lambda: is_taken() or len(refusals(client)) > len(told))  # noqa: B023


async def test_a3_what_only_relays_may_do_is_refused_to_clients(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        (anna,) = await members_of(net, "anna")
        (room,) = await quiet_room(anna)
        tag = tag_of(anna, room)
        async with bare_clients(net, 1) as (client,):
            await client.link_to(net.relays)
            client.send(tag.committee.seat_keys[0], SeatOpen(tag.descriptor, tag.committee.seats_hash, True))
            await client.until_count(Refused, 1)
            assert client.refusals == ["NOT_A_SEAT"]
