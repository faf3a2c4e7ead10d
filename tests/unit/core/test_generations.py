"""A room's secrets: the day chain, the sender's choice, turns, deliveries, what is erased."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.core.generations import Generations, OwnDevice, excludes, first_generation, live_generations
from railgun.core.roster import Roster, create_roster
from railgun.core.roster_state import GenerationState, RosterState
from railgun.crypto.epoch import derive_epoch_keys, first_day_secret, next_day_secret
from railgun.errors import CryptoError, PeerError
from railgun.limits import GENERATIONS_LIVE_MAX, GENERATIONS_UNNAMED_MAX
from railgun.types import DeviceKey
from railgun.wire.roster import CreateEntry, RoomSettings
from railgun.wire.sealed import SEALED_BODIES, DaySecret, GenerationDelivery
from tests.support import rosters as r
from tests.support.members import CountingEntropy

ANNA, BERT, CARA = (r.Device(name) for name in ("anna", "bert", "cara"))
ME = {d.name: OwnDevice(d.key, d.seed, (d.prekey_secret,)) for d in (ANNA, BERT, CARA)}
START = r.DAY * 86_400
ENTROPY = CountingEntropy("generations")


def new_room() -> tuple[Roster, Generations, bytes]:
    made = first_generation(ENTROPY, START)
    entry = CreateEntry(ANNA.key, r.NOON, ANNA.certificate, "room", bytes(16), RoomSettings(), made.named)
    roster, _ = create_roster(ANNA.seed, entry)
    generations = Generations(roster.room)
    generations.adopt(made)
    return roster, generations, made.secret


def named(
    generation: int, name: bytes, excluded: tuple[DeviceKey, ...] = (), first_day: int = r.DAY
) -> GenerationState:
    return GenerationState(generation, name * 32, first_day, ANNA.key, tuple(sorted(excluded)))


def holding(roster: Roster, *generations: GenerationState) -> Generations:
    held = Generations(roster.room)
    for generation in generations:
        held._hold(DaySecret(generation.generation, generation.commitment, generation.first_day, r.DAY, b"s" * 32))
    return held


def with_generations(
    state: RosterState,
    *generations: GenerationState,
    removed: tuple[DeviceKey, ...] = (),
    left: tuple[DeviceKey, ...] = (),
) -> RosterState:
    return dataclasses.replace(state, generations=generations, removed=removed, left=left)


def test_the_day_chain_gives_every_later_day_and_no_earlier_one() -> None:
    roster, generations, secret = new_room()
    generation = roster.state(r.DAY).generations[0]
    day = first_day_secret(secret, 1, r.DAY)
    for ahead in range(7):
        keys = generations.keys(generation, START + ahead * 86_400 + 600)
        assert keys == derive_epoch_keys(day, 1, START + ahead * 86_400 + 600)
        day = next_day_secret(day, 1, r.DAY + ahead + 1)
    assert generations.keys(generation, START - 600) is None
    assert generations.keys(generation, START + 7 * 86_400) is None


def test_days_that_are_caught_up_on_are_erased_also_on_disk() -> None:
    roster, generations, secret = new_room()
    state = roster.state(r.DAY)
    first = first_day_secret(secret, 1, r.DAY)
    assert secret not in [held.secret for held in generations._held.values()]
    writes = generations.forget(state, START + 2 * 86_400)
    assert generations.keys(state.generations[0], START + 86_400) is None
    assert generations.keys(state.generations[0], START + 2 * 86_400) is not None
    assert writes[-1].value is not None
    assert first not in writes[-1].value
    rebuilt = Generations.load(roster.room, [(write.key, write.value) for write in writes if write.value])
    assert rebuilt._held == generations._held
    assert generations.forget(state, START + 2 * 86_400) == ()
    assert [write.value for write in generations.forget(state, START + 7 * 86_400)] == [None]
    assert generations.listening(state, START + 6 * 86_400) == []


def test_senders_use_the_greatest_generation_then_the_smallest_commitment() -> None:
    roster, _, _ = new_room()
    one, two_a, two_b = named(1, b"z"), named(2, b"a"), named(2, b"b")
    state = with_generations(roster.state(r.DAY), one, two_a, two_b)
    assert live_generations(state, r.DAY) == [two_a, two_b, one]
    assert holding(roster, one, two_a, two_b).sending_generation(state, START) == two_a
    assert holding(roster, one, two_b).sending_generation(state, START) == two_b
    assert len(holding(roster, one, two_a, two_b).listening(state, START)) == 3


def test_senders_use_none_that_includes_someone_removed_and_then_wait() -> None:
    roster, _, _ = new_room()
    one, two = named(1, b"z"), named(2, b"a", (BERT.key,))
    state = with_generations(roster.state(r.DAY), one, two, removed=(BERT.key,))
    assert holding(roster, one, two).sending_generation(state, START) == two
    both = dataclasses.replace(state, removed=(BERT.key, CARA.key))
    assert holding(roster, one, two).sending_generation(both, START) is None
    assert holding(roster, one, two).sending(both, START) is None
    assert excludes(two, (BERT.key,))


def test_who_left_is_excluded_where_possible_and_holds_up_nobody() -> None:
    roster, _, _ = new_room()
    one, two = named(1, b"z", (BERT.key,)), named(2, b"a")
    state = with_generations(roster.state(r.DAY), one, two, left=(BERT.key,))
    assert holding(roster, one, two).sending_generation(state, START) == one
    assert holding(roster, two).sending_generation(state, START) == two


def test_a_generation_lasts_seven_days() -> None:
    roster, generations, _ = new_room()
    state = roster.state(r.DAY)
    assert generations.sending(state, START + 6 * 86_400) is not None
    assert generations.sending(state, START + 7 * 86_400) is None


def test_admins_take_turns_to_make_what_is_needed() -> None:
    roster, generations, _ = new_room()
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, ANNA, CARA)
    state = roster.state(r.DAY)
    assert generations.turn_seconds(state, ANNA.key, START) is None
    last_day = START + 6 * 86_400
    turns = {name: generations.turn_seconds(state, ME[name].device, last_day) for name in ME}
    first, second = sorted((ANNA, BERT), key=lambda device: device.key)
    assert turns == {first.name: 0.0, second.name: 5.0, "cara": None}
    r.leave(roster, CARA)
    assert generations.turn_seconds(roster.state(r.DAY), first.key, START) == 0.0


def test_a_new_generation_lists_who_is_out_and_its_base_does_not_exclude() -> None:
    roster, generations, _ = new_room()
    for device in (BERT, CARA):
        r.add(roster, ANNA, device)
    base = roster.state(r.DAY).generations[0].commitment
    r.remove(roster, ANNA, BERT, base=base)
    r.leave(roster, CARA)
    made = generations.make(ENTROPY, roster.state(r.DAY), START)
    assert made.named.generation == 3
    assert made.named.excluded == (CARA.key,)
    assert repr(made.secret) not in repr(made)


def delivery() -> tuple[Roster, GenerationDelivery]:
    roster, generations, _ = new_room()
    r.add(roster, ANNA, BERT)
    made = generations.make(ENTROPY, roster.state(r.DAY), START)
    prekey = roster.prekey(BERT.key)
    assert prekey is not None
    request = generations.deliver(made, ME["anna"], [(BERT.key, prekey)], r.SESSIONS, None)[0]
    body = SEALED_BODIES.decode(request.body)
    assert isinstance(body, GenerationDelivery)
    return roster, body


def test_a_delivery_is_for_its_recipient_and_from_an_admin_only() -> None:
    roster, body = delivery()
    state = roster.state(r.DAY)
    bert, cara = Generations(roster.room), Generations(roster.room)
    assert bert.take_delivery(body, ME["bert"], state, r.SESSIONS)
    assert bert.take_delivery(body, ME["bert"], state, r.SESSIONS) == ()
    assert cara.take_delivery(body, ME["cara"], state, r.SESSIONS) == ()
    fresh = Generations(roster.room)
    forged = [
        dataclasses.replace(body, author=BERT.key),
        dataclasses.replace(body, first_day=r.DAY + 1),
        dataclasses.replace(body, generation=9),
        dataclasses.replace(body, commitment=bytes(32)),
    ]
    for bad in forged:
        with pytest.raises(PeerError, match="bad_signature"):
            fresh.take_delivery(bad, ME["bert"], state, r.SESSIONS)
    wrong = dataclasses.replace(ME["bert"], prekey_secrets=(b"w" * 32,))
    with pytest.raises(CryptoError):
        fresh.take_delivery(body, wrong, state, r.SESSIONS)


def test_secrets_without_an_entry_that_names_them_are_bounded() -> None:
    roster, generations, _ = new_room()
    state = roster.state(r.DAY)
    for index in range(GENERATIONS_UNNAMED_MAX + 5):
        generations._take(DaySecret(2, bytes([index]) * 32, r.DAY, r.DAY, bytes(32)))
    generations.forget(state, START)
    assert len(generations._held) == GENERATIONS_UNNAMED_MAX + 1
    assert generations.holds(state.generations[0])
    while len(generations._held) < 4 * GENERATIONS_LIVE_MAX:
        generations._take(DaySecret(3, bytes([len(generations._held)]) * 32, r.DAY, r.DAY, bytes(32)))
    with pytest.raises(PeerError, match="quota"):
        generations._take(DaySecret(3, b"one too many".ljust(32), r.DAY, r.DAY, bytes(32)))


def test_a_day_secret_is_taken_only_from_who_can_have_it() -> None:
    roster, _, _ = new_room()
    two = named(2, b"a", (BERT.key,))
    state = with_generations(roster.state(r.DAY), named(1, b"z"), two)
    mine = Generations(roster.room)
    secret = DaySecret(2, two.commitment, r.DAY, r.DAY, bytes(32))
    assert mine.take_secrets([secret], state, BERT.key) == ()
    assert mine.take_secrets([dataclasses.replace(secret, commitment=bytes(32))], state, ANNA.key) == ()
    with pytest.raises(PeerError, match="outside its generation"):
        mine.take_secrets([dataclasses.replace(secret, day=r.DAY + 7)], state, ANNA.key)
    assert mine.take_secrets([secret], state, ANNA.key)
    assert repr(secret.secret) not in repr(secret)
    assert "redacted" in repr(mine)
