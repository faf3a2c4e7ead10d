"""What others try on a member is refused, counted by kind, and shown to its user in one line; all else goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from railgun import Peer, Room
from railgun.cli.status import refused_words
from railgun.core import conversation
from railgun.core.roster_entries import sign_entry
from railgun.crypto.epoch import EpochKeys
from railgun.dht.records import RecordKind, sign_record
from railgun.runtime.dht_client import Found
from railgun.runtime.peer_service import PeerService
from railgun.wire.dht_frames import DhtFound
from railgun.wire.roster import NameEntry
from tests.support.api_lab import WAIT_SECONDS, hears, lab
from tests.support.commands import check_schema


def keys_of(room: Room) -> EpochKeys:
    keys = room._peer.member_room(room.room_id).sending_keys(room._peer.wall())
    assert keys is not None
    return keys


async def shown(peer: Peer) -> tuple[dict[str, int], str]:
    """What `railgun status` says of refusals: the counts that are not zero, and the line."""
    answer: dict[str, Any] = json.loads(json.dumps(await PeerService(peer).call("status", {"wait_seconds": 0})))
    check_schema("status", answer)
    lines = refused_words(answer["refused"])
    assert len(lines) <= 1
    return {kind: count for kind, count in answer["refused"].items() if count}, "".join(lines)


async def test_nothing_is_shown_while_nothing_is_refused(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        await there.send("hello")
        await hears(here, "hello")
        assert await shown(anna) == ({}, "")


async def test_forged_bundles_and_entries_of_a_member_are_refused_and_the_room_goes_on(tmp_path: Path) -> None:
    """Bert tells the room prekeys in Cara's name, to read what is sealed for her, and gives Anna another name."""
    async with lab(tmp_path) as net:
        anna, bert, cara = [await net.connect(name) for name in ("anna", "bert", "cara")]
        here, there, elsewhere = await net.room_of(anna, bert, cara)
        machine, wall = bert.member_room(there.room_id), bert.wall()
        hers, own = cara.shared.tools.prekey, bert.shared.tools.prekey
        assert hers is not None
        assert own is not None
        forged = dataclasses.replace(own, device=hers.device, issued=hers.issued + 60)
        author = bert.identity.device_key
        place = (machine.roster.room, author, *machine.roster.next_place(author), int(wall))
        signed = sign_entry(bert.identity.device_seed, NameEntry(*place, "Anna")).data
        entry = signed.replace(author, anna.identity.device_key)
        assert entry != signed
        before = here.members()
        bert.apply(machine, machine._telling.spread((entry,), (forged,), machine.state(wall), wall))
        for peer in (anna, cara):
            assert await peer.wait_until(lambda peer=peer: peer.refusals()["bundles_forged"] == 1, WAIT_SECONDS)  # type: ignore[misc]
            counts, line = await shown(peer)
            assert counts == {"bundles_forged": 1, "roster_entries": 1}
            assert line == "refused  1 forged key bundles, 1 entries of rosters"
        assert here.members() == before
        assert anna.member_room(here.room_id).roster.prekey_record(hers.device) == hers
        await here.send("for Bert and Cara")
        for room in (there, elsewhere):
            await hears(room, "for Bert and Cara")


async def test_a_malformed_message_of_a_member_is_refused_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        with monkeypatch.context() as patched:
            patched.setattr(conversation, "encode_content", lambda content: b"\xff nonsense")
            await there.send("nonsense")
        await there.send("and sense")
        await hears(here, "and sense")
        assert await shown(anna) == ({"messages": 1}, "refused  1 malformed messages")
        assert [message.text for message in here.history()] == ["and sense"]


async def test_a_forged_bundle_in_the_dht_is_refused_and_shown(tmp_path: Path) -> None:
    """Bert publishes under his own key, which he may, the prekeys of another."""
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        hers = anna.shared.tools.prekey
        assert hers is not None
        assert await bert.records.put_keys(bert.identity.device_seed, hers) >= 1
        assert await anna.records.keys_of(bert.identity.device_key) is None
        altered = dataclasses.replace(hers, device=bert.identity.device_key, issued=hers.issued + 1)
        assert await bert.records.put_keys(bert.identity.device_seed, altered) >= 1
        assert await anna.records.keys_of(bert.identity.device_key) is None
        counts, line = await shown(anna)
        assert counts["bundles_forged"] == 2
        assert "2 forged key bundles" in line


async def test_a_fork_of_the_roster_is_among_what_is_shown(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, _ = await net.room_of(anna, bert)
        machine, author = anna.member_room(here.room_id), bert.identity.device_key
        place = (machine.roster.room, author, *machine.roster.next_place(author), int(anna.wall()))
        for name in ("one", "other"):
            machine.roster.insert(sign_entry(bert.identity.device_seed, NameEntry(*place, name)).data)
        counts, line = await shown(anna)
        assert counts == {"roster_forks": 1}
        assert line == "refused  1 forks of rosters"


def _forged(keys: EpochKeys, now: int) -> bytes:
    seed = keys.signing_seed
    fit = sign_record(seed, RecordKind.COMMITTEE_CHANGE, b"x", version=1, issued=now, expires=now + 600).encoded
    return fit[:-64] + _of_another_key(keys, now)[-64:]


def _of_another_key(keys: EpochKeys, now: int) -> bytes:
    return sign_record(bytes(32), RecordKind.COMMITTEE_CHANGE, b"x", version=1, issued=now, expires=now + 600).encoded


def _from_the_future(keys: EpochKeys, now: int) -> bytes:
    seed = keys.signing_seed
    return sign_record(seed, RecordKind.COMMITTEE_CHANGE, b"x", version=1, issued=now + 900, expires=now + 999).encoded


def _too_old(keys: EpochKeys, now: int) -> bytes:
    seed = keys.signing_seed
    return sign_record(seed, RecordKind.COMMITTEE_CHANGE, b"x", version=1, issued=now - 600, expires=now - 1).encoded


def _nonsense(keys: EpochKeys, now: int) -> bytes:
    return b"nonsense"


@pytest.mark.parametrize("poison", [_forged, _of_another_key, _from_the_future, _too_old, _nonsense])
async def test_a_poisoned_record_of_a_relay_is_refused_and_shown(
    tmp_path: Path, poison: Callable[[EpochKeys, int], bytes]
) -> None:
    async with lab(tmp_path, relays=1) as net:
        anna = await net.connect("anna")
        (here,) = await net.room_of(anna)
        keys = keys_of(here)
        bad = poison(keys, int(anna.wall()))

        class Lying:
            async def serve(self, client: object, ask: Any) -> DhtFound:
                return DhtFound(ask.number, (bad,), is_certain=True)

        net.relays[0].dht.desk._desk = Lying()  # type: ignore[assignment]
        found: Found | None = None
        with pytest.raises(Exception, match="no relay has looked this up"):
            found = await anna.shared.dht.find(RecordKind.COMMITTEE_CHANGE, keys.tag)
        assert found is None
        counts, line = await shown(anna)
        assert counts["records_poisoned"] >= 1
        assert "poisoned records" in line


async def test_records_that_a_member_wrote_wrongly_are_refused_and_shown(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna = await net.connect("anna")
        (here,) = await net.room_of(anna)
        keys, now = keys_of(here), int(anna.wall())
        for kind in (RecordKind.COMMITTEE_CHANGE, RecordKind.SEALED_CONTACT):
            record = sign_record(keys.signing_seed, kind, b"nonsense", version=2**50, issued=now, expires=now + 600)
            await anna.shared.dht.put(record)
        assert await anna.records.committee_of(keys, ()) is None
        assert anna.identity.device_key not in await anna.records.contacts(keys)
        counts, line = await shown(anna)
        assert counts["records_malformed"] >= 1
        assert counts["contacts_forged"] >= 1
        assert "malformed records" in line
        assert "forged contacts" in line
