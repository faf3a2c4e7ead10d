"""What a node makes of datagrams from anyone: who is heeded, who gets how many bytes."""

from __future__ import annotations

import asyncio

import pytest

from railgun.dht import datagrams
from railgun.dht.datagrams import NO_DESTINATION, Form, Header
from railgun.dht.messages import ANSWERS, FindNodes, FindRecords, Found, Ping, Pong, Refused, Request, Store, Stored
from railgun.dht.node import DhtSettings
from railgun.errors import DiscoveryError, RefusalCode
from railgun.limits import DHT_DATAGRAM_BYTES_MAX, DHT_REQUESTS_BURST, DHT_STRANGERS_BURST
from railgun.types import NetworkId, NodeId
from tests.unit.dht.support import WALL, Attacker, Lab, address_of, identity_of, in_lab, record_of

SECOND = 1.0


async def wait(seconds: float = SECOND) -> None:
    """Let virtual time pass."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, over.set_result, None)
    await over


def test_an_unproved_address_never_gets_more_bytes_than_it_sent() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(20)
        await nodes[3].put(record_of(payload=bytes(800)))
        attacker = Attacker(lab)
        key = record_of().key
        requests: list[Request] = [Ping(True), FindNodes(key, True), FindRecords(key, 0, True)]
        requests.append(Store(record_of(payload=bytes(700)).encoded, serves=True))
        for request in requests:
            for bytes_min in (0, 160, 200, 400, 900, DHT_DATAGRAM_BYTES_MAX):
                for node in nodes:
                    attacker.received.clear()
                    sent = attacker.request(node, request, bytes_min=bytes_min)
                    attacker.socket.send_datagram(sent, address_of(nodes.index(node)))
                    await wait()
                    assert sum(len(data) for data, _ in attacker.received) <= len(sent)

    in_lab(main)


def test_a_padded_first_request_is_answered_at_once_and_in_full() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(20)
        attacker = Attacker(lab)
        request = FindNodes(bytes(20), serves=True)
        sent = attacker.request(nodes[0], request, bytes_min=DHT_DATAGRAM_BYTES_MAX)
        attacker.socket.send_datagram(sent, address_of(0))
        await wait()
        header, answer = attacker.read()
        assert isinstance(answer, Found)
        assert len(answer.contacts) == 16
        assert header.request_id == b"request."

    in_lab(main)


def test_a_node_enters_a_table_only_after_it_has_returned_a_cookie() -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(1))[0]
        attacker = Attacker(lab)
        for _ in range(3):
            attacker.socket.send_datagram(attacker.request(node, Ping(True), bytes_min=160), address_of(0))
            await wait()
        assert len(node.table) == 0
        cookie = attacker.read()[0].cookie
        elsewhere = Attacker(lab, 201)
        elsewhere.socket.send_datagram(elsewhere.request(node, Ping(True), cookie=cookie), address_of(0))
        await wait()
        assert len(node.table) == 0  # another address has not proved itself by it
        attacker.socket.send_datagram(attacker.request(node, Ping(True), cookie=cookie), address_of(0))
        await wait()
        assert [contact.id for contact in node.table.contacts()] == [attacker.identity.node_id]

    in_lab(main)


def test_who_does_not_serve_is_no_contact() -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(1))[0]
        client = lab.make(1, settings=DhtSettings(serves=False))
        await client.start()
        await client.join([address_of(0)])
        await wait()
        assert len(client.table) == 1
        assert len(node.table) == 0
        other = lab.make(2)
        await other.start()
        with pytest.raises(DiscoveryError):
            await other.join([address_of(1)])

    in_lab(main)


def test_only_a_proved_address_stores() -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(1))[0]
        attacker = Attacker(lab)
        store = Store(record_of().encoded, serves=False)
        attacker.socket.send_datagram(attacker.request(node, store), address_of(0))
        await wait()
        header, answer = attacker.read()
        assert isinstance(answer, Refused)
        assert answer.code is RefusalCode.BAD_PROOF
        assert len(node.store) == 0
        attacker.socket.send_datagram(attacker.request(node, store, cookie=header.cookie), address_of(0))
        await wait()
        assert isinstance(attacker.read()[1], Stored)
        assert len(node.store) == 1

    in_lab(main)


@pytest.mark.parametrize(
    ("changes", "counter"),
    [
        ({"network": b"another."}, "wrong_network"),
        ({"destination": identity_of("someone").node_id}, "wrong_destination"),
        ({"sender": identity_of("someone").node_key}, "forged"),
        ({"time": WALL - 400}, "outside_window"),
        ({"time": WALL + 400}, "outside_window"),
        ({"form": Form.ANSWER}, "answers_unexpected"),
    ],
)
def test_wrong_headers_are_counted_and_not_heeded(changes: dict, counter: str) -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(1))[0]
        attacker = Attacker(lab)
        attacker.socket.send_datagram(attacker.request(node, Ping(True), bytes_min=160, **changes), address_of(0))
        await wait()
        assert getattr(node.counters, counter) == 1
        assert not any(isinstance(attacker.read(index)[1], Pong) for index in range(len(attacker.received)))

    in_lab(main)


def test_a_wrong_clock_is_told_the_time() -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(1))[0]
        attacker = Attacker(lab)
        sent = attacker.request(node, Ping(True), bytes_min=160, time=WALL - 4_000)
        attacker.socket.send_datagram(sent, address_of(0))
        await wait()
        answer = attacker.read()[1]
        assert isinstance(answer, Refused)
        assert answer.code is RefusalCode.CLOCK_SKEWED
        assert abs(answer.time - WALL) < 5

    in_lab(main)


def test_a_signed_request_that_is_not_its_senders_is_forged() -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(1))[0]
        attacker = Attacker(lab)
        network = next(iter({datagrams.parse(attacker.request(node, Ping(True))).header.network}))
        header = Header(
            Form.SIGNED_REQUEST, network, identity_of("someone").node_key, NO_DESTINATION, WALL, b"request.", bytes(16)
        )
        attacker.socket.send_datagram(datagrams.seal_signed(header, b"\xa1\x00\x01", attacker.identity), address_of(0))
        await wait()
        assert node.counters.forged == 1
        assert not attacker.received

    in_lab(main)


def test_answers_from_elsewhere_and_by_others_are_not_taken() -> None:
    async def main(lab: Lab) -> None:
        node, other = (await lab.network_of(2))[:2]
        victim = other.table.get(node.identity.node_id)
        assert victim is not None
        lab.network.kill(address_of(0))
        silent = lab.network.open(address_of(0))  # receives in the dead node's place, without its key
        overheard: list[bytes] = []
        silent.on_datagram(lambda data, _: overheard.append(data))
        replies: list[object] = []
        assert other._exchange.ask(victim, Ping(True), replies.append)
        await wait(0.2)
        request_id = datagrams.parse(overheard[-1]).header.request_id
        attacker = Attacker(lab)
        fields = (datagrams.parse(overheard[-1]).header.network, attacker.identity.node_key, other.identity.node_id)
        header = Header(Form.ANSWER, fields[0], fields[1], NodeId(fields[2]), WALL, request_id, bytes(16))
        keys = attacker.keyring.keys_for(other.identity.node_key)
        forged = datagrams.seal(header, ANSWERS.encode(Pong(bytes(6))), keys)
        attacker.socket.send_datagram(forged, address_of(1))  # another address
        silent.send_datagram(forged, address_of(1))  # the right address, another key
        await wait(0.2)
        assert other.counters.answers_from_elsewhere == 2
        await wait(3)
        assert replies == [None]
        assert other._exchange.pending_count == 0

    in_lab(main)


def test_a_flood_from_one_network_is_limited_and_others_are_served() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(2)
        attacker = Attacker(lab)
        sent = attacker.request(nodes[0], Ping(True), bytes_min=160)
        for _ in range(int(DHT_REQUESTS_BURST) + 200):
            attacker.socket.send_datagram(sent, address_of(0))
        await wait(0.5)
        assert nodes[0].counters.rate_limited >= 100
        await nodes[1].put(record_of())
        assert len(nodes[0].store) == 1

    in_lab(main)


def test_strangers_from_everywhere_do_not_crowd_out_who_is_proved() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(2)
        attacker = Attacker(lab)
        sent = attacker.request(nodes[0], Ping(True), bytes_min=160)
        for number in range(int(DHT_STRANGERS_BURST) + 500):
            nodes[0]._exchange.receive(sent, address_of(300 + number % 40_000))
        assert nodes[0].counters.strangers_limited >= 400
        await nodes[1].put(record_of())
        assert len(nodes[0].store) == 1

    in_lab(main)


def test_other_networks_do_not_mix() -> None:
    async def main(lab: Lab) -> None:
        await lab.network_of(2)
        stranger = lab.make(5, network_id=NetworkId(bytes(32)))
        await stranger.start()
        with pytest.raises(DiscoveryError):
            await stranger.join([address_of(0)])

    in_lab(main)


def test_a_malformed_message_under_a_right_mac_is_counted() -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(1))[0]
        attacker = Attacker(lab)
        for message in (b"", b"\xff", b"\xa0", b"\xa1\x00\x09", b"\xa2\x00\x01\x01\x01", b"\xa1\x18\x00\x01"):
            attacker.socket.send_datagram(attacker.request(node, message, bytes_min=300), address_of(0))
        await wait()
        assert node.counters.malformed == 6
        assert not attacker.received

    in_lab(main)
