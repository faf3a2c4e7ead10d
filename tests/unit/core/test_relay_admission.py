"""Who may have a relay do what: seats by the directory and not by their own word, tags by fair shares."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest

from railgun.core import relay_frames, relay_peers, tag_admission
from railgun.core.directory import Directory
from railgun.core.effects import Effect, SendFrame
from railgun.core.events import PeerConnected
from railgun.core.relay_limits import RelayLimits
from railgun.core.relay_peers import RelayPeers
from railgun.core.seat import TagStanding
from railgun.crypto.receipts import sign_subscription, sign_tag_descriptor
from railgun.crypto.sealing import signed_digest
from railgun.crypto.signing import public_key_of
from railgun.errors import PeerError, RefusalCode
from railgun.limits import PREFIX_SHARE, SEATS_LINKED_MAX, WORK_BURST
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Handle, NodeKey, PeerKey
from railgun.wire.directory_frames import AdsPush
from railgun.wire.frames import (
    Publish,
    Pull,
    Receipt,
    Refused,
    SeatExchange,
    SeatOpen,
    SeatPull,
    SeatPush,
    Subscribe,
    SubscriptionMode,
)
from tests.support.ads import seed_of, signed_ad
from tests.support.relay_lab import WALL, RelayLab, client_key, frames_to, id_of, penalties, refusals, room_keys, seal

STRANGER_INDEX = 900
STRANGER = NodeKey(public_key_of(seed_of(STRANGER_INDEX)))


def stranger_in(lab: RelayLab) -> PeerKey:
    """Somebody with a key of its own who says that it is a relay."""
    lab.do(PeerConnected(PeerKey(STRANGER), PeerKey(lab.own), True, True, 0.0, 0.01))
    return PeerKey(STRANGER)


def told(effects: Sequence[Effect]) -> list[Refused]:
    frames = [effect.frame for effect in effects if isinstance(effect, SendFrame)]
    return [frame for frame in frames if isinstance(frame, Refused)]


def open_another(lab: RelayLab, index: int, by: PeerKey | NodeKey, *, proved: bool) -> list[Effect]:
    """Somebody shows the tag of room ``index``."""
    keys = room_keys(index)
    descriptor = sign_tag_descriptor(keys, lab.committee_size, 0)
    if not proved:
        return lab.frame(by, SeatOpen(descriptor, bytes(8), True))
    handle = Handle(bytes(16))
    proof = sign_subscription(keys, lab.own, PeerKey(by), handle)
    return lab.frame(by, Subscribe(descriptor, handle, SubscriptionMode.PRIMARY, proof, bytes(8), bytes(8), 1))


# --- who is a relay ---------------------------------------------------------------------------


def test_whoever_only_says_that_it_is_a_relay_speaks_for_no_seat() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    stranger = stranger_in(lab)
    envelope = seal(lab.keys, 1)
    frames = (
        SeatOpen(lab.descriptor, lab.seats_hash, True),
        SeatPush(envelope),
        SeatExchange(lab.keys.tag, (id_of(envelope),), True, 1, id_of(envelope)),
        SeatPull(lab.keys.tag, (id_of(envelope),)),
        Receipt(lab.keys.tag, (id_of(envelope),), STRANGER, bytes(64)),
    )
    for frame in frames:
        effects = lab.frame(stranger, frame)
        assert refusals(effects) == ["NOT_A_SEAT"]
        assert penalties(effects) == []  # it may be new, and its ad on its way
    assert len(lab.seat.store) == 0
    assert not lab.seat.exchange.is_open_with(STRANGER)


def test_it_has_no_more_work_done_than_a_client() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    stranger = stranger_in(lab)
    answered = 0
    for _ in range(int(WORK_BURST) * 4):
        answered += "RATE_LIMITED" not in refusals(lab.frame(stranger, Pull(lab.keys.tag, (1,), ())))
    assert answered <= WORK_BURST
    pushed = AdsPush(tuple(signed_ad(index, int(WALL) - 60).encoded for index in range(1000, 1020)))
    assert refusals(lab.frame(stranger, pushed)) == ["RATE_LIMITED"]


def test_a_new_relay_presents_its_ad_and_is_served_as_one() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    stranger = stranger_in(lab)
    lab.frame(stranger, AdsPush((signed_ad(STRANGER_INDEX, int(WALL) - 60).encoded,)))
    assert refusals(lab.frame(stranger, SeatOpen(lab.descriptor, lab.seats_hash, True))) == []
    assert lab.seat.exchange.is_open_with(STRANGER)


def test_somebody_else_s_ad_makes_no_relay() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    stranger = stranger_in(lab)
    lab.frame(stranger, AdsPush((signed_ad(901, int(WALL) - 60).encoded,)))
    assert refusals(lab.frame(stranger, SeatOpen(lab.descriptor, lab.seats_hash, True))) == ["NOT_A_SEAT"]


def test_a_relay_presents_its_own_ad_on_every_link_to_a_relay_and_on_no_other() -> None:
    lab = RelayLab()
    own = lab.machine.directory.directory.newest_ad_encoded(lab.own)
    effects = lab.do(PeerConnected(PeerKey(STRANGER), PeerKey(lab.own), True, True, 0.0, 0.01))
    assert own is not None
    assert AdsPush((own,)) in frames_to(effects, STRANGER, AdsPush)
    client = PeerKey(bytes([9]) * 32)
    assert frames_to(lab.do(PeerConnected(client, PeerKey(lab.own), False, True, 0.0, 0.01)), client, AdsPush) == []


# --- what seats push --------------------------------------------------------------------------


def test_pushes_that_nobody_asked_for_end_with_the_window_and_pulled_ones_do_not() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    lab.now = lab.seat.window.accept_until - WALL + 1.0
    unasked, pulled = seal(lab.keys, 1), seal(lab.keys, 2)
    assert refusals(lab.frame(lab.others[0], SeatPush(unasked))) == ["TOO_LATE"]
    lab.tell(lab.others[0], [id_of(pulled)], urgent=True)
    assert refusals(lab.frame(lab.others[0], SeatPush(pulled))) == []
    assert len(lab.seat.store) == 1


def test_a_seat_that_pushes_too_much_is_told_when_to_go_on_before_anything_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = RelayLab(relay_limits=RelayLimits(push_bytes_per_second=256.0, push_bytes_burst=512.0))
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    hashed = _count_hashes(monkeypatch)
    codes = [told(lab.frame(lab.others[0], SeatPush(seal(lab.keys, number)))) for number in range(5)]
    assert [len(item) for item in codes] == [0, 0, 1, 1, 1]
    assert codes[2][0].code is RefusalCode.RATE_LIMITED
    assert codes[2][0].retry_after_ms is not None
    assert 900 < codes[2][0].retry_after_ms <= 1001
    assert len(hashed) == 2
    lab.now += 1.0
    assert refusals(lab.frame(lab.others[0], SeatPush(seal(lab.keys, 5)))) == []


def test_a_relay_of_no_rank_that_never_opened_the_tag_pushes_nothing() -> None:
    lab = RelayLab(relays=20, committee_size=3)
    unranked = next(key for key in lab.seeds if key not in lab.ranking)
    lab.subscribe(lab.connect_client(0))
    lab.connect_relay(unranked)
    assert refusals(lab.frame(unranked, SeatPush(seal(lab.keys, 1)))) == ["NOT_A_SEAT"]
    assert len(lab.seat.store) == 0


def test_relays_of_no_rank_keep_no_seat_out_of_a_tag() -> None:
    lab = RelayLab(relays=40, committee_size=3)
    lab.subscribe(lab.connect_client(0))
    unranked = [key for key in lab.seeds if key not in lab.ranking]
    for key in unranked:
        lab.connect_relay(key)
        lab.frame(key, SeatOpen(lab.descriptor, lab.seats_hash, True))
    assert len(lab.seat.exchange.others) <= SEATS_LINKED_MAX
    for key in lab.others:
        lab.connect_relay(key)
        assert refusals(lab.frame(key, SeatOpen(lab.descriptor, lab.seats_hash, True))) == []
        assert lab.seat.exchange.is_open_with(key)


# --- budgets before work ----------------------------------------------------------------------


def _count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    hashed: list[bytes] = []

    def counting(envelope):  # type: ignore[no-untyped-def]
        hashed.append(envelope.data)
        return signed_digest(envelope)

    monkeypatch.setattr(relay_frames, "signed_digest", counting)
    return hashed


def test_publishes_beyond_the_budget_cost_no_more_hashing_than_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = RelayLab(relay_limits=RelayLimits(publish_bytes_per_second=1.0, publish_bytes_burst=256.0))
    client = lab.connect_client(0)
    lab.subscribe(client)
    envelope = seal(lab.keys, 1)
    lab.publish(client, envelope)
    hashed = _count_hashes(monkeypatch)
    answers = []
    for _ in range(int(WORK_BURST) * 3):
        answers += told(lab.frame(client, Publish(envelope, lab.seats_hash, None)))
    assert len(answers) == int(WORK_BURST) * 3
    assert {answer.code for answer in answers} == {RefusalCode.RATE_LIMITED}
    assert all(answer.retry_after_ms for answer in answers)
    assert answers[0].ids == (id_of(envelope),)
    assert answers[-1].ids is None
    assert len(hashed) <= WORK_BURST


# --- receipts ---------------------------------------------------------------------------------


def test_a_seat_s_own_receipt_is_passed_on_only_if_its_signature_verifies() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    envelope = seal(lab.keys, 1)
    lab.publish(client, envelope)
    seat = lab.others[0]
    good = lab.receipt_of(seat, id_of(envelope))
    effects = lab.frame(seat, Receipt(good.tag, good.ids, good.seat, bytes(64)))
    assert frames_to(effects, client, Receipt) == []
    assert [penalty.peer for penalty in penalties(effects)] == [PeerKey(seat)]
    assert frames_to(lab.frame(seat, good), client, Receipt) == [good]


# --- prefixes ---------------------------------------------------------------------------------

LIMITS = RelayLimits(
    publish_bytes_per_second=10.0, publish_bytes_burst=100.0, pull_bytes_per_second=10.0, pull_bytes_burst=100.0
)
HERE, THERE = b"\x14\x00\x01", b"\x14\x00\x02"


def peers_of(kind: NetworkKind) -> RelayPeers:
    network = NetworkParameters(name="bench", kind=kind)
    return RelayPeers(Directory(network), LIMITS, shares_prefixes=kind is not NetworkKind.LAN)


def flood(peers: RelayPeers, prefix: bytes, links: int, now: float = 0.0) -> int:
    """So many links of a prefix publish, pull and work all that they may; returns bytes published."""
    taken = 0
    for index in range(links):
        peer = peers.add(client_key(index), now, says_relay=False, prefix=prefix)
        while peer.may_publish(100, now):
            taken += 100
        while peer.may_pull(100, now):
            pass
        with contextlib.suppress(PeerError):
            while True:
                peer.charge(64.0, now)
        peers.remove(peer.key)
    return taken


def test_new_links_of_one_prefix_bring_no_new_budgets() -> None:
    peers = peers_of(NetworkKind.PUBLIC)
    assert flood(peers, HERE, 3 * PREFIX_SHARE) == PREFIX_SHARE * 100
    late = peers.add(client_key(200), 0.0, says_relay=False, prefix=HERE)
    assert not late.may_publish(1, 0.0)
    assert not late.may_pull(1, 0.0)
    with pytest.raises(PeerError) as refused:
        late.charge(1.0, 0.0)
    assert refused.value.code is RefusalCode.RATE_LIMITED
    assert late.publish_wait_seconds(160, 0.0) == pytest.approx(1.0)
    assert 0.0 < late.work_wait_seconds(0.0) < 1.0
    assert late.may_publish(100, 10.0)


def test_other_prefixes_relays_and_lan_networks_are_not_touched_by_it() -> None:
    peers = peers_of(NetworkKind.PUBLIC)
    flood(peers, HERE, 2 * PREFIX_SHARE)
    assert peers.add(client_key(200), 0.0, says_relay=False, prefix=THERE).may_publish(100, 0.0)
    peers = peers_of(NetworkKind.LAN)
    assert flood(peers, HERE, 3 * PREFIX_SHARE) == 3 * PREFIX_SHARE * 100
    directory = Directory(NetworkParameters(name="bench", kind=NetworkKind.LAN))
    directory.insert(signed_ad(STRANGER_INDEX, int(WALL) - 60).encoded, WALL)
    peers = RelayPeers(directory, LIMITS, shares_prefixes=True)
    flood(peers, HERE, 2 * PREFIX_SHARE)
    assert peers.add(PeerKey(STRANGER), 0.0, says_relay=True, prefix=HERE).may_publish(100, 0.0)


def test_prefixes_remembered_are_bounded_and_those_with_links_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_peers, "PREFIXES_MAX", 4)
    peers = peers_of(NetworkKind.PUBLIC)
    staying = peers.add(client_key(0), 0.0, says_relay=False, prefix=HERE)
    for index in range(1, 20):
        peers.add(client_key(index), 0.0, says_relay=False, prefix=bytes([9, 9, index]))
        peers.remove(client_key(index))
    assert len(peers._prefixes) == 4
    assert peers.add(client_key(50), 0.0, says_relay=False, prefix=HERE).prefix is staying.prefix


def test_the_clients_of_one_prefix_share_a_quota_of_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_admission, "TAGS_PER_PREFIX_MAX", 3)
    admission = tag_admission.TagAdmission({})
    for index in range(3):
        opener = tag_admission.Opener(client_key(index), proved=True, prefix=HERE)
        assert admission.check(opener) is None
        admission.enter(room_keys(index).tag, opener)
    with pytest.raises(PeerError) as refused:
        admission.check(tag_admission.Opener(client_key(9), proved=True, prefix=HERE))
    assert refused.value.code is RefusalCode.QUOTA_EXCEEDED
    assert admission.check(tag_admission.Opener(client_key(9), proved=True, prefix=THERE)) is None
    admission.leave(room_keys(0).tag)
    assert admission.check(tag_admission.Opener(client_key(9), proved=True, prefix=HERE)) is None


# --- tags -------------------------------------------------------------------------------------


def test_one_relay_opens_its_share_of_tags_and_is_told_when_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_admission, "TAGS_OPENED_BY_RELAY_MAX", 5)
    lab = RelayLab(relays=3)
    greedy, modest = lab.others[0], lab.others[1]
    for key in lab.others:
        lab.connect_relay(key)
    answers = [told(open_another(lab, index, greedy, proved=False)) for index in range(1, 8)]
    refused = [answer[-1] for answer in answers if answer]
    assert [answer.code for answer in refused] == [RefusalCode.QUOTA_EXCEEDED] * 2
    assert all(answer.retry_after_ms for answer in refused)
    assert len(lab.machine.seats) == 5
    assert refusals(open_another(lab, 20, modest, proved=False)) == []
    # What a client has shown since no longer counts against the relay that told of it first.
    client = lab.connect_client(0)
    assert refusals(open_another(lab, 1, client, proved=True)) == []
    assert refusals(open_another(lab, 6, greedy, proved=False)) == []


def test_a_full_relay_lets_go_of_tags_that_were_only_named_for_those_that_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tag_admission, "TAGS_MAX", 4)
    lab = RelayLab(relays=3)
    seat = lab.others[0]
    lab.connect_relay(seat)
    holder, reader = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(holder)
    lab.publish(holder, seal(lab.keys, 1))
    open_another(lab, 1, reader, proved=True)
    for index in (2, 3):
        open_another(lab, index, seat, proved=False)
    standing = {tag: found.standing for tag, found in lab.machine.seats.items()}
    assert sorted(standing.values()) == [
        TagStanding.OPENED,
        TagStanding.OPENED,
        TagStanding.SUBSCRIBED,
        TagStanding.HOLDS,
    ]
    newcomers = [lab.connect_client(index) for index in range(2, 6)]
    codes = [refusals(open_another(lab, 10 + index, peer, proved=True)) for index, peer in enumerate(newcomers)]
    # Two named tags went; what is in use by somebody with no more tags than the newcomer stays.
    assert codes == [["UNKNOWN_TAG"], ["UNKNOWN_TAG"], ["BUSY"], ["BUSY"]]  # the first two to the relay that named one
    assert lab.keys.tag in lab.machine.seats
    assert room_keys(1).tag in lab.machine.seats
    assert room_keys(2).tag not in lab.machine.seats
    assert room_keys(10).tag in lab.machine.seats
    assert room_keys(11).tag in lab.machine.seats
    assert room_keys(12).tag not in lab.machine.seats


def test_of_tags_in_use_those_of_who_has_opened_most_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_admission, "TAGS_MAX", 6)
    lab = RelayLab(relays=3)
    greedy, modest = lab.connect_client(0), lab.connect_client(1)
    open_another(lab, 1, modest, proved=True)
    for index in range(2, 7):
        open_another(lab, index, greedy, proved=True)
    newcomer = lab.connect_client(2)
    effects = open_another(lab, 7, newcomer, proved=True)
    assert room_keys(7).tag in lab.machine.seats
    assert room_keys(1).tag in lab.machine.seats
    assert [frame.tag for frame in frames_to(effects, greedy, Refused)] == [room_keys(2).tag]
    effects = open_another(lab, 8, greedy, proved=True)
    assert refusals(effects) == ["BUSY"]
    assert told(effects)[0].retry_after_ms is not None


def test_tags_that_hold_receipted_envelopes_never_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_admission, "TAGS_MAX", 3)
    lab = RelayLab(relays=3)
    greedy = lab.connect_client(0)
    for index in range(1, 4):
        open_another(lab, index, greedy, proved=True)
        lab.publish(greedy, seal(room_keys(index), 1))
    assert refusals(open_another(lab, 9, lab.connect_client(1), proved=True)) == ["BUSY"]
    assert len(lab.machine.seats) == 3


def test_closed_tags_count_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_admission, "TAGS_PER_PEER_MAX", 2)
    lab = RelayLab(relays=3)
    client = lab.connect_client(0)
    for index in (1, 2):
        assert refusals(open_another(lab, index, client, proved=True)) == []
    assert refusals(open_another(lab, 3, client, proved=True)) == ["QUOTA_EXCEEDED"]
    for index in (1, 2):
        lab.machine.tags.close(room_keys(index).tag)
    assert refusals(open_another(lab, 3, client, proved=True)) == []
