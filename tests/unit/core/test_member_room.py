"""`MemberRoom` catching up: two views of one room become one again by themselves, through deadlines and envelopes."""

from __future__ import annotations

from railgun.core.generations import Generations
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_notifications import RosterChanged
from railgun.core.room_port import RoomOutcome
from railgun.crypto.epoch import epoch_start
from railgun.crypto.sealing import open_envelope, seal_envelope
from railgun.errors import CryptoError
from railgun.network import NetworkKind, NetworkParameters
from tests.support import rosters as r
from tests.support.members import Member, Wire, room_of

NETWORK = NetworkParameters("test", NetworkKind.LAN)


class Table:
    """Rooms that hear each other at once."""

    def __init__(self, *members: Member) -> None:
        self.now, self.wall = 0.0, members[0].wire.wall
        self.rooms = [
            MemberRoom(tools_of(member), r.copy_of(member.room), generations_of(member)) for member in members
        ]
        self.told: list[object] = []
        self.sent = 0

    def carry_out(self, sender: MemberRoom, outcome: RoomOutcome) -> None:
        self.told += outcome.notifications
        for request in outcome.requests:
            keys = request.keys or sender.sending_keys(self.wall)
            assert keys is not None
            self.sent += 1
            nonce = self.sent.to_bytes(12, "big")
            envelope = seal_envelope(keys, request.kind, request.hint, request.body, request.size_class, nonce)
            for room in self.rooms:
                if room is not sender:
                    self.hand_over(room, envelope)

    def hand_over(self, room: MemberRoom, envelope: bytes) -> None:
        for plan in room.tag_plans(epoch_start(self.wall, room.room_id, NETWORK.epoch_seconds), self.wall):
            try:
                inner = open_envelope(plan.keys, envelope)
            except CryptoError:
                continue
            self.carry_out(room, room.envelope_opened(plan, inner, self.now, self.wall))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = [
                (at, index, name)
                for index, room in enumerate(self.rooms)
                for name, at in room.next_deadlines(self.now, self.wall).items()
                if at <= end
            ]
            if not due:
                break
            at, index, name = min(due)
            self.wall += max(0.0, at - self.now)
            self.now = max(self.now, at)
            self.carry_out(self.rooms[index], self.rooms[index].due(name, self.now, self.wall))
        self.wall += end - self.now
        self.now = end


def tools_of(member: Member) -> RoomTools:
    return RoomTools(member.me, NETWORK, member.sessions, member.entropy, r.PICKLE_KEY, member.record)


def generations_of(member: Member) -> Generations:
    return Generations.load(member.room.room, member.disk.rows("generations"))


def test_rosters_that_differ_become_one_by_themselves() -> None:
    anna, bert, cara = room_of(Wire(), *(r.Device(name) for name in ("anna", "bert", "cara")))
    r.add(anna.room, anna.device, r.Device("dora"))
    r.invite(bert.room, bert.device, b"i" * 32)
    table = Table(anna, bert, cara)
    table.pass_time(9.0)
    assert table.sent == 0
    table.pass_time(50.0)
    assert len({room.roster.digest() for room in table.rooms}) == 1
    assert all(len(room.state(table.wall).members) == 4 for room in table.rooms)
    assert any(isinstance(told, RosterChanged) for told in table.told)


def test_rooms_that_agree_ask_now_and_then_and_answer_nothing() -> None:
    anna, bert = room_of(Wire(), *(r.Device(name) for name in ("anna", "bert")))
    table = Table(anna, bert)
    table.pass_time(60.0)
    assert table.sent == 2
    table.pass_time(3_600.0)
    assert table.sent == 4
