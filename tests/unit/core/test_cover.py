"""Cover's decisions: when a decoy is made, what waits for a tick, how a decoy is published."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee
from railgun.core.counters import ClientCounters
from railgun.core.cover import (
    CoverOptions,
    CoverTraffic,
    DecoyReference,
    FragmentReference,
    Leaving,
    Seats,
)
from railgun.core.effects import Effect
from railgun.core.publisher import Outgoing, Publisher
from railgun.core.room_port import CoverPlan, SealRequest
from railgun.crypto.epoch import EpochKeys, derive_lobby_keys
from railgun.crypto.receipts import sign_receipt
from railgun.crypto.signing import signing_key_of
from railgun.errors import ConfigurationError
from railgun.limits import COVER_QUEUE_MAX, COVER_TRANSFERS_MAX
from railgun.types import EnvelopeId, EnvelopeKind, NodeKey, PeerKey, RoomId, SizeClass, Tag
from railgun.wire.frames import Receipt
from railgun.wire.roster import Cover
from tests.support.ads import seed_of, signed_ad
from tests.support.statistics import exponential, ks_one_sample, ks_two_samples

ROOM = RoomId(b"r" * 32)
SEATS = (NodeKey(b"1" * 32), NodeKey(b"2" * 32))
STRICT = CoverPlan(Cover.STRICT, 3)


class Dice:
    """Implements `railgun.ports.Entropy`, the same at each run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class Driven:
    """Cover for one room, its ticks in virtual time."""

    def __init__(self, plan: CoverPlan, seed: int = 1, options: CoverOptions | None = None) -> None:
        self.agenda, self.counters, self.now = Agenda(), ClientCounters(), 0.0
        self.cover = CoverTraffic(self.agenda, Dice(seed), self.counters, options or CoverOptions())
        self.seats: Sequence[NodeKey] = SEATS
        self.tags: dict[Tag, Sequence[NodeKey]] = {}
        self.over: set[Tag] = set()
        self.again: list[bytes] = []
        self.cover.follow(ROOM, plan, self.now)

    def _attached(self, keys: EpochKeys | None) -> Sequence[NodeKey]:
        return self.seats if keys is None else self.tags.get(keys.tag, ())

    def run(self, seconds: float) -> list[tuple[float, Leaving]]:
        found, end = [], self.now + seconds
        seats = Seats(self._attached, lambda keys: keys.tag in self.over)
        while self.now < end:
            self.now = min(end, self.now + 0.01)
            for name in self.agenda.take_due(self.now):
                assert name == ("room", ROOM, "cover")
                leaving, again = self.cover.due(ROOM, seats, self.now)
                self.again += again
                if leaving is not None:
                    found.append((self.now, leaving))
        return found

    def queue(self, body: bytes, reference: bytes | None, keys: EpochKeys | None = None) -> bool:
        request = SealRequest(EnvelopeKind.GROUP, b"hinthint", body, SizeClass.SMALL, reference, keys)
        return self.cover.holds_back(ROOM, request)


def references(found: list[tuple[float, Leaving]]) -> list[object]:
    return [item.reference for _, item in found if not isinstance(item.reference, DecoyReference)]


# --- steady ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [2, 10, 100])
def test_steady_adds_one_decoy_a_second_to_a_room_of_any_size(devices: int) -> None:
    """Every device there: the most that a room can get."""
    seconds, found = 20_000 // devices, []
    for device in range(devices):
        driven = Driven(CoverPlan(Cover.STEADY, devices), seed=device)
        while driven.now < seconds:  # from tick to tick
            driven.now = driven.cover._rooms[ROOM].next_at
            driven.agenda.take_due(driven.now)
            leaving, _ = driven.cover.due(ROOM, Seats(lambda _: SEATS, lambda _: False), driven.now)
            assert leaving is not None
            assert leaving.request.kind is EnvelopeKind.COVER
            if driven.now < seconds:
                found.append(leaving.request.size_class)
    expected = seconds * 1.0
    assert abs(len(found) - expected) < 4 * expected**0.5
    sizes = Counter(found)
    assert set(sizes) == {SizeClass.SMALL, SizeClass.MEDIUM}
    assert abs(sizes[SizeClass.SMALL] / len(found) - 0.65) < 0.02 + 2 / expected**0.5


def test_steady_lets_everything_leave_at_once_and_is_the_first_to_give_way() -> None:
    driven = Driven(CoverPlan(Cover.STEADY, 1))
    assert not driven.queue(b"hello", b"m" * 16)
    assert len(driven.run(50)) > 20
    driven.cover.link_blocked(PeerKey(SEATS[1]))
    assert driven.run(50) == []
    driven.cover.link_free(PeerKey(SEATS[1]))
    assert len(driven.run(50)) > 20
    driven.seats = ()
    assert driven.run(50) == []
    sent = driven.counters.decoys_sent
    assert driven.cover.status(ROOM).decoys_sent == sent > 40


def test_off_and_left_rooms_have_no_ticks() -> None:
    driven = Driven(CoverPlan(Cover.OFF, 3))
    assert len(driven.agenda) == 0
    driven.cover.follow(ROOM, STRICT, 0.0)
    assert len(driven.agenda) == 1
    driven.cover.follow(ROOM, CoverPlan(Cover.OFF, 3), 0.0)
    assert len(driven.agenda) == 0
    driven.cover.follow(ROOM, STRICT, 0.0)
    driven.queue(b"x", None)
    assert driven.cover.follow(ROOM, None, 0.0) == []
    assert len(driven.agenda) == 0
    assert driven.cover.status(ROOM).waiting == 0
    driven.cover.drop(ROOM)


def test_more_devices_make_each_tick_more_seldom_without_a_trace_of_the_change() -> None:
    driven = Driven(CoverPlan(Cover.STEADY, 1))
    one = len(driven.run(400))
    driven.cover.follow(ROOM, CoverPlan(Cover.STEADY, 4), driven.now)
    four = len(driven.run(400))
    assert abs(one - 400) < 80
    assert abs(four - 100) < 40


# --- strict ---------------------------------------------------------------------------------------


def test_strict_ticks_are_a_poisson_process_that_the_seed_alone_decides() -> None:
    times = [at for at, _ in Driven(STRICT, seed=1).run(1_000)]
    assert [at for at, _ in Driven(STRICT, seed=1).run(1_000)] == times
    assert [at for at, _ in Driven(STRICT, seed=2).run(1_000)] != times
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert ks_one_sample(gaps, exponential(2.0)) > 0.01
    assert ks_one_sample(gaps, exponential(2.3)) < 0.01


def test_strict_sends_what_waits_in_order_one_a_tick_at_one_size() -> None:
    driven = Driven(STRICT)
    names = [bytes([number]) * 16 for number in range(5)]
    assert all(driven.queue(b"hello", name) for name in names)
    assert driven.cover.status(ROOM).waiting == 5
    found = driven.run(20)
    assert references(found) == names
    assert [isinstance(item.reference, DecoyReference) for _, item in found] == [False] * 5 + [True] * (len(found) - 5)
    assert {item.request.size_class for _, item in found} == {SizeClass.MEDIUM}
    assert driven.cover.status(ROOM).waiting == 0


def test_a_waiting_message_changes_no_tick() -> None:
    idle, busy = Driven(STRICT, seed=3), Driven(STRICT, seed=3)
    for number in range(300):
        busy.queue(bytes(10_000), number.to_bytes(16, "big"))
    assert [at for at, _ in idle.run(100)] == [at for at, _ in busy.run(100)]


def test_a_long_body_leaves_in_pieces_and_is_receipted_as_a_whole() -> None:
    driven = Driven(STRICT)
    driven.queue(random.Random(1).randbytes(10_000), b"w" * 16)
    pieces = references(driven.run(20))
    assert pieces == [FragmentReference(b"w" * 16, index) for index in range(3)]

    def tell(index: int, receipts: int, *, complete: bool = False) -> tuple[int, bool, bool] | None:
        majority = receipts == 3
        found = driven.cover.progress(
            ROOM, FragmentReference(b"w" * 16, index), receipts, 5, majority=majority, complete=complete
        )
        if found is None:
            return None
        assert (found.whole, found.of) == (b"w" * 16, 5)
        return found.receipts, found.majority, found.complete

    assert [tell(0, 1), tell(1, 1)] == [None, None]
    assert tell(2, 1) == (1, False, False)
    assert [tell(0, 3), tell(1, 3)] == [None, None]
    assert tell(2, 2) == (2, False, False)
    assert tell(2, 3) == (3, True, False)
    assert [tell(0, 5, complete=True), tell(1, 5, complete=True)] == [None, None]
    assert tell(2, 5, complete=True) == (5, False, True)
    assert tell(2, 5, complete=True) is None


def test_sealed_again_only_what_lacks_a_majority_leaves_again() -> None:
    driven = Driven(STRICT)
    body = random.Random(1).randbytes(10_000)
    driven.queue(body, b"w" * 16)
    assert len(references(driven.run(20))) == 3
    driven.cover.progress(ROOM, FragmentReference(b"w" * 16, 1), 3, 5, majority=True, complete=False)
    driven.queue(body, b"w" * 16)
    driven.queue(body, b"w" * 16)  # asked for by each of its pieces
    assert driven.cover.status(ROOM).waiting == 1
    again = references(driven.run(20))
    assert again == [FragmentReference(b"w" * 16, index) for index in (0, 2)]


def test_without_seats_a_strict_tick_passes_and_what_waits_goes_on_waiting() -> None:
    driven = Driven(STRICT)
    driven.seats = ()
    driven.queue(b"hello", b"m" * 16)
    assert driven.run(20) == []
    driven.seats = SEATS
    driven.cover.link_blocked(PeerKey(SEATS[0]))  # one seat that does not read cannot hold up the room
    assert references(driven.run(20)) == [b"m" * 16]
    driven.cover.link_blocked(PeerKey(SEATS[1]))
    driven.queue(b"hello", b"n" * 16)
    assert driven.run(20) == []
    assert driven.cover.status(ROOM).waiting == 1


def test_what_was_meant_for_an_epoch_that_is_over_is_sealed_again_or_dropped() -> None:
    driven = Driven(STRICT)
    keys, others = derive_lobby_keys(b"s" * 32, 600), derive_lobby_keys(b"t" * 32, 600)
    driven.queue(bytes(9_000), b"a" * 16, keys)
    driven.queue(b"unasked", None, keys)
    driven.queue(b"elsewhere", b"b" * 16, others)
    assert references(driven.run(5)) == []  # neither tag is attached
    driven.tags[others.tag] = SEATS
    assert references(driven.run(5)) == [b"b" * 16]
    driven.tags[keys.tag] = SEATS
    while not driven.cover._rooms[ROOM].pieces:
        driven.run(0.01)
    driven.over.add(keys.tag)
    driven.run(5)
    assert driven.again == [b"a" * 16]
    assert driven.cover.status(ROOM).waiting == 0


def test_a_room_that_is_no_longer_strict_sends_what_waited() -> None:
    driven = Driven(STRICT)
    driven.queue(bytes(9_000), b"a" * 16)
    driven.queue(b"hello", b"b" * 16)
    while not driven.cover._rooms[ROOM].pieces:
        driven.run(0.01)
    left = [item.reference for item in driven.cover.follow(ROOM, CoverPlan(Cover.STEADY, 3), driven.now)]
    assert left == [FragmentReference(b"a" * 16, 1), FragmentReference(b"a" * 16, 2), b"b" * 16]
    assert not driven.queue(b"hello", b"c" * 16)


def test_what_waits_is_bounded_and_messages_never_give_way() -> None:
    driven = Driven(STRICT)
    driven.seats = ()
    driven.queue(b"message", b"m" * 16)
    driven.queue(b"typing", None)
    for number in range(COVER_QUEUE_MAX + 500):
        sealed = SealRequest(EnvelopeKind.SEALED, bytes(8), b"answer", SizeClass.SMALL, number.to_bytes(16, "big"))
        assert driven.cover.holds_back(ROOM, sealed)
    assert driven.cover.status(ROOM).waiting == COVER_QUEUE_MAX
    driven.seats = SEATS
    assert [item.request.body for _, item in driven.run(5)][:2] == [b"message", b"typing"]
    whole = Driven(STRICT, options=CoverOptions(strict_ticks_per_second=100))
    for number in range(COVER_TRANSFERS_MAX + 100):
        whole.queue(bytes(4_000), number.to_bytes(16, "big"))
        whole.run(0.03)
    assert len(whole.cover._rooms[ROOM].transfers) <= COVER_TRANSFERS_MAX


def test_after_a_sleep_ticks_start_anew() -> None:
    driven = Driven(STRICT)
    driven.run(10)
    driven.now += 3_600
    assert len(driven.run(10)) < 60


# --- decoys are published as messages are ---------------------------------------------------------


@pytest.mark.parametrize("receipts", [0, 1, 3, 4, 5])
def test_the_publisher_does_the_same_for_a_decoy_as_for_a_message(receipts: int) -> None:
    """The same frames at the same times, to the same seats, and sealed again alike."""
    for size in (SizeClass.SMALL, SizeClass.MEDIUM):
        message, decoy = (_history(reference, size, receipts) for reference in (b"m" * 16, DecoyReference(size)))
        assert message == decoy
        assert len(message[0]) >= 2  # one frame to each entry at the least
        assert message[1] == (0 if receipts >= 3 else 1)


def _history(reference: object, size: SizeClass, receipts: int) -> tuple[list[tuple[float, object, object]], int]:
    """What leaves within a minute (when, what, which seats are to be visited), and how much is left without a majority
    when ``receipts`` of 5 seats come after half a second."""
    committee = Committee(Tag(b"t" * 32), 5, tuple(signed_ad(index, 0).ad for index in range(5)), (), ())
    envelope, name = bytes([1, size]) + bytes(size.envelope_bytes - 2), EnvelopeId(b"e" * 16)
    agenda, now = Agenda(), 0.0
    found: list[tuple[float, object, object]] = []
    entries = list(committee.seat_keys[:2])
    publisher = Publisher(committee.tag, agenda, ClientCounters())
    out: list[Effect] = []
    visits: list[NodeKey] = []
    publisher.publish(Outgoing(name, envelope, reference, now), entries, committee, now, out)
    while now < 60:
        found += [(now, effect, tuple(visits)) for effect in out]
        out, now = [], now + 0.25
        for index in range(receipts if now == 0.5 else 0):
            seat = committee.seat_keys[index]
            signature = sign_receipt(signing_key_of(seed_of(index)), committee.tag, (name,), seat)
            publisher.receipt_received(Receipt(committee.tag, (name,), seat, signature), committee, lambda _: False)
        if agenda.take_due(now):
            visits = publisher.due(entries, committee, lambda _: False, now, out)
            for seat in visits:
                publisher.publish_directly(seat, committee, now, out)
    return found, len(publisher.take_unsettled())


def test_a_decoy_without_a_majority_is_sealed_again_as_a_message_would_be() -> None:
    steady, strict = Driven(CoverPlan(Cover.STEADY, 1)), Driven(STRICT)
    again = steady.cover.decoy_again(ROOM, DecoyReference(SizeClass.MEDIUM))
    assert again is not None
    assert (again.request.kind, again.request.size_class) == (EnvelopeKind.COVER, SizeClass.MEDIUM)
    # What is sealed again in a strict room waits for a tick, and a tick needs no decoy to wait for it.
    assert strict.cover.decoy_again(ROOM, DecoyReference(SizeClass.MEDIUM)) is None


# --- options --------------------------------------------------------------------------------------


def test_people_are_told_how_long_strict_rooms_wait() -> None:
    assert CoverOptions().strict_wait_p95_seconds == 1.5
    assert CoverOptions(strict_ticks_per_second=0.5).strict_wait_p95_seconds == 6.0
    waits = [at for seed in range(400) for at, _ in Driven(STRICT, seed=seed).run(4)[:1]]
    assert 0.02 < sum(wait > 1.5 for wait in waits) / 400 < 0.09
    for rate in (0.0, -1.0, 101.0, float("nan")):
        with pytest.raises(ConfigurationError):
            CoverOptions(strict_ticks_per_second=rate)


def test_the_statistics_can_tell() -> None:
    dice = random.Random(1)
    one, two = ([dice.expovariate(2.0) for _ in range(5_000)] for _ in range(2))
    other = [dice.expovariate(2.15) for _ in range(5_000)]
    assert ks_two_samples(one, two) > 0.01
    assert ks_two_samples(one, other) < 0.01
