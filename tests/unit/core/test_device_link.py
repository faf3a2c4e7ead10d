"""Linking a device: two people's eyes on one code, a certificate, and every room as a joiner would get it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from railgun.core.device_link import (
    DeviceCertified,
    DeviceConsented,
    LinkCodeShown,
    LinkEnd,
    LinkEnded,
    RoomLinked,
)
from railgun.core.device_link_host import HostLink
from railgun.core.device_link_new import NewDevice, NewDeviceLink
from railgun.core.own_devices import admit_device, revoke_devices
from railgun.core.persistence import Write
from railgun.core.room import MemberRoom
from railgun.core.room_port import Room, RoomOutcome, SealRequest
from railgun.crypto.sealing import open_envelope
from railgun.errors import CryptoError, MalformedInput, NotMember, UsageError
from railgun.limits import DEVICE_LINK_LINGER_SECONDS, DEVICE_LINK_SECONDS
from railgun.types import NetworkId, RoomId
from railgun.wire.device_link import (
    LINK_BODIES,
    DeviceLink,
    LinkBody,
    LinkClosed,
    LinkConsent,
    LinkDone,
    LinkGrant,
    LinkHello,
    LinkKey,
    LinkReveal,
    LinkRoom,
    format_device_link,
    parse_device_link,
)
from tests.support import rosters as r
from tests.support.virtual_rooms import NETWORK, Node, World

ANNA, BERT = r.Device("anna"), r.Device("bert")
PHONE = r.Device("bert's phone", person="bert")
LINK = DeviceLink(NetworkId(bytes(32)), b"s" * 32, ())
EXPIRES = r.NOON + 86_400 * 365


class Linking:
    """Two people, rooms between them, and bert about to link his phone."""

    def __init__(self, rooms: int = 2) -> None:
        self.world = World()
        self.anna, self.bert = Node(self.world, ANNA), Node(self.world, BERT)
        self.room_ids: list[RoomId] = []
        for index in range(rooms):
            room = self.anna.create(f"room {index}")
            self.world.settle()
            self.bert.join(self.anna.invite(room))
            self.world.pass_time(5)
            assert self.bert.member(room) is not None
            self.room_ids.append(room)
        self.phone = Node(self.world, PHONE)
        self.host = HostLink(LINK, BERT.root, NETWORK, self.bert.tools.sessions, now=self.world.now)
        device = NewDevice(PHONE.own, PHONE.record, PHONE.account.identity_key, "phone")
        self.new = NewDeviceLink(
            LINK,
            device,
            NETWORK,
            self.phone.tools.sessions,
            lambda grant: [Write("identity", b"certificate", grant.certificate)],
            now=self.world.now,
            wall=self.world.wall,
        )

    def meet(self) -> None:
        self.bert.add_room(self.host, RoomOutcome())
        self.phone.add_room(self.new, RoomOutcome())
        self.world.pass_time(1)

    def codes(self) -> list[tuple[int, int, int]]:
        told = [*self.bert.told, *self.phone.told]
        return [notification.code for notification in told if isinstance(notification, LinkCodeShown)]

    def confirm(self) -> None:
        now, wall = self.world.now, self.world.wall
        self.bert.apply(self.host, self.host.confirm(self.room_ids, EXPIRES, now, wall))
        self.phone.apply(self.new, self.new.confirm(now, wall))
        self.world.pass_time(1)

    def hand_over(self) -> None:
        """What the runtime does when the new device has agreed."""
        consented = next(told for told in self.bert.told if isinstance(told, DeviceConsented))
        keys = self.host.sending_keys(self.world.wall)
        assert keys is not None
        for room_id, proof in consented.proofs:
            room = self.bert.member(room_id)
            assert room is not None
            handed = admit_device(room, consented.certificate, proof, consented.record, keys, self.world.wall)
            self.bert.apply(room, handed.outcome)
            self.bert.apply(self.host, self.host.hand_over(room_id, handed.chunks, self.world.now))
        self.world.pass_time(1)


@pytest.fixture
def linking() -> Linking:
    return Linking()


def test_a_device_is_linked_and_talks_in_every_room(linking: Linking) -> None:
    linking.meet()
    codes = linking.codes()
    assert len(codes) == 2
    assert codes[0] == codes[1]
    linking.confirm()
    assert any(isinstance(told, DeviceCertified) for told in linking.phone.told)
    linking.hand_over()
    assert linking.new.is_over
    linking.phone.crash()  # it comes up with what it was given
    assert {told.linked for told in linking.phone.told if isinstance(told, RoomLinked)} == set(linking.room_ids)
    ended = [told for node in (linking.bert, linking.phone) for told in node.told if isinstance(told, LinkEnded)]
    assert [(told.device, told.missing) for told in ended] == [(PHONE.key, ())] * 2
    # What is on the disk is a profile with its rooms, and a certificate by bert's root.
    assert linking.phone.disk.get("identity", b"certificate") is not None
    linking.bert.crash()
    linking.world.pass_time(20)
    for room in linking.room_ids:
        linking.phone.say(room, "from the phone")
        linking.anna.say(room, "to both")
        linking.bert.say(room, "to my phone")
    linking.world.pass_time(20)
    assert sorted(linking.anna.read.values()) == ["from the phone", "from the phone", "to my phone", "to my phone"]
    assert sorted(linking.phone.read.values()) == ["to both", "to both", "to my phone", "to my phone"]
    assert sorted(linking.bert.read.values()) == ["from the phone", "from the phone", "to both", "to both"]
    state = member_of(linking.anna, linking.room_ids[0]).state(linking.world.wall)
    assert state.devices_of(BERT.root.root_key) == tuple(sorted((BERT.key, PHONE.key)))


def member_of(node: Node, room: RoomId) -> MemberRoom:
    member = node.member(room)
    assert member is not None
    return member


def test_a_revoked_device_hears_nothing_more_from_anyone(linking: Linking) -> None:
    linking.meet()
    linking.confirm()
    linking.hand_over()
    linking.phone.crash()
    linking.world.pass_time(20)
    room = linking.room_ids[0]
    linking.anna.say(room, "all of you")
    linking.world.settle()
    bert = member_of(linking.bert, room)
    linking.bert.apply(bert, revoke_devices(bert, [PHONE.key], linking.world.wall))
    linking.world.settle()
    linking.anna.say(room, "not the phone")
    linking.bert.say(room, "nor here")
    linking.world.pass_time(60)
    assert list(linking.phone.read.values()) == ["all of you"]
    assert list(linking.bert.read.values()) == ["all of you", "not the phone"]
    # Anna is an admin: she made a generation that the phone never gets.
    state = member_of(linking.anna, room).state(linking.world.wall)
    assert state.revoked == (PHONE.key,)
    assert PHONE.key in state.generations[-1].excluded
    assert state.generations[-1].author == ANNA.key
    with pytest.raises(NotMember):
        linking.phone.say(room, "am I still here?")
    for wrong, error in (([BERT.key], UsageError), ([], UsageError), ([ANNA.key], NotMember)):
        with pytest.raises(error):
            revoke_devices(bert, wrong, linking.world.wall)


def test_without_both_confirmations_nothing_is_granted(linking: Linking) -> None:
    linking.meet()
    now, wall = linking.world.now, linking.world.wall
    linking.bert.apply(linking.host, linking.host.confirm(linking.room_ids, EXPIRES, now, wall))
    linking.world.pass_time(30)
    assert not any(isinstance(told, DeviceConsented) for told in linking.bert.told)
    assert linking.phone.disk.get("identity", b"certificate") is None
    linking.phone.apply(linking.new, linking.new.confirm(linking.world.now, linking.world.wall))
    linking.world.pass_time(1)
    assert any(isinstance(told, DeviceConsented) for told in linking.bert.told)


def test_nothing_can_be_confirmed_before_there_is_a_code(linking: Linking) -> None:
    with pytest.raises(UsageError, match="no code"):
        linking.host.confirm(linking.room_ids, EXPIRES, linking.world.now, linking.world.wall)
    with pytest.raises(UsageError, match="no code"):
        linking.new.confirm(linking.world.now, linking.world.wall)


def test_somebody_between_the_two_shows_as_different_codes() -> None:
    """Who read the link plays the root's device to the phone, and a phone to bert."""
    linking = Linking(rooms=1)
    eve = r.Device("eve")
    evil = HostLink(LINK, eve.root, NETWORK, linking.phone.tools.sessions, now=linking.world.now)
    fake = NewDeviceLink(
        LINK,
        NewDevice(eve.own, eve.record, eve.account.identity_key, "phone"),
        NETWORK,
        linking.phone.tools.sessions,
        lambda grant: [Write("identity", b"certificate", grant.certificate)],
        now=linking.world.now,
        wall=linking.world.wall,
    )
    outcomes = [linking.host._heard(fake._hello, 0.0, linking.world.wall)]
    outcomes.append(evil._heard(linking.new._hello, 0.0, linking.world.wall))
    for host, new in ((linking.host, fake), (evil, linking.new)):
        assert host._key is not None
        outcomes.append(new._heard(host._key, 0.0, linking.world.wall))
        outcomes.append(host._heard(new._again[0], 0.0, linking.world.wall))
    codes = {told.code for outcome in outcomes for told in outcome.notifications if isinstance(told, LinkCodeShown)}
    assert len(codes) == 2
    # Bert sees that they differ: who asked is turned away, and his phone can ask again.
    linking.host.turn_away(0.0)
    assert linking.host._hello is None
    with pytest.raises(Exception, match="hello"):
        linking.host._heard(fake._hello, 0.0, linking.world.wall)
    linking.host._heard(linking.new._hello, 0.0, linking.world.wall)
    assert linking.host._device == PHONE.key


def test_a_revealed_key_has_to_be_the_one_committed_to(linking: Linking) -> None:
    wall = linking.world.wall
    linking.host._heard(linking.new._hello, 0.0, wall)
    assert linking.host._key is not None
    linking.new._heard(linking.host._key, 0.0, wall)
    (reveal,) = linking.new._again
    other = linking.phone.tools.sessions.sas_new().public_key
    with pytest.raises(Exception, match="committed"):
        linking.host._heard(dataclasses.replace(reveal, sas_key=other), 0.0, wall)  # type: ignore[arg-type]


def test_what_is_altered_on_the_way_is_refused(linking: Linking) -> None:
    linking.meet()
    linking.bert.apply(
        linking.host, linking.host.confirm(linking.room_ids, EXPIRES, linking.world.now, linking.world.wall)
    )
    (grant,) = linking.host._again
    for change in ({"mac": bytes(32)}, {"sealed": grant.sealed[:-1] + b"x"}):  # type: ignore[union-attr]
        fresh = Linking(rooms=0)
        fresh.meet()
        with pytest.raises((CryptoError, MalformedInput)):
            linking.new._heard(dataclasses.replace(grant, **change), 0.0, linking.world.wall)
    hello = dataclasses.replace(linking.new._hello, name="another")
    other = HostLink(LINK, BERT.root, NETWORK, linking.bert.tools.sessions, now=0.0)
    with pytest.raises(Exception, match="hello"):
        other._heard(hello, 0.0, linking.world.wall)
    with pytest.raises(Exception, match="hello"):
        other._heard(linking.new._hello, 0.0, linking.world.wall + DEVICE_LINK_SECONDS + 1)


def test_a_link_that_nobody_answers_ends() -> None:
    linking = Linking(rooms=0)
    linking.phone.add_room(linking.new, RoomOutcome())
    linking.world.pass_time(DEVICE_LINK_SECONDS + 1)
    ended = [told for told in linking.phone.told if isinstance(told, LinkEnded)]
    assert [(told.device, told.missing) for told in ended] == [(None, ())]
    assert linking.new.next_deadlines(linking.world.now, linking.world.wall) == {}


def test_what_is_lost_is_said_again(linking: Linking) -> None:
    """The host comes minutes later: the hello is said again until it is heard."""
    linking.phone.add_room(linking.new, RoomOutcome())
    linking.world.pass_time(100)
    del linking.world.envelopes[:]
    for node in linking.world.nodes:
        node._read_up_to = 0
    linking.bert.add_room(linking.host, RoomOutcome())
    linking.world.pass_time(30)
    assert len(linking.codes()) == 2


def losing(node: Node, kind: type[LinkBody]) -> list[SealRequest]:
    """The first body of this kind that ``node`` says is lost; it is in the list then."""
    lost: list[SealRequest] = []
    publish = node._publish

    def leaky(room: Room, requests: Iterable[SealRequest]) -> None:
        left = []
        for request in requests:
            if not lost and isinstance(room, LinkEnd) and isinstance(LINK_BODIES.decode(request.body), kind):
                lost.append(request)
            else:
                left.append(request)
        publish(room, left)

    node._publish = leaky  # type: ignore[method-assign]
    return lost


KINDS = [LinkHello, LinkKey, LinkReveal, LinkGrant, LinkConsent, LinkRoom, LinkDone, LinkClosed]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_lost_is_said_again_until_it_is_heard(linking: Linking, kind: type[LinkBody]) -> None:
    lost = [losing(linking.bert, kind), losing(linking.phone, kind)]
    linking.meet()
    linking.world.pass_time(15)
    linking.confirm()
    linking.world.pass_time(15)
    linking.hand_over()
    linking.world.pass_time(20)
    assert sum(map(len, lost)) == 1
    ended = [told for node in (linking.bert, linking.phone) for told in node.told if isinstance(told, LinkEnded)]
    assert [(told.device, told.missing) for told in ended] == [(PHONE.key, ())] * 2
    assert linking.host.is_over
    linking.world.pass_time(DEVICE_LINK_LINGER_SECONDS)
    assert linking.new.is_over


def test_only_holders_of_the_link_hear_what_is_said(linking: Linking) -> None:
    linking.meet()
    other = HostLink(
        dataclasses.replace(LINK, seed=b"t" * 32), BERT.root, NETWORK, linking.bert.tools.sessions, now=0.0
    )
    keys = other.sending_keys(linking.world.wall)
    assert keys is not None
    for envelope in linking.world.envelopes:
        with pytest.raises(CryptoError):
            open_envelope(keys, envelope)


def test_the_link_is_a_line_of_text() -> None:
    text = format_device_link(LINK)
    assert text.startswith("railgun://link/")
    assert parse_device_link(f" {text}\n") == LINK
    for wrong in (text[:-1], text[:-2] + "xx", "railgun://join/" + text[15:], "railgun://link/" + "a" * 9_000):
        with pytest.raises(MalformedInput):
            parse_device_link(wrong)
    assert "seed" not in repr(LINK)


def test_bodies_that_are_none_are_refused() -> None:
    with pytest.raises(MalformedInput):
        LINK_BODIES.decode(b"\xa0")
    body = LinkKey(bytes(32), BERT.root.root_key, bytes(32))
    assert LINK_BODIES.decode(LINK_BODIES.encode(body)) == body
