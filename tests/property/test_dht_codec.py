"""Whatever arrives: decoders of the DHT refuse with one error, and a node goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.crypto.contact_sealing import CONTACT_BYTES_MAX, SEALED_CONTACT_BYTES, open_contact, seal_contact
from railgun.crypto.epoch import derive_epoch_keys
from railgun.dht import datagrams
from railgun.dht.datagrams import Form, Header
from railgun.dht.messages import (
    ANSWERS,
    REQUESTS,
    FindNodes,
    FindRecords,
    Found,
    Ping,
    Pong,
    Refused,
    Store,
    Stored,
)
from railgun.dht.records import read_record
from railgun.dht.state import decode_state, encode_state
from railgun.errors import CryptoError, MalformedInput, RefusalCode
from railgun.limits import DHT_DATAGRAM_BYTES_MAX, DHT_ITEMS_MAX
from railgun.types import NodeKey
from railgun.wire import cbor
from railgun.wire.dht_frames import DhtDeclined, DhtFind, DhtFound, DhtHeld, DhtPut
from railgun.wire.frames import FRAMES
from railgun.wire.tag_payloads import COMMITTEE_CHANGES, TRAVERSAL_HINTS, CommitteeChange, TraversalHints
from tests.unit.dht.support import WALL, Attacker, Lab, address_of, in_lab, record_of


def nodes(keys: Iterable[bytes]) -> tuple[NodeKey, ...]:
    return tuple(NodeKey(key) for key in keys)


IDS = st.binary(min_size=20, max_size=20)
CONTACTS = st.lists(st.binary(min_size=38, max_size=50), max_size=12).map(tuple)
RECORDS = st.lists(st.binary(min_size=1, max_size=200), max_size=2).map(tuple)
NUMBERS = st.integers(0, 2**32 - 1)
CODES = st.sampled_from(list(RefusalCode))
REQUEST = st.one_of(
    st.builds(Ping, st.booleans()),
    st.builds(FindNodes, IDS, st.booleans()),
    st.builds(FindRecords, IDS, st.integers(0, DHT_ITEMS_MAX), st.booleans()),
    st.builds(Store, st.binary(min_size=1, max_size=1_000), st.booleans()),
)
ANSWER = st.one_of(
    st.builds(Pong, st.binary(min_size=6, max_size=18)),
    st.builds(Found, CONTACTS, RECORDS, st.booleans()),
    st.just(Stored()),
    st.builds(Refused, CODES, NUMBERS),
)
ASK = st.one_of(
    st.builds(DhtFind, NUMBERS, IDS, st.one_of(st.none(), st.integers(0, 16))),
    st.builds(DhtPut, NUMBERS, st.binary(min_size=1, max_size=1_000)),
)
REPLY = st.one_of(
    st.builds(DhtFound, NUMBERS, RECORDS, st.booleans()),
    st.builds(DhtHeld, NUMBERS, st.integers(0, 255)),
    st.builds(DhtDeclined, NUMBERS, CODES),
)
SEATS = st.lists(st.binary(min_size=32, max_size=32), max_size=16, unique=True).map(tuple)
ADDRESSES = st.lists(st.sampled_from([6, 18]).flatmap(lambda size: st.binary(min_size=size, max_size=size)), max_size=8)
COMMITTEE = SEATS.map(lambda seats: CommitteeChange(1_700_000_400, nodes(seats), nodes(seats[:7])))
HINTS = st.builds(TraversalHints, ADDRESSES.map(tuple), ADDRESSES.map(tuple))
CODECS: list[tuple[Any, Any]] = [
    (REQUESTS, REQUEST),
    (ANSWERS, ANSWER),
    (FRAMES, ASK),
    (FRAMES, REPLY),
    (COMMITTEE_CHANGES, COMMITTEE),
    (TRAVERSAL_HINTS, HINTS),
]
VALUES = st.recursive(
    st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.binary(max_size=60), st.text(max_size=10), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.integers(0, 5), inner, max_size=4)),
    max_leaves=8,
)


@pytest.mark.parametrize("index", range(len(CODECS)))
@given(data=st.data())
def test_messages_are_read_as_written(index: int, data: st.DataObject) -> None:
    codec, items = CODECS[index]
    item: Any = data.draw(items)
    encoded = codec.encode(item)
    assert codec.decode(encoded) == item
    assert codec.encode(codec.decode(encoded)) == encoded


@pytest.mark.parametrize("codec", [codec for codec, _ in CODECS])
@given(st.one_of(st.binary(max_size=200), VALUES.map(cbor.encode)))
def test_anything_else_is_malformed(codec: Any, data: bytes) -> None:
    try:
        item = codec.decode(data)
    except MalformedInput:
        return
    assert codec.encode(item) == data


@given(st.one_of(st.binary(max_size=300), VALUES.map(cbor.encode)))
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        read_record(data, now=WALL)


@given(st.binary(max_size=DHT_DATAGRAM_BYTES_MAX + 10))
def test_a_datagram_is_read_as_it_is_or_refused(data: bytes) -> None:
    for first in (b"", b"\xd0", b"\xd1", b"\xd2"):
        try:
            parsed = datagrams.parse((first + data)[: DHT_DATAGRAM_BYTES_MAX + 5])
        except MalformedInput:
            continue
        assert len(parsed.message) <= len(data)


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "form": st.sampled_from([Form.REQUEST, Form.ANSWER]),
        "destination": IDS,
        "sender": st.binary(min_size=32, max_size=32),
        "time": NUMBERS,
        "request_id": st.binary(min_size=8, max_size=8),
        "cookie": st.binary(min_size=16, max_size=16),
    },
)
SENT = st.lists(
    st.one_of(
        st.binary(max_size=400),
        st.tuples(HEADERS, st.one_of(REQUEST, st.binary(max_size=60), VALUES.map(cbor.encode))),
    ),
    min_size=1,
    max_size=12,
)


@given(SENT)
def test_a_node_survives_whatever_is_sent_to_it(sent: list[Any]) -> None:
    async def main(lab: Lab) -> None:
        node = (await lab.network_of(2))[0]
        attacker = Attacker(lab)
        for item in sent:
            if isinstance(item, bytes):
                data = item
            else:
                changes, message = item
                if changes.get("destination") == datagrams.NO_DESTINATION:
                    continue
                data = attacker.request(node, message, bytes_min=400, **changes)
            before = len(attacker.received)
            node._exchange.receive(data, attacker.address)
            answers = attacker.received[before:]
            assert sum(len(answer) for answer, _ in answers) <= len(data)
        signed = record_of()
        await lab.nodes[1].put(signed)
        assert node.store.records(signed.key) == [signed]

    in_lab(main)  # which also checks that no node met an error of its own


@given(st.lists(st.one_of(st.binary(max_size=60), st.just(b"\xff" * 700)), max_size=6), st.booleans())
def test_answers_of_a_hostile_node_do_no_harm(bodies: list[bytes], is_found: bool) -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(3)
        attacker = Attacker(lab)
        waiting = list(bodies)

        def reply(data: bytes, source: Any) -> None:
            header = datagrams.parse(data).header
            body = waiting.pop() if waiting else b""
            if is_found:
                contacts = tuple(body[at : at + 38] for at in range(0, len(body) - 38, 38))
                body = ANSWERS.encode(Found(contacts[:16], (body,) if body else (), more=True))
            sender = nodes[0].identity.node_id
            answer = Header(
                Form.ANSWER, header.network, attacker.identity.node_key, sender, WALL, header.request_id, b"c" * 16
            )
            keys = attacker.keyring.keys_for(header.sender)
            attacker.socket.send_datagram(datagrams.seal(answer, body, keys), source)

        attacker.socket.on_datagram(reply)
        contact = nodes[0]._reader.of(attacker.identity.node_key, attacker.address)
        nodes[0].table.add_contact(contact)
        signed = record_of()
        await nodes[1].put(signed)
        finding = await nodes[0].get(signed.record.kind, signed.record.author)
        assert finding.records == (signed,)

    in_lab(main)


@given(st.lists(st.integers(0, 500), max_size=30, unique=True))
def test_state_is_read_as_written(numbers: list[int]) -> None:
    async def main(lab: Lab) -> None:
        node = lab.make(1)
        reader = node._reader
        contacts = [reader.of(lab.make(number).identity.node_key, address_of(number)) for number in numbers]
        state = encode_state(node._network_id, contacts)
        assert [one.raw for one in decode_state(state, node._network_id, reader)] == [one.raw for one in contacts]

    in_lab(main)


@given(st.binary(max_size=800), st.binary(min_size=12, max_size=12), st.binary(max_size=CONTACT_BYTES_MAX))
def test_a_sealed_contact_opens_whole_or_not_at_all(noise: bytes, nonce: bytes, contact: bytes) -> None:
    keys = derive_epoch_keys(bytes(32), 1, 1_700_000_400)
    sealed = seal_contact(keys, contact, nonce)
    assert len(sealed) == SEALED_CONTACT_BYTES
    assert open_contact(keys, sealed) == contact
    changed = bytearray(sealed)
    changed[len(noise) % len(sealed)] ^= 1
    for bad in (noise, bytes(changed)):
        with pytest.raises(CryptoError):
            open_contact(keys, bad)
