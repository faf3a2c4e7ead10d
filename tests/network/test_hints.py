"""STUN and TURN servers go from one member's configuration through the DHT to the others (C1), on real sockets."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from railgun import Peer, Room
from railgun.dht.records import RecordKind, sign_record
from railgun.errors import MalformedInput, RefusalCode, UsageError
from railgun.runtime import hint_keeper
from railgun.runtime.dht_status import relay_dht_status
from railgun.runtime.peer_service import PeerService
from railgun.runtime.traversal import TraversalServers
from railgun.types import Address
from railgun.wire.dht_frames import DhtPut
from railgun.wire.tag_payloads import TRAVERSAL_HINTS, TraversalHints
from tests.support.api_lab import WAIT_SECONDS, Lab, lab
from tests.support.commands import check_schema

STUN = Address("192.0.2.1", 3478)
TURN = Address("2001:db8::1", 5349)
OTHER = Address("192.0.2.9", 3478)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members name and look at once, and not at some time in the epoch."""
    monkeypatch.setattr(hint_keeper, "NAME_SHARE", 0.0)
    monkeypatch.setattr(hint_keeper, "LOOK_SHARE", 0.0)
    monkeypatch.setattr(hint_keeper, "RETRY_SECONDS", 0.2)


async def look_again(peer: Peer, room: Room) -> None:
    """As at an epoch's begin, and until it has been done."""
    keys = peer.member_room(room.room_id).sending_keys(peer.wall())
    assert keys is not None
    peer._hints.epoch_opened(room.room_id, keys.start)
    assert await peer.wait_until(lambda: room.room_id not in peer._hints._plans, WAIT_SECONDS)


async def stored(net: Lab) -> int:
    """Hints that the relays hold, each counted once."""
    held = {signed for relay in net.relays for signed in (one.encoded for one in relay.dht.node.store.due(0.0, 1_000))}
    return sum(encoded[3:6] == b"\x01\x04\x02" for encoded in held)


async def test_servers_that_one_member_names_reach_the_others(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna = await net.connect("anna", stun=[STUN], turn=[TURN])
        bert, cara = await net.connect("bert"), await net.connect("cara", stun=[OTHER])
        here, there, elsewhere = await net.room_of(anna, bert, cara)
        await look_again(anna, here)
        await look_again(cara, elsewhere)
        await look_again(anna, here)  # named already: not once more
        await look_again(bert, there)
        assert set(bert.status().servers.stun) == {STUN, OTHER}
        assert bert.status().servers.turn == (TURN,)
        await look_again(anna, here)
        assert anna.status().servers == TraversalServers((STUN, OTHER), (TURN,))
        assert await stored(net) == 2
        answer = json.loads(json.dumps(await PeerService(bert).call("status", {})))
        check_schema("status", answer)
        assert answer["servers"] == {
            "stun": [str(address) for address in bert.status().servers.stun], "turn": ["[2001:db8::1]:5349"]
        }  # fmt: skip
        await there.leave()
        assert bert.status().servers == TraversalServers()


async def test_a_public_network_takes_no_private_server_from_its_owner(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        with pytest.raises(UsageError, match="cannot be asked"):
            await net.connect("anna", stun=[Address("224.0.0.1", 3478)])
        await net.connect("anna", stun=[STUN])  # nothing of the refused start is left


async def test_hints_that_no_member_could_write_are_refused_and_counted(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        keys = anna.member_room(here.room_id).sending_keys(anna.wall())
        assert keys is not None
        now = int(time.time())
        good = TRAVERSAL_HINTS.encode(TraversalHints((), ()))

        def hints(seed: bytes, *, issued: int, expires: int, item: int = 0, payload: bytes = good) -> bytes:
            kind = RecordKind.TRAVERSAL_HINTS
            return sign_record(
                seed, kind, payload, version=now * 1000, issued=issued, expires=expires, item=item
            ).encoded

        fit = hints(keys.signing_seed, issued=now, expires=now + 600)
        other = hints(bytes(32), issued=now, expires=now + 600)
        bad = {
            "forged": (fit[:-64] + other[-64:], RefusalCode.BAD_SIGNATURE),
            "too large": (fit + bytes(1_000 - len(fit)), RefusalCode.MALFORMED),
            "of an item beyond the eighth": (_with_item(fit, 8), RefusalCode.MALFORMED),
            "too old": (hints(keys.signing_seed, issued=now - 600, expires=now - 1), RefusalCode.OUTSIDE_WINDOW),
            "from the future": (
                hints(keys.signing_seed, issued=now + 900, expires=now + 960), RefusalCode.OUTSIDE_WINDOW
            ),
        }  # fmt: skip
        dht = anna.shared.dht
        for what, (encoded, code) in bad.items():
            relay = sorted(anna.machine.connector.relays)[0]
            reply = await dht._ask(relay, DhtPut(dht._next_number(), encoded))
            assert getattr(reply, "code", None) is code, what
        assert sum(relay_dht_status(relay.dht)["client_asks_declined"] for relay in net.relays) == len(bad)
        with pytest.raises(MalformedInput):
            await dht.put(sign_record(
                keys.signing_seed, RecordKind.TRAVERSAL_HINTS, good, version=1, issued=now + 900, expires=now + 960
            ))  # fmt: skip

        # What a member can write, though no honest one does: by name and form it is a record, its servers are none.
        impossible = TRAVERSAL_HINTS.encode(TraversalHints((bytes(6),), (b"\xff" * 6,)))
        for item, payload in enumerate([b"nonsense", impossible]):
            record = sign_record(
                keys.signing_seed, RecordKind.TRAVERSAL_HINTS, payload,
                version=now * 1000, issued=now, expires=now + 600, item=item,
            )  # fmt: skip
            await dht.put(record)
        await look_again(bert, there)
        assert bert.status().servers == TraversalServers()
        assert bert.records.counters.payloads_malformed >= 1
        assert bert.shared.traversal.refused >= 2


def _with_item(encoded: bytes, item: int) -> bytes:
    """The record with another item in the place of 0: key 3, after the 32 bytes of the author's key 2."""
    at = encoded.index(b"\x02\x58\x20") + 3 + 32
    assert encoded[at : at + 2] == b"\x03\x00"
    return encoded[: at + 1] + bytes([item]) + encoded[at + 2 :]
