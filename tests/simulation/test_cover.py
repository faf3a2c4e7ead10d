"""What a line, and a seat, can tell of a member under cover. Virtual time, real machines, fixed seeds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from railgun.core.client import ClientMachine
from railgun.core.cover import CoverOptions, CoverTraffic
from railgun.core.joining import JoiningRoom
from railgun.core.room import MemberRoom
from railgun.core.room_port import SealRequest
from railgun.core.seen_envelopes import TABLE as SEEN_ENVELOPES
from railgun.crypto.epoch import EpochKeys, day_of
from railgun.crypto.network_ids import network_id
from railgun.crypto.sealing import check_envelope, open_envelope
from railgun.sim.machines import rotation_machines
from railgun.sim.network_model import NetworkModel
from railgun.sim.rotation import Rotation, RotationOptions
from railgun.types import EnvelopeKind, SizeClass
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.frames import Publish
from railgun.wire.invites import Invite
from railgun.wire.roster import Cover
from tests.support.cover_lab import NETWORK, STEADY, STRICT, CoverLab, Sent, gaps
from tests.support.statistics import chi_square_per_degree, exponential, ks_one_sample, ks_two_samples

TICKS = 10_000
SECONDS = 5_200.0
"""Enough for 10,000 ticks at 2 a second."""
DOUBT = 0.01
"""Below this p-value two samples count as different."""
WINDOW_SECONDS = 10.0


def run(seed: int, seconds: float, *, busy: bool) -> tuple[CoverLab, list[float]]:
    lab = CoverLab(STRICT, seed=seed)
    end = lab.world.now + seconds
    said = lab.talk(end, 0.5, 25) if busy else []
    lab.world.run(end)
    return lab, said


def windows(sent: list[Sent]) -> list[float]:
    """How many envelopes left in each ten seconds."""
    first = sent[0].at
    counts = Counter(int((item.at - first) / WINDOW_SECONDS) for item in sent)
    return [float(counts[window]) for window in range(int((sent[-1].at - first) / WINDOW_SECONDS))]


def tell_apart(one: list[Sent], two: list[Sent]) -> float:
    """The least p-value of everything that a line shows: gaps, counts, sizes."""
    times = ks_two_samples(gaps([item.at for item in one]), gaps([item.at for item in two]))
    counts = ks_two_samples(windows(one), windows(two))
    sizes = ks_two_samples([item.bytes for item in one], [item.bytes for item in two])
    return min(times, counts, sizes)


@pytest.fixture(scope="module")
def idle() -> list[Sent]:
    lab, _ = run(1, SECONDS, busy=False)
    assert lab.machine().cover.status(lab.room.room_id).decoys_sent >= TICKS
    return lab.emissions()


@pytest.fixture(scope="module")
def busy() -> tuple[list[Sent], list[float]]:
    lab, said = run(2, SECONDS, busy=True)
    sent = lab.emissions()
    # Keys, texts, and long ones in pieces make up a good part of it, over several epochs.
    assert len(sent) - lab.machine().cover.status(lab.room.room_id).decoys_sent > 0.4 * TICKS
    return sent, said


def test_strict_a_busy_member_looks_like_an_idle_one(idle: list[Sent], busy: tuple[list[Sent], list[float]]) -> None:
    sent, _ = busy
    assert min(len(idle), len(sent)) >= TICKS
    assert {item.bytes for item in (*idle, *sent)} == {4_096}
    assert tell_apart(idle, sent) > DOUBT
    for sample in (idle, sent):
        assert ks_one_sample(gaps([item.at for item in sample]), exponential(2.0)) > DOUBT


def test_strict_nothing_leaves_sooner_because_something_was_said(busy: tuple[list[Sent], list[float]]) -> None:
    sent, said = busy
    times = iter(item.at for item in sent)
    waits, upcoming = [], next(times)
    for at in said[:-10]:
        while upcoming <= at:
            upcoming = next(times)
        waits.append(upcoming - at)
    assert ks_one_sample(waits, exponential(2.0)) > DOUBT


@pytest.fixture(params=["messages leave at once", "ticks hurry when something waits", "sizes as they are"])
def leak(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    holds_back, plan_tick, cut = CoverTraffic.holds_back, CoverTraffic._plan_tick, CoverTraffic._cut

    def hurry(self: CoverTraffic, room_id: object, room: object, now: float) -> None:
        rate = room.rate  # type: ignore[attr-defined]
        room.rate = rate * (1.5 if room.queue or room.pieces else 1.0)  # type: ignore[attr-defined]
        plan_tick(self, room_id, room, now)  # type: ignore[arg-type]
        room.rate = rate  # type: ignore[attr-defined]

    def at_once(self: CoverTraffic, room_id: object, request: SealRequest) -> bool:
        return request.kind is not EnvelopeKind.GROUP and holds_back(self, room_id, request)  # type: ignore[arg-type]

    def as_it_is(self: CoverTraffic, room: object, request: SealRequest) -> list[object]:
        leaving = cut(self, room, request)  # type: ignore[arg-type]
        if len(leaving) > 1:
            return list(leaving)
        return [replace(leaving[0], request=replace(leaving[0].request, size_class=request.size_class))]

    match request.param:
        case "messages leave at once":
            monkeypatch.setattr(CoverTraffic, "holds_back", at_once)
        case "ticks hurry when something waits":
            monkeypatch.setattr(CoverTraffic, "_plan_tick", hurry)
        case _:
            monkeypatch.setattr(CoverTraffic, "_cut", as_it_is)
    return str(request.param)


def test_a_planted_leak_is_found(idle: list[Sent], leak: str) -> None:
    lab = CoverLab(STRICT, seed=3)
    end = lab.world.now + 1_500.0
    for at in range(1_400):
        lab.say(lab.world.now + at, "hi", SizeClass.SMALL)
        lab.say(lab.world.now + at, "ho", SizeClass.SMALL)
    lab.world.run(end)
    assert tell_apart(idle, lab.emissions()) < DOUBT / 100, leak


@dataclass
class Forms:
    """What a seat can read of one member's publishes, of decoys (True) and of messages, by size; of several runs."""

    counts: dict[tuple[bool, int], Counter[object]] = field(default_factory=dict)
    histograms: dict[tuple[bool, int], list[int]] = field(default_factory=dict)

    def gather(self, options: CoverOptions, seed: int) -> None:
        """Run a member that says something small and something larger each second."""
        lab = CoverLab(options, roster=2, online=2, relays=5, seed=seed, model=NetworkModel(loss=0.02))
        start = lab.world.now
        for second in range(200):
            lab.say(start + second, "hi", SizeClass.SMALL)
            lab.say(start + second + 0.5, "y" * 1_000)
        lab.world.run(start + 100.0)
        keys = lab.member().sending_keys(lab.machine().wall(lab.world.now))
        assert keys is not None
        tag = lab.machine().tags.get(keys.tag)
        assert tag is not None
        lab.world.run(start + 320.0)
        frames: dict[bytes, list[tuple[float, Publish]]] = {}
        for sent in lab.world.sent["member-0"]:
            if isinstance(sent.frame, Publish) and sent.frame.envelope[6:38] == keys.tag:
                frames.setdefault(sent.frame.envelope, []).append((sent.at, sent.frame))
        for envelope, times in frames.items():
            # From when both seats are attached: a second one may come a moment later than the first. And all that was
            # published of an envelope: of one that got lost then only the second time would be seen. And while both
            # kinds are sent: what comes alone waits longer for whatever makes good a loss.
            if start <= times[0][0] < start + 200.0:
                self._note(keys, envelope, [frame for _, frame in times], tag.committee.seats_hash)
        # Decoys are receipted as messages are: but for the latest few nothing is under way.
        assert sum(len(tag.publisher) for tag in lab.machine().tags.of_room(lab.room.room_id)) < 10

    def _note(self, keys: EpochKeys, envelope: bytes, published: list[Publish], seats_hash: bytes) -> None:
        place = (open_envelope(keys, envelope).kind is EnvelopeKind.COVER, len(envelope))
        header, _ = check_envelope(envelope)
        assert (header.tag, header.epoch_start) == (keys.tag, keys.start)
        entries = frozenset(frame.other_entry for frame in published)
        hashes = {frame.seats_hash for frame in published}
        form = (header.size_class, len(published) >= 2, len(entries) == 2, hashes == {seats_hash})
        self.counts.setdefault(place, Counter())[form] += 1
        histogram = self.histograms.setdefault(place, [0] * 256)
        for byte in (*envelope[38:-64], *envelope[-64:]):
            histogram[byte] += 1


@pytest.mark.parametrize("options", [STEADY, STRICT], ids=["steady", "strict"])
def test_a_seat_finds_no_difference_in_form(options: CoverOptions) -> None:
    """Every field that a seat can read, of decoys and of messages, in steady mode; in strict all are of one size. Of
    four runs together: of one, chance alone makes some ten resent decoys twice as many or none."""
    forms = Forms()
    for seed in range(31, 35):
        forms.gather(options, seed)
    sizes = {size for _, size in forms.counts}
    assert sizes == ({4_096} if options is STRICT else {256, 4_096})
    for size in sizes:
        decoys, messages = forms.counts[True, size], forms.counts[False, size]
        assert decoys.keys() == messages.keys()
        order = list(decoys)  # as published at once, or again after a loss
        shares = [[counts[form] for form in order] for counts in (decoys, messages)]
        assert len(order) == 1 or chi_square_per_degree(*shares) < 6.6
        assert sum(decoys.values()) > 60
        assert 0.7 < chi_square_per_degree(forms.histograms[True, size], forms.histograms[False, size]) < 1.35


def test_steady_adds_about_one_decoy_a_second_to_a_room() -> None:
    lab = CoverLab(STEADY, roster=5, online=5, relays=3, seed=5)
    before = sum(lab.machine(index).counters.decoys_sent for index in range(5))
    lab.world.run(lab.world.now + 400.0)
    decoys = sum(lab.machine(index).counters.decoys_sent for index in range(5)) - before
    assert abs(decoys - 400) < 4 * 20  # four standard deviations
    sizes = Counter(item.bytes for index in range(5) for item in lab.emissions(index))
    assert 0.5 < sizes[256] / (sizes[256] + sizes[4_096]) < 0.8
    assert set(sizes) <= {256, 4_096}


def test_who_gets_decoys_keeps_nothing_of_them() -> None:
    lab = CoverLab(STEADY, roster=2, online=2, relays=3, seed=6)
    lab.say(lab.world.now + 1, "hello")
    lab.world.run(lab.world.now + 5)
    disks = [
        {table: dict(rows) for table, rows in lab.world.nodes[name].persisted.items()}
        for name in ("member-0", "member-1")
    ]
    received = lab.machine(1).counters.envelopes_received
    lab.world.run(lab.world.now + 60)
    assert lab.machine(1).counters.envelopes_received - received > 10
    assert lab.machine(1).counters.unopenable == 0
    # No message key was used up, and no row was written but the ids of envelopes that need not be fetched again.
    after = [lab.world.nodes[name].persisted for name in ("member-0", "member-1")]
    assert disks == [{table: rows for table, rows in disk.items() if table != SEEN_ENVELOPES} for disk in after]


def test_no_decoys_without_seats_and_none_after_leaving() -> None:
    for options in (STEADY, STRICT):
        lab = CoverLab(options, roster=1, online=1, relays=3, seed=7)
        lab.world.run(lab.world.now + 20)
        assert lab.machine().counters.decoys_sent > 5
        lab.world.partition([["member-0"], ["relay-*"]])
        lab.world.run(lab.world.now + 10)  # it takes three seconds to see that the seats are gone
        alone = lab.machine().counters.decoys_sent
        lab.say(lab.world.now + 1, "said while alone")
        lab.world.run(lab.world.now + 60)
        assert lab.machine().counters.decoys_sent == alone
        lab.world.heal()
        lab.world.run(lab.world.now + 60)
        assert lab.machine().counters.decoys_sent > alone + 5
        assert len(lab.member().conversation.outbox) == 0
        lab.leave()
        lab.world.run(lab.world.now + 1)
        gone, sent = lab.machine().counters.decoys_sent, len(lab.world.sent["member-0"])
        lab.world.run(lab.world.now + 30)
        assert (lab.machine().counters.decoys_sent, len(lab.world.sent["member-0"])) == (gone, sent)


def rotation(cover: Cover) -> Rotation:
    options = RotationOptions(
        peers=4,
        rooms=1,
        hours=0.1,
        relays=6,
        seed=8,
        messages_per_minute=3,
        network=replace(NETWORK, epoch_seconds=300, overlap_seconds=60),
        cover=replace(STEADY, mode=cover),
    )
    found = Rotation(options, rotation_machines())
    result = found.run()
    assert (result.lost, result.duplicated) == (0, 0)
    assert result.rotations >= 1
    decoys = [item.counters.decoys_sent for _, item in found.world.machines() if isinstance(item, ClientMachine)]
    assert (result.cover.mode, result.cover.decoys_sent) == (cover.name.lower(), sum(decoys))
    return found


def test_cover_loses_and_doubles_nothing_and_steady_delays_nothing() -> None:
    latencies = {}
    for cover in Cover:
        found = rotation(cover)
        ordered = sorted(found.ledger.latencies_seconds)
        latencies[cover] = ordered[int(0.95 * len(ordered))]
        decoys = [item.counters.decoys_sent for _, item in found.world.machines() if isinstance(item, ClientMachine)]
        assert all(decoys) if cover is not Cover.OFF else not any(decoys)
    assert latencies[Cover.STEADY] < 1.2 * latencies[Cover.OFF] + 0.02
    assert latencies[Cover.STRICT] > 1.0  # it has its price: long ones need 19 ticks


def test_someone_joins_a_strict_room_through_answers_in_pieces() -> None:
    lab = CoverLab(STRICT, roster=12, online=2, relays=5, seed=9)
    made: list[Invite] = []

    def invite(machine: ClientMachine, now: float) -> list[object]:
        room = machine.rooms[lab.room.room_id]
        assert isinstance(room, MemberRoom)
        wall = machine.wall(now)
        seed, outcome = room.invite(1, int(wall) + 3_600, wall)
        made.append(Invite(network_id(NETWORK), room.room_id, seed.seed, lab.contacts[:1]))
        return list(machine.apply(room, outcome, now))

    lab.world.call("member-0", lab.world.now, "invite", 0, invite)  # type: ignore[arg-type]
    lab.world.run(lab.world.now + 20)
    guest = CoverLab(STRICT, roster=1, online=1, relays=1, seed=10)
    tools, state = guest.member().tools, guest.member().state(0)
    certificate = CERTIFICATES.encode(state.members[0].certificate)
    joining = JoiningRoom(tools, made[0], certificate)

    def enter(machine: ClientMachine, now: float) -> list[object]:
        machine.remove_room(guest.room.room_id)
        return [*machine.add_bootstrap(lab.contacts[0], now), *machine.add_room(joining, now)]

    node = guest.world.nodes["member-0"]
    lab.world.add_node("guest", node.key, False, node.factory)
    lab.world.call("guest", lab.world.now, "enter", 0, enter)  # type: ignore[arg-type]
    lab.world.run(lab.world.now + 90)
    found = lab.world.machine("guest").rooms[lab.room.room_id]
    assert isinstance(found, MemberRoom)
    wall = lab.machine().wall(lab.world.now)
    assert found.state(wall).settings_on(day_of(int(wall))).cover is Cover.STRICT
    joined_by = lab.world.now
    lab.say(joined_by + 1, "z" * 20_000)
    lab.world.run(lab.world.now + 60)
    assert len(found.conversation.heads) == 1
    assert len(found.fragments) == 0
    for index in range(2):
        assert {item.bytes for item in lab.emissions(index)} == {4_096}
    assert {item.bytes for item in lab.world.sent["guest"] if item.at > joined_by} == {4_096}
