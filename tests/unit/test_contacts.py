"""Relay contacts: every contact survives its text, and every other text is refused with the one error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import MalformedInput
from railgun.types import Address, NodeKey, RelayContact
from railgun.wire.contacts import format_contact, parse_address, parse_contact

KEY = NodeKey(bytes(range(32)))
HASH = bytes(range(32, 64))
TEXT = format_contact(RelayContact(KEY, (Address("192.0.2.1", 9000),), HASH))

addresses = st.builds(Address, st.ip_addresses().map(str), st.integers(1, 65_535))
keys = st.binary(min_size=32, max_size=32)


def test_the_form_is_the_documented_one() -> None:
    assert TEXT == (
        "railgun-relay:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
        "gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw@192.0.2.1:9000"
    )


@given(keys, keys, addresses)
def test_a_contact_survives_its_text(node_key: bytes, certificate_hash: bytes, address: Address) -> None:
    contact = RelayContact(NodeKey(node_key), (address,), certificate_hash)
    assert parse_contact(format_contact(contact)) == contact


def test_only_the_first_address_is_written() -> None:
    first, second = Address("192.0.2.1", 1), Address("192.0.2.2", 2)
    assert parse_contact(format_contact(RelayContact(KEY, (first, second), HASH))).addresses == (first,)


@pytest.mark.parametrize(
    "contact",
    [
        RelayContact(KEY, (), HASH),
        RelayContact(NodeKey(b"short"), (Address("192.0.2.1", 1),), HASH),
        RelayContact(KEY, (Address("192.0.2.1", 1),), b"short"),
    ],
)
def test_what_cannot_be_dialled_cannot_be_written(contact: RelayContact) -> None:
    with pytest.raises(ValueError):
        format_contact(contact)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.removeprefix("railgun-relay:"),
        TEXT.replace("railgun-relay", "railgun"),
        TEXT.partition("@")[0],
        TEXT.replace("Pw@", "Px@"),  # spare bits
        TEXT.replace("Pw@", "Pw==@"),
        TEXT.replace("AAEC", "AA+C"),
        TEXT.replace("AAEC", "AAé"),
        TEXT.replace("AAEC", ""),
        TEXT + " ",
        TEXT.replace("192.0.2.1", "relay.example"),
        TEXT.replace("192.0.2.1", "192.0.2.256"),
        TEXT.replace("192.0.2.1", "2001:db8::1"),
        TEXT.replace("192.0.2.1", "[192.0.2.1]"),
        TEXT.replace("192.0.2.1", "[fe80::1%eth0]"),
        TEXT.replace(":9000", ":0"),
        TEXT.replace(":9000", ":65536"),
        TEXT.replace(":9000", ":-1"),
        TEXT.replace(":9000", ":٩"),
        TEXT.replace(":9000", ""),
        TEXT + "0" * 200,
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(MalformedInput) as caught:
        parse_contact(text)
    assert "AAEC" not in str(caught.value), "the detail repeats the input"


@given(st.one_of(st.text(), st.text().map(lambda tail: TEXT.partition("@")[0] + "@" + tail)))
def test_any_text_gives_a_contact_or_the_one_error(text: str) -> None:
    try:
        contact = parse_contact(text)
    except MalformedInput:
        return
    assert parse_contact(format_contact(contact)) == contact


def test_mapped_addresses_are_normalised() -> None:
    assert parse_address("[::ffff:192.0.2.1]:9000") == Address("192.0.2.1", 9000)
