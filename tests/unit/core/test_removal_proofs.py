"""A device that was put out while it was away asks, and is shown that it is out: that, and nothing later."""

from __future__ import annotations

import pytest

from railgun.core import removal_proofs
from railgun.core.answers import Answerer, _chunks
from railgun.core.joining import JoiningRoom
from railgun.core.own_devices import revoke_devices
from railgun.core.removal_proofs import RemovalProofs, is_proof, removal_proof
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import RemovedFromRoom
from railgun.core.roster import Roster
from railgun.core.roster_entries import open_entry, sign_entry
from railgun.errors import NotMember
from railgun.limits import LOBBY_POSTS_SHOWN_OUT, REMOVAL_PROOF_TRIALS_MAX
from railgun.types import DeviceKey, RoomId
from railgun.wire.content import TextContent
from railgun.wire.envelope import Inner, parse_envelope
from railgun.wire.roster import RemoveEntry, RevokeEntry
from railgun.wire.sealed import SIGNED_ANSWERS, AnswerChunk, RemovalNotice
from tests.property.test_room_histories import History
from tests.support import rosters as r
from tests.support.room_scenes import Deaf, make_admin, remove, room_of, sealed_since
from tests.support.virtual_rooms import CALM, Node, World

ANNA, BERT, CARA, DORA, EMIL = (r.Device(name) for name in ("anna", "bert", "cara", "dora", "emil"))


def machine(node: Node, room: RoomId) -> MemberRoom:
    found = node.member(room)
    assert found is not None
    return found


def removed_while_away() -> tuple[World, RoomId, list[Node]]:
    """Dora is out, and has not heard of it; then emil comes in, and the others go on."""
    world = World()
    room, nodes = room_of(world, ANNA, BERT, CARA, DORA)
    anna, dora = nodes[0], nodes[3]
    world.weather = Deaf("dora")
    remove(world, room, anna, dora)
    world.pass_time(30)
    emil = Node(world, EMIL)
    emil.join(anna.invite(room))
    world.pass_time(60)
    assert machine(emil, room).state(world.wall).member(EMIL.key) is not None
    return world, room, [*nodes, emil]


def test_a_device_that_was_removed_while_it_was_away_learns_it_when_it_comes_back() -> None:
    world, room, (anna, bert, cara, dora, emil) = removed_while_away()
    assert machine(dora, room).state(world.wall).member(DORA.key) is not None
    dora.world.weather = CALM
    dora.crash()
    world.pass_time(90)  # it may have asked while it heard no answer, and is answered once a minute
    assert [type(told) for told in dora.told].count(RemovedFromRoom) == 1
    there = machine(dora, room)
    assert DORA.key in there.state(world.wall).removed
    assert there.tag_plans(there.epoch_start(world.wall), world.wall) == []
    with pytest.raises(NotMember):
        there.send(TextContent("am I still here?"), 1, world.wall)
    # The same after another start.
    dora.crash()
    assert DORA.key in machine(dora, room).state(world.wall).removed
    assert len({machine(node, room).roster.digest() for node in (anna, bert, cara, emil)}) == 1


def test_it_is_shown_nothing_later_than_its_removal() -> None:
    world, room, (anna, _, _, dora, _) = removed_while_away()
    before = set(machine(dora, room).roster.export())
    world.weather = CALM
    dora.crash()
    world.pass_time(90)  # it may have asked while it heard no answer, and is answered once a minute
    told = [open_entry(data) for data in machine(dora, room).roster.export() if data not in before]
    assert told
    last = max(told, key=lambda stored: (stored.author == ANNA.key, stored.number))
    assert isinstance(last.entry, RemoveEntry)
    assert {stored.author for stored in told} == {ANNA.key}
    after = machine(dora, room)
    assert after.state(world.wall).member(EMIL.key) is None
    assert len(after.state(world.wall).generations) == len(machine(anna, room).state(world.wall).generations)
    newest = after.state(world.wall).generations[-1]
    assert not after.generations.holds(newest)


def test_one_member_answers_it_and_once_a_minute() -> None:
    world, room, (anna, _, _, dora, _) = removed_while_away()
    place = len(world.envelopes)
    world.weather = Deaf("dora")  # it is there, asks, and hears no answer
    there = machine(dora, room)
    for _ in range(10):
        dora.apply(there, there.due("roster-ask", world.now, world.wall))
        world.pass_time(5)
    world.pass_time(30)
    answers = [body for body in sealed_since(world, anna, room, place) if isinstance(body, AnswerChunk)]
    assert {answer.recipient for answer in answers} == {DORA.key}
    assert 1 <= len(answers) <= 2


def test_a_revoked_device_learns_it_too() -> None:
    history = History()
    world, room = history.world, history.room
    for step in (("join", 0, 0), ("seconds", 0, 9), ("add device", 1, 0), ("seconds", 0, 9)):
        history.step(*step)
    second = next(node for name, node in history.nodes.items() if name.startswith("second"))
    first = next(node for node in history.nodes.values() if node.device.root.root_key == second.device.root.root_key)
    assert first is not second
    world.weather = Deaf(second.device.name)
    first.apply(machine(first, room), revoke_devices(machine(first, room), [second.device.key], world.wall))
    world.pass_time(30)
    world.weather = CALM
    second.crash()
    world.pass_time(90)  # it may have asked while it heard no answer, and is answered once a minute
    assert second.device.key in machine(second, room).state(world.wall).revoked
    assert RemovedFromRoom(room) in second.told


@pytest.mark.parametrize("leaves", [False, True])
def test_who_is_out_and_asks_to_be_let_in_is_told_that_it_stays_out(leaves: bool) -> None:
    """It has forgotten the room, or left it: with a new link it asked for ever."""
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    if leaves:
        dora.apply(machine(dora, room), machine(dora, room).leave(world.wall))
    else:
        remove(world, room, anna, dora)
    world.pass_time(20)
    dora.forget(room)
    dora.told.clear()
    place = len(world.envelopes)
    link = anna.invite(room)
    dora.join(link)
    joining, there = dora.rooms[room], machine(anna, room)
    start = there.epoch_start(world.wall)
    epochs = (start, start + there.tools.network.epoch_seconds)
    lobby = {plan.keys.tag for at in epochs for plan in joining.tag_plans(at, world.wall)}
    world.pass_time(30)
    assert dora.told == []  # it asks on for a while: the proof may be a removed admin's
    world.pass_time(60)
    assert dora.told == [RemovedFromRoom(room)]
    assert joining.next_deadlines(world.now, world.wall) == {}
    assert joining.tag_plans(there.epoch_start(world.wall), world.wall) == []
    assert dora.device.key not in machine(bert, room).state(world.wall).devices
    said = [data for data in world.envelopes[place:] if parse_envelope(data).tag in lobby]
    assert 2 + LOBBY_POSTS_SHOWN_OUT <= len(said) <= 2 + LOBBY_POSTS_SHOWN_OUT + 1  # its posts, and an answer a minute
    assert len({machine(node, room).roster.digest() for node in (anna, bert, cara)}) == 1


def test_a_stranger_is_not_kept_out_by_a_proof_about_somebody_else() -> None:
    world, room, (anna, *_) = removed_while_away()
    proof = removal_proof(machine(anna, room).roster, DORA.key)
    frida = Node(world, r.Device("frida"))
    frida.join(anna.invite(room))
    joining = frida.rooms[room]
    start = machine(anna, room).epoch_start(world.wall)
    plan = joining.tag_plans(start, world.wall)[0]
    answerer = Answerer(anna.tools.me, anna.tools.sessions, anna.tools.entropy)
    prekey = frida.device.record.prekey
    data = SIGNED_ANSWERS.encode(RemovalNotice(proof))
    (request,) = _chunks(answerer, data, frida.device.key, prekey, room, plan.keys)
    inner = Inner(request.kind, request.hint, request.body)
    assert not joining.envelope_opened(plan, inner, world.now, world.wall).notifications
    world.pass_time(30)
    assert frida.device.key in machine(anna, room).state(world.wall).devices


def test_an_admin_who_was_removed_cannot_bar_a_joiner() -> None:
    """Of its own chain, without its removal and with an entry from after that, it makes a proof about anybody."""
    world = World()
    room, (anna, bert, _) = room_of(world, ANNA, BERT, CARA)
    make_admin(world, room, anna, BERT)
    world.pass_time(10)
    alone = r.copy_of(machine(bert, room).roster)
    frida = Node(world, r.Device("frida"))
    r.remove(alone, BERT, r.Device("frida"), base=alone.state(r.DAY).generations[-1].commitment)
    assert is_proof(room, alone.export(), frida.device.key)
    remove(world, room, anna, bert)
    world.pass_time(10)
    frida.join(anna.invite(room))
    joining = frida.rooms[room]
    assert isinstance(joining, JoiningRoom)
    plan = joining.tag_plans(machine(anna, room).epoch_start(world.wall), world.wall)[0]
    answerer = Answerer(bert.device.own, anna.tools.sessions, anna.tools.entropy)
    data = SIGNED_ANSWERS.encode(RemovalNotice(alone.export()))
    (request,) = _chunks(answerer, data, frida.device.key, frida.device.record.prekey, room, plan.keys)
    inner = Inner(request.kind, request.hint, request.body)
    frida.apply(joining, joining.envelope_opened(plan, inner, world.now, world.wall))
    assert joining._posts_left == LOBBY_POSTS_SHOWN_OUT
    world.pass_time(30)
    assert frida.device.key in machine(anna, room).state(world.wall).devices
    assert frida.member(room) is not None
    assert RemovedFromRoom(room) not in frida.told


def test_a_proof_of_another_or_of_nothing_is_none() -> None:
    _, room, (anna, _, _, dora, _) = removed_while_away()
    roster = machine(anna, room).roster
    proof = removal_proof(roster, DORA.key)
    assert is_proof(room, proof, DORA.key)
    assert not is_proof(room, proof, BERT.key)
    assert not is_proof(room, proof[:-1], DORA.key)
    assert not is_proof(room, proof[1:], DORA.key)
    assert removal_proof(roster, BERT.key) == ()
    assert removal_proof(machine(dora, room).roster, DORA.key) == ()
    assert isinstance(open_entry(proof[-1]).entry, RemoveEntry)


def false_revocations(roster: Roster, author: r.Device, target: r.Device, count: int) -> None:
    """Entries that are taken, never stand, and are dated back to before all others."""
    for _ in range(count):
        number, previous = roster.next_place(author.key)
        removals = (roster.removal_of(target.key),)
        entry = RevokeEntry(roster.room, author.key, number, previous, 1, removals)
        assert roster.insert(sign_entry(author.seed, entry).data).added


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[DeviceKey]:
    """The devices for which a whole roster is built anew, as often as that is done."""
    done: list[DeviceKey] = []

    def counted(room: RoomId, entries: tuple[bytes, ...], device: DeviceKey) -> bool:
        done.append(device)
        return is_proof(room, entries, device)

    monkeypatch.setattr(removal_proofs, "is_proof", counted)
    return done


def test_who_says_in_vain_that_it_is_out_makes_no_work_for_the_others(trials: list[DeviceKey]) -> None:
    """Before its removal it files revocations of itself; each would cost a roster that is built for each answer."""
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    false_revocations(roster, BERT, BERT, 30)
    r.remove(roster, ANNA, BERT)
    assert is_proof(roster.room, removal_proof(roster, BERT.key), BERT.key)
    assert len(trials) == 1


def test_a_proof_is_made_once_for_each_state_of_the_roster(trials: list[DeviceKey]) -> None:
    roster = r.new_roster(ANNA)
    for device in (BERT, CARA):
        r.add(roster, ANNA, device)
    r.remove(roster, ANNA, BERT)
    proofs = RemovalProofs()
    first = proofs.of(roster, BERT.key)
    assert proofs.of(roster, BERT.key) is first
    assert proofs.of(roster, CARA.key) == ()
    assert trials == [BERT.key]
    r.remove(roster, ANNA, CARA, generation=3)
    assert proofs.of(roster, BERT.key) == first
    assert proofs.of(roster, CARA.key) == removal_proof(roster, CARA.key) != ()


def test_others_cannot_hide_what_put_a_device_out(trials: list[DeviceKey]) -> None:
    """Neither an admin's removal nor a person's own revocation is lost among entries of members that never stand."""
    roster = r.new_roster(ANNA)
    members = [r.Device(f"member {number}") for number in range(REMOVAL_PROOF_TRIALS_MAX + 2)]
    second = r.Device("bert's second", person="bert")
    for device in (BERT, CARA, *members):
        r.add(roster, ANNA, device)
    r.add_own(roster, BERT, second)
    for device in members:
        false_revocations(roster, device, CARA, 1)
        false_revocations(roster, device, second, 1)
    r.revoke(roster, BERT, second)
    r.remove(roster, ANNA, CARA)
    assert second.key in roster.state(r.DAY).revoked
    for out in (CARA, second):
        assert is_proof(roster.room, removal_proof(roster, out.key), out.key)
    assert len(trials) == 2
