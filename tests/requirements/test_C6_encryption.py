"""C6, as far as it is built: relays hold ciphertext only, each message has its own key, who is out is shut out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from railgun import NotMember, Peer, Room
from railgun.crypto.message_ids import message_id
from railgun.crypto.sealing import open_envelope
from railgun.runtime.identity import create_member_profile
from railgun.runtime.network_file import load_network
from railgun.runtime.peer import open_peer
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.wire.contacts import parse_contact
from tests.requirements.real import Ear, Tap, members_of, quiet_room, tag_of
from tests.support import processes
from tests.support.api_lab import WAIT_SECONDS, lab, settled, texts

SECRET = "meet me where the two rivers join, at a quarter past"
CHUNK_BYTES = 1 << 20


def memory_of(pid: int) -> Iterator[bytes]:
    """What a process may write to, region by region: all that it can have kept."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, mode, *_ = line.split()
        if mode.startswith("rw"):
            first, last = (int(number, 16) for number in span.split("-"))
            with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
                memory.seek(first)
                try:
                    yield memory.read(last - first)
                except OSError:
                    continue  # special pages that nobody may read


def holds(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Which of the needles are in the process's memory."""
    found: set[str] = set()
    for region in memory_of(pid):
        found |= {name for name, needle in needles.items() if needle in region}
    return found


@pytest.mark.slow
@pytest.mark.processes
async def test_c6_a_relays_memory_holds_the_tag_and_nothing_of_what_is_said_or_by_whom(tmp_path: Path) -> None:
    relays = processes.Lab(tmp_path)
    peers: list[Peer] = []
    try:
        started = await asyncio.to_thread(relays.relays, 3)
        network, clock, entropy = load_network(tmp_path / "lab.toml"), SystemClock(), SystemEntropy()
        for name in ("anna-of-the-hills", "bert-by-the-sea"):
            create_member_profile(tmp_path / name, entropy, clock, name=name)
            bootstrap = [parse_contact(one["contact"]) for one in started]
            peers.append(await open_peer(tmp_path / name, network=network, bootstrap=bootstrap))
        anna, bert = peers
        room = await anna.create_room("the room with a name", committee_size=3)
        there = await bert.join(room.invite())
        await settled(anna, room, 2)
        sent = await room.send(SECRET)
        assert await anna.wait_until(lambda: not anna.member_room(room.room_id).conversation.outbox, WAIT_SECONDS)
        await Ear(there).hears(SECRET)
        assert sent.of == 3
        tag = tag_of(anna, room)
        needles = {
            "tag": tag.tag,
            "text": SECRET.encode(),
            "room name": b"the room with a name",
            "author": b"anna-of-the-hills",
            "reader": b"bert-by-the-sea",
            "room id": room.room_id,
            "author's device": anna.identity.device_key,
            "reader's device": bert.identity.device_key,
            "header key": tag.keys.header_key,
            "room's signing seed": tag.keys.signing_seed,
        }
        for running in relays.running:
            assert holds(running.process.pid, needles) == {"tag"}
    finally:
        await asyncio.gather(*(peer.aclose() for peer in peers))
        await asyncio.to_thread(relays.close)


async def test_c6_each_message_has_its_own_key_and_no_key_of_the_room_opens_it(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        taps = [Tap(relay) for relay in net.relays]
        sent = [(await here.send(SECRET)).message_id for _ in range(3)]
        await Ear(there).hears(SECRET, SECRET, SECRET)
        keys = tag_of(anna, here).keys
        envelopes = {one for tap in taps for one in tap.published() if len(one) == 4096}
        assert len(envelopes) >= 3
        opened = [open_envelope(keys, envelope) for envelope in sorted(envelopes)]
        bodies = [inner.body for inner in opened if inner.kind.name == "GROUP"]
        # One text, said three times: under the room's header key there is Megolm, each time under another key. What
        # the room's upkeep says meanwhile is beside it.
        found = {message_id(anna.identity.device_key, body): body for body in bodies}
        assert len({found[one] for one in sent}) == 3
        assert not any(SECRET.encode() in body for body in bodies)


async def test_c6_who_is_removed_reads_nothing_more_and_who_joins_nothing_from_before(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert, cara, dora = await members_of(net, "anna", "bert", "cara", "dora")
        here, there, hers = await quiet_room(anna, bert, cara)
        ear = Ear(there)
        await here.send("for all three")
        await Ear(hers).hears("for all three")
        await ear.hears("for all three")
        await here.remove(cara.identity.device_key)
        assert await bert.wait_until(lambda: len(there.members()) == 2, WAIT_SECONDS)
        assert await bert.wait_until(lambda: generation_of(there) == 2, WAIT_SECONDS)
        await here.send("for two")
        await there.send("for two as well")
        await ear.hears("for two")
        assert await cara.wait_until(lambda: not hers.is_member, WAIT_SECONDS)
        with pytest.raises(NotMember):
            await hers.send("may I")
        late = await dora.join(here.invite())
        await settled(dora, late, 3)
        await settled(anna, here, 3)
        await here.send("for three again")
        await Ear(late).hears("for three again")
        assert texts(late.history()) == ["for three again"]
        # The room's keys went on without the one who is out: she cannot even find the tag.
        tags = {tag_of(anna, here).tag, tag_of(bert, there).tag}
        assert len(tags) == 1
        assert not tags & {tag.tag for tag in cara.machine.tags.of_room(hers.room_id)}
        assert texts(hers.history()) == ["for all three"]


def generation_of(room: Room) -> int | None:
    keys = room._peer.member_room(room.room_id).sending_keys(room._peer.wall())
    return None if keys is None else keys.generation
