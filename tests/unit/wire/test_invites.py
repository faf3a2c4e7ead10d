"""Invite links: they read back, and every slip is told for what it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import MalformedInput
from railgun.types import Address, NetworkId, NodeKey, RelayContact, RoomId
from railgun.wire.invites import LINK_PREFIX, MISTYPED, NOT_OURS, Invite, format_invite, parse_invite

addresses = st.tuples(st.ip_addresses(v=4), st.integers(1, 65_535)).map(lambda pair: Address(str(pair[0]), pair[1]))
keys = st.binary(min_size=32, max_size=32)
contacts = st.builds(RelayContact, keys.map(NodeKey), st.lists(addresses, min_size=1, max_size=4).map(tuple), keys)
servers = st.sampled_from(["wss://a.example", "ws://192.0.2.1:80/x", "wss://" + "a" * 100 + ":65535/" + "b" * 15])
invites = st.builds(
    Invite,
    keys.map(NetworkId),
    keys.map(RoomId),
    keys,
    st.lists(contacts, max_size=8).map(tuple),
    st.lists(servers, max_size=2).map(tuple),
)
INVITE = Invite(
    NetworkId(b"n" * 32),
    RoomId(b"r" * 32),
    b"s" * 32,
    (RelayContact(NodeKey(b"k" * 32), (Address("192.0.2.1", 9000), Address("2001:db8::1", 9000)), b"c" * 32),),
)


@given(invites)
def test_links_read_back(invite: Invite) -> None:
    assert parse_invite(format_invite(invite)) == invite
    assert parse_invite(f" {format_invite(invite, 'https://chat.example/join')}\n") == invite


@given(st.integers(0, 10_000), st.sampled_from("ABCabc019-_"))
def test_a_slip_of_the_hand_is_told(place: int, letter: str) -> None:
    link = format_invite(INVITE)
    at = len(LINK_PREFIX) + place % (len(link) - len(LINK_PREFIX))
    mistyped = link[:at] + letter + link[at + 1 :]
    if mistyped == link:
        return
    with pytest.raises(MalformedInput, match="mistyped"):
        parse_invite(mistyped)


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 10, 100])
def test_a_link_cut_short_is_told(cut: int) -> None:
    with pytest.raises(MalformedInput) as caught:
        parse_invite(format_invite(INVITE)[:-cut])
    assert caught.value.detail == MISTYPED


@pytest.mark.parametrize("text", ["", "hello", "http://chat.example/#x", "https://chat.example/join", "railgun://x"])
def test_what_is_no_link_is_told(text: str) -> None:
    with pytest.raises(MalformedInput, match="no invite link"):
        parse_invite(text)


def test_a_whole_link_of_another_version_is_told() -> None:
    import base64

    from railgun.wire.invites import _checksum

    data = b"\xa1\x00\x02"
    link = LINK_PREFIX + base64.urlsafe_b64encode(data + _checksum(data)).rstrip(b"=").decode()
    with pytest.raises(MalformedInput, match="not for this version") as caught:
        parse_invite(link)
    assert caught.value.detail.startswith(NOT_OURS)


def test_links_of_unbounded_length_are_refused() -> None:
    with pytest.raises(MalformedInput, match="too long"):
        parse_invite(LINK_PREFIX + "A" * 10_000)


@given(st.text(max_size=200))
def test_any_text_is_a_link_or_the_one_error(text: str) -> None:
    for prefix in ("", LINK_PREFIX, "https://x/#"):
        with pytest.raises(MalformedInput):
            parse_invite(prefix + text)


def test_the_seed_stays_out_of_repr_and_bad_pages_are_the_callers_fault() -> None:
    assert repr(INVITE.seed) not in repr(INVITE)
    with pytest.raises(ValueError, match="https"):
        format_invite(INVITE, "http://chat.example")
    with pytest.raises(ValueError, match="items"):
        format_invite(Invite(INVITE.network, INVITE.room, INVITE.seed, INVITE.contacts * 9))
