"""A node among others: joining, finding, storing, remembering, keeping records alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from railgun.dht.desk import ClientDesk, read_found
from railgun.dht.node import DhtNode
from railgun.dht.records import RecordKind, record_key
from railgun.dht.state import decode_state, encode_state
from railgun.errors import DiscoveryError, MalformedInput, RefusalCode, UsageError
from railgun.limits import DHT_CLIENT_REQUESTS_MAX, DHT_LOOKUPS_MAX, DHT_PUBLISHED_MAX, DHT_REPUBLISH_SECONDS
from railgun.types import PeerKey
from railgun.wire import cbor
from railgun.wire.dht_frames import DhtDeclined, DhtFind, DhtFound, DhtHeld, DhtPut
from railgun.wire.frames import FRAMES
from tests.unit.dht.support import WALL, Lab, address_of, in_lab, record_of, seed_of
from tests.unit.dht.test_exchange import wait


def holders(nodes: list[DhtNode], key: bytes) -> int:
    return sum(bool(node.store.records(key)) for node in nodes)


def test_what_one_stores_all_find() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(30)
        signed = record_of()
        assert await nodes[4].put(signed) == 16
        assert holders(nodes, signed.key) == 16
        for node in nodes:
            finding = await node.get(signed.record.kind, signed.record.author)
            assert finding.records == (signed,)
            assert finding.is_certain

    in_lab(main)


def test_the_newest_version_is_found_where_most_hold_an_older() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(30)
        old, new = record_of(), record_of(version=2)
        await nodes[4].put(old)
        holding = [node for node in nodes if node.store.records(old.key)]
        for node in holding[:12]:
            node.store[new.key] = new.encoded
        assert (await nodes[5].get(new.record.kind, new.record.author)).records == (new,)

    in_lab(main)


def test_a_key_with_many_items_is_read_page_by_page() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(12)
        signed = [record_of(item=item, payload=bytes(300)) for item in range(40)]
        for one in signed:
            await nodes[item_node(one.record.item)].put(one)
        finding = await nodes[11].get(signed[0].record.kind, signed[0].record.author)
        assert finding.records == tuple(signed)

    def item_node(item: int) -> int:
        return item % 10

    in_lab(main)


def test_nothing_stored_is_nothing_found() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(12)
        finding = await nodes[3].get(RecordKind.KEY_BUNDLE, bytes(32))
        assert finding.records == ()
        assert not finding.is_certain

    in_lab(main)


def test_two_nodes_are_a_network_and_one_alone_stores_for_itself() -> None:
    async def main(lab: Lab) -> None:
        alone = (await lab.network_of(1))[0]
        assert await alone.put(record_of()) == 1
        other = lab.make(1)
        await other.start()
        assert await other.join([address_of(0)]) == 1
        assert (await other.get(RecordKind.SEALED_CONTACT, record_of().record.author)).records == (record_of(),)

    in_lab(main)


def test_nobody_there_is_said_in_words() -> None:
    async def main(lab: Lab) -> None:
        node = lab.make(0)
        with pytest.raises(UsageError):
            await node.join([address_of(1)])
        await node.start()
        with pytest.raises(DiscoveryError, match="name one"):
            await node.join()
        with pytest.raises(DiscoveryError, match=r"20\.0\.1\.1"):
            await node.join([address_of(1)])
        assert lab.loop.time() < 7

    in_lab(main)


def test_a_clock_that_is_hours_wrong_is_said() -> None:
    async def main(lab: Lab) -> None:
        await lab.network_of(2)
        late = lab.make(5, wall_offset_seconds=-7_200)
        await late.start()
        with pytest.raises(DiscoveryError, match="differs by 7200 s"):
            await late.join([address_of(0), address_of(1)])

    in_lab(main)


def test_state_survives_a_restart_and_is_nobodys_elses() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(20)
        state = nodes[7].export_state()
        await nodes[7].aclose()
        again = lab.make(7)
        await again.start()
        started = lab.loop.time()
        assert await again.join(state=state) >= 15
        assert lab.loop.time() - started < 3

    in_lab(main)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\x80",
        cbor.encode([1, bytes(32), []]),
        cbor.encode([2, bytes(32), []]),
        cbor.encode([1, bytes(32), [1]]),
        bytes(200_000),
    ],
)
def test_what_is_no_state_is_refused(state: bytes) -> None:
    async def main(lab: Lab) -> None:
        node = lab.make(0)
        await node.start()
        with pytest.raises((MalformedInput, DiscoveryError)):
            await node.join(state=state)
        with pytest.raises(MalformedInput):
            decode_state(encode_state(node._network_id, [])[:-1] + b"\x81\x01", node._network_id, node._reader)

    in_lab(main)


def test_published_records_outlive_the_holders_and_withdrawn_ones_do_not() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(40)
        kept, dropped = (record_of(name, expires=WALL + 40_000) for name in ("kept", "dropped"))
        assert await nodes[0].publish(kept) == 16
        for number, node in enumerate(nodes):
            if number and node.store.records(kept.key):
                lab.network.kill(address_of(number))
        alive = [node for number, node in enumerate(nodes) if not number or not node.store.records(kept.key)]
        nodes[0]._upkeep.publish(dropped, None)
        nodes[0].withdraw(dropped.record.kind, dropped.record.author)
        await wait(1.2 * DHT_REPUBLISH_SECONDS)
        assert holders(alive, kept.key) >= 8
        assert holders(nodes, dropped.key) == 0

    in_lab(main)


def test_holders_pass_records_on_when_their_author_is_gone() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(40)
        signed = record_of(expires=WALL + 40_000)
        await nodes[0].put(signed)
        lab.network.kill(address_of(0))
        holding = [number for number, node in enumerate(nodes) if number and node.store.records(signed.key)]
        for number in holding[:12]:
            lab.network.kill(address_of(number))
        alive = [node for number, node in enumerate(nodes) if number and number not in holding[:12]]
        assert holders(alive, signed.key) <= 4
        await wait(1.5 * DHT_REPUBLISH_SECONDS)
        assert holders(alive, signed.key) >= 12

    in_lab(main)


def test_expired_records_are_published_no_more() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(3)
        signed = record_of(expires=WALL + 600)
        await nodes[0].publish(signed)
        await wait(900)
        assert holders(nodes, signed.key) == 0
        assert sum(len(node.store) for node in nodes) == 0

    in_lab(main)


def test_the_dead_leave_the_tables() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(20)
        for number in range(10):
            lab.network.kill(address_of(number))
        await wait(3_000)
        dead = {node.identity.node_id for node in nodes[:10]}
        for node in nodes[10:]:
            ids = {contact.id for contact in node.table.contacts()}
            assert not ids & dead
            assert len(ids) == 9

    in_lab(main)


def test_a_node_that_moves_is_known_at_its_new_address() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(4)
        await nodes[2].aclose()
        lab.network.kill(address_of(2))
        moved = lab.make(50, name=2)
        await moved.start()
        await moved.join([address_of(0)])
        await wait()
        contact = nodes[0].table.get(moved.identity.node_id)
        assert contact is not None
        assert contact.address == address_of(50)

    in_lab(main)


def test_lookups_at_once_are_bounded_and_closing_ends_them() -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(3))[0]
        tasks = [asyncio.ensure_future(node.find_nodes(bytes(20))) for _ in range(DHT_LOOKUPS_MAX + 5)]
        await wait(0.001)
        refused = [task for task in tasks if task.done() and isinstance(task.exception(), UsageError)]
        assert len(refused) == 5
        await node.aclose()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert node._exchange.pending_count == 0
        with pytest.raises(UsageError):
            await node.find_nodes(bytes(20))

    in_lab(main)


def test_what_is_published_is_bounded() -> None:
    async def main(lab: Lab) -> None:
        node = lab.make(0)
        signed = record_of()
        for number in range(DHT_PUBLISHED_MAX):
            node._upkeep._published[number.to_bytes(20, "big"), 0] = signed
        await node.start()
        with pytest.raises(UsageError):
            await node.publish(signed)

    in_lab(main)


CLIENT = PeerKey(b"c" * 32)


def test_a_relay_asks_for_its_clients() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(20)
        desk = ClientDesk(nodes[3], nodes[3]._clock)
        signed = record_of()
        put = FRAMES.decode(FRAMES.encode(DhtPut(7, signed.encoded)))
        assert isinstance(put, DhtPut)
        assert await desk.serve(CLIENT, put) == DhtHeld(7, 16)
        reply = await desk.serve(CLIENT, DhtFind(8, signed.key, None))
        assert FRAMES.decode(FRAMES.encode(reply)) == DhtFound(8, (signed.encoded,), is_certain=True)
        assert isinstance(reply, DhtFound)
        assert read_found(reply, signed.key, now=WALL) == (signed,)
        with pytest.raises(MalformedInput):
            read_found(reply, bytes(20), now=WALL)
        with pytest.raises(MalformedInput):
            read_found(DhtFound(8, (b"no record",), is_certain=True), signed.key, now=WALL)
        forged = await desk.serve(CLIENT, DhtPut(9, signed.encoded[:-1] + b"\x00"))
        assert forged == DhtDeclined(9, RefusalCode.BAD_SIGNATURE)

    in_lab(main)


def test_one_client_does_not_keep_its_relay_from_others() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(20)
        desk = ClientDesk(nodes[3], nodes[3]._clock)
        find = DhtFind(1, record_of().key, 1)
        replies = asyncio.gather(*(desk.serve(CLIENT, find) for _ in range(DHT_CLIENT_REQUESTS_MAX + 3)))
        await wait(0.001)
        assert isinstance(await desk.serve(PeerKey(b"d" * 32), find), DhtFound)
        assert [reply for reply in await replies if isinstance(reply, DhtDeclined)] == [
            DhtDeclined(1, RefusalCode.BUSY)
        ] * 3  # fmt: skip
        assert not desk._under_way

    in_lab(main)


def test_a_lan_lets_all_of_one_network_in() -> None:
    from railgun.dht.node import DhtSettings
    from railgun.types import Address

    async def main(lab: Lab) -> None:
        addresses = [Address(f"127.0.0.{number + 1}", 9_000) for number in range(12)]
        nodes = [lab.make(n, address=addresses[n], settings=DhtSettings(is_lan=True)) for n in range(12)]
        for number, node in enumerate(nodes):
            await node.start()
            if number:
                await node.join([addresses[0]])
        await wait()
        assert min(len(node.table) for node in nodes) == 11
        await nodes[2].put(record_of())
        finding = await nodes[9].get(RecordKind.SEALED_CONTACT, record_of().record.author)
        assert finding.is_certain

    in_lab(main)


def test_the_librarys_own_network_half_is_not_even_loaded() -> None:
    program = (
        "import sys, railgun.dht.node, railgun.dht.desk\n"
        "bad = {'rpcudp', 'umsgpack', 'kademlia.network', 'kademlia.protocol', 'kademlia.crawling'} & {\n"
        "    name if name.startswith('kademlia') else name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(bad))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"


def test_record_keys_are_what_others_work_out() -> None:
    signed = record_of()
    assert signed.key == record_key(RecordKind.SEALED_CONTACT, signed.record.author)
    assert seed_of("author") != seed_of("other")
