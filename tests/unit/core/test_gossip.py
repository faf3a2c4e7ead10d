"""Gossip between relays and clients, without links."""

from __future__ import annotations

import itertools
import random

import pytest

from railgun.core.directory import Directory
from railgun.core.gossip import Gossip, GossipOutcome
from railgun.crypto.records import SignedAd
from railgun.errors import PeerError, RefusalCode
from railgun.types import PeerKey
from railgun.wire.directory_frames import AdsPush, AdsRequest, DirectoryIds, DirectoryRanges, IdRange
from tests.support.ads import LAN, signed_ad

NOW = 1_000_000.0


class Mesh:
    """Gossips joined by links that lose nothing; delivers until nothing is under way."""

    def __init__(self, relays: int, clients: int = 0) -> None:
        self.keys = [PeerKey(bytes([index]) * 32) for index in range(relays + clients)]
        self.relays = self.keys[:relays]
        self.directories = {key: Directory(LAN) for key in self.keys}
        self.gossips = {
            key: Gossip(self.directories[key], key, random.Random(key[0]), is_relay=key in self.relays)
            for key in self.keys
        }
        self.frames = 0
        self.frames_to: dict[PeerKey, list[object]] = {key: [] for key in self.keys}
        self.learnt: dict[PeerKey, int] = dict.fromkeys(self.keys, 0)

    def link(self, left: PeerKey, right: PeerKey, now: float = 0.0) -> None:
        starts = [
            (key, self.gossips[key].peer_connected(other, now, is_relay=other in self.relays))
            for key, other in ((left, right), (right, left))
        ]
        for key, outcome in starts:
            self.run(key, outcome, now)

    def run(self, source: PeerKey, outcome: GossipOutcome, now: float = 0.0) -> None:
        queue = [(source, send) for send in outcome.sends]
        while queue:
            sender, send = queue.pop(0)
            self.frames += 1
            assert self.frames < 10_000, "gossip does not end"
            self.frames_to[send.peer].append(send.frame)
            answer = self.gossips[send.peer].frame_received(sender, send.frame, NOW + now, now)
            assert not answer.penalties
            self.learnt[send.peer] += len(answer.learnt)
            queue += [(send.peer, item) for item in answer.sends]

    def fill(self, key: PeerKey, ads: list[SignedAd]) -> None:
        for ad in ads:
            self.directories[key].insert(ad.encoded, NOW)

    def tick(self, now: float) -> None:
        for key, gossip in self.gossips.items():
            self.run(key, gossip.tick(NOW + now, now), now)


ADS = [signed_ad(index, int(NOW) - 5_000) for index in range(1_500)]


def test_two_relays_are_alike_after_they_meet() -> None:
    mesh = Mesh(2)
    left, right = mesh.keys
    mesh.fill(left, ADS[:1_400])
    mesh.fill(right, ADS[100:])
    mesh.link(left, right)
    assert mesh.directories[left].digest == mesh.directories[right].digest
    assert len(mesh.directories[left]) == 1_500
    assert mesh.learnt == {left: 100, right: 100}
    assert mesh.frames < 200


def test_equal_relays_exchange_two_frames() -> None:
    mesh = Mesh(2)
    for key in mesh.keys:
        mesh.fill(key, ADS)
    mesh.link(mesh.keys[0], mesh.keys[1])
    assert mesh.frames == 2
    assert mesh.gossips[mesh.keys[0]].agreeing() == (mesh.keys[1],)


def test_a_client_catches_up_from_two_relays_and_pushes_nothing() -> None:
    mesh = Mesh(2, 1)
    first, second, client = mesh.keys
    mesh.fill(first, ADS[:1_000])
    mesh.fill(second, ADS[500:])
    mesh.fill(client, [signed_ad(9_999, int(NOW))])
    mesh.link(client, first)
    assert len(mesh.directories[client]) == 1_001
    mesh.link(client, second)
    assert len(mesh.directories[client]) == 1_501
    assert len(mesh.directories[first]) == 1_000
    for relay in (first, second):
        assert not any(isinstance(frame, AdsPush) for frame in mesh.frames_to[relay])
    assert not any(isinstance(frame, AdsRequest) for frame in mesh.frames_to[client])
    assert mesh.gossips[client].agreeing() == ()


def test_a_client_sees_with_whom_it_agrees() -> None:
    mesh = Mesh(2, 1)
    first, second, client = mesh.keys
    mesh.fill(first, ADS)
    mesh.fill(second, ADS[:-1])
    mesh.link(client, first)
    mesh.link(client, second)
    mesh.tick(1.5)
    assert mesh.gossips[client].agreeing() == (first,)
    mesh.link(first, second)
    mesh.tick(20.0)
    assert mesh.gossips[client].agreeing() == (first, second)


def test_a_new_ad_reaches_all_relays_at_once_and_never_returns() -> None:
    mesh = Mesh(5, 1)
    for left, right in zip(mesh.relays, mesh.relays[1:], strict=False):
        mesh.link(left, right)
    mesh.link(mesh.keys[5], mesh.keys[0])
    mesh.frames = 0
    ad = signed_ad(1, int(NOW))
    outcome = mesh.gossips[mesh.keys[0]].announce(ad.encoded, NOW)
    assert outcome.learnt == [ad]
    mesh.run(mesh.keys[0], outcome)
    assert all(mesh.directories[key].newest_ad(ad.node_key) == ad.ad for key in mesh.relays)
    assert mesh.frames == 4
    assert len(mesh.directories[mesh.keys[5]]) == 0


def test_only_fresh_ads_are_pushed_on() -> None:
    mesh = Mesh(3)
    first, second, third = mesh.keys
    mesh.link(first, second)
    mesh.link(second, third)
    mesh.frames = 0
    outcome = mesh.gossips[first].announce(ADS[0].encoded, NOW)
    mesh.run(first, outcome)
    assert mesh.frames == 1
    mesh.tick(20.0)
    mesh.tick(40.0)
    assert len(mesh.directories[third]) == 1


def test_one_peer_cannot_flood_the_others() -> None:
    mesh = Mesh(3)
    first, second, third = mesh.keys
    mesh.link(first, second)
    mesh.link(second, third)
    fresh = [signed_ad(index, int(NOW)).encoded for index in range(640)]
    outcomes = [
        mesh.gossips[second].frame_received(first, AdsPush(tuple(fresh[at : at + 128])), NOW, 0.0)
        for at in range(0, 640, 128)
    ]
    assert sum(len(outcome.learnt) for outcome in outcomes) == 640
    pushes = [send for outcome in outcomes for send in outcome.sends if isinstance(send.frame, AdsPush)]
    assert {send.peer for send in pushes} == {third}
    assert sum(len(send.frame.records) for send in pushes if isinstance(send.frame, AdsPush)) == 512


def test_an_announcement_that_is_not_fit_is_the_callers_error() -> None:
    with pytest.raises(PeerError):
        Mesh(1).gossips[PeerKey(bytes(32))].announce(signed_ad(1, int(NOW) + 1_000).encoded, NOW)


def _pair() -> tuple[Mesh, Gossip, PeerKey]:
    mesh = Mesh(2)
    mesh.link(mesh.keys[0], mesh.keys[1])
    return mesh, mesh.gossips[mesh.keys[0]], mesh.keys[1]


def test_what_stands_before_a_forged_record_is_kept_and_the_sender_pays() -> None:
    mesh, gossip, peer = _pair()
    good, forged, after = ADS[0].encoded, ADS[1].encoded[:-1] + b"\0", ADS[2].encoded
    outcome = gossip.frame_received(peer, AdsPush((good, forged, after)), NOW, 0.0)
    assert [penalty.code for penalty in outcome.penalties] == [RefusalCode.BAD_SIGNATURE]
    assert outcome.learnt == [ADS[0]]
    assert len(mesh.directories[mesh.keys[0]]) == 1


def test_records_from_the_future_cost_little_and_hide_no_others() -> None:
    _, gossip, peer = _pair()
    future = signed_ad(5, int(NOW) + 100)
    outcome = gossip.frame_received(peer, AdsPush((future.encoded, ADS[0].encoded)), NOW, 0.0)
    assert [(penalty.code, penalty.points) for penalty in outcome.penalties] == [(RefusalCode.CLOCK_SKEWED, 1)]
    assert outcome.learnt == [ADS[0]]


def test_clients_that_push_pay() -> None:
    mesh = Mesh(1, 1)
    relay, client = mesh.keys
    mesh.link(relay, client)
    outcome = mesh.gossips[relay].frame_received(client, AdsPush((ADS[0].encoded,)), NOW, 0.0)
    assert outcome.penalties
    assert not outcome.learnt


def test_too_many_frames_are_not_answered() -> None:
    _, gossip, peer = _pair()
    frame = DirectoryIds((IdRange(b"", b"", ()),))
    outcomes = [gossip.frame_received(peer, frame, NOW, 0.0) for _ in range(400)]
    assert [penalty.code for penalty in outcomes[-1].penalties] == [RefusalCode.RATE_LIMITED]
    assert not gossip.frame_received(peer, frame, NOW, 1.0).penalties


def test_frames_of_a_peer_that_is_gone_are_nothing() -> None:
    _, gossip, peer = _pair()
    gossip.peer_disconnected(peer)
    assert gossip.frame_received(peer, AdsPush((ADS[0].encoded,)), NOW, 0.0) == GossipOutcome()
    assert gossip.views_differ(peer, 0.0) == GossipOutcome()


def test_a_mismatch_compares_at_once_but_not_more_than_once_a_second() -> None:
    _, gossip, peer = _pair()
    assert not gossip.views_differ(peer, 0.5).sends
    outcome = gossip.views_differ(peer, 1.0)
    assert [type(send.frame) for send in outcome.sends] == [DirectoryRanges]
    assert not gossip.views_differ(peer, 1.5).sends


def test_a_request_is_answered_with_what_is_there() -> None:
    mesh, gossip, peer = _pair()
    mesh.fill(mesh.keys[0], ADS[:3])
    outcome = gossip.frame_received(peer, AdsRequest((ADS[1].hash, ADS[7].hash, ADS[1].hash)), NOW, 0.0)
    assert [send.frame for send in outcome.sends] == [AdsPush((ADS[1].encoded,))]


def _comparisons(mesh: Mesh, relay: PeerKey, seconds: tuple[int, int]) -> list[int]:
    """The seconds at which anyone opened a comparison with ``relay``."""
    opened = []
    for second in range(*seconds):
        before = len(mesh.frames_to[relay])
        mesh.tick(float(second))
        if any(isinstance(frame, DirectoryRanges) for frame in mesh.frames_to[relay][before:]):
            opened.append(second)
    return opened


def _gaps(moments: list[int]) -> list[int]:
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def test_a_client_that_finds_nothing_new_compares_ever_less_often_and_at_least_four_times_an_epoch() -> None:
    mesh = Mesh(1, clients=1)
    relay, client = mesh.keys
    mesh.fill(relay, ADS[:3])
    mesh.link(relay, client)
    calm = _gaps(_comparisons(mesh, relay, (1, 3_000)))
    assert max(calm[:2]) < 14
    assert all(0.7 * 150 <= gap <= 1.3 * 150 for gap in calm[-5:])


def test_a_difference_makes_a_calm_client_compare_often_again() -> None:
    mesh = Mesh(1, clients=1)
    relay, client = mesh.keys
    mesh.link(relay, client)
    _comparisons(mesh, relay, (1, 3_000))
    mesh.fill(relay, ADS[:1])
    mesh.run(client, mesh.gossips[client].views_differ(relay, 3_000.0), 3_000.0)
    assert len(mesh.directories[client]) == 1
    assert max(_gaps(_comparisons(mesh, relay, (3_001, 3_040)))) < 15


def test_a_client_whose_question_stays_unanswered_goes_on_asking() -> None:
    directory = Directory(LAN)
    client, relay = Gossip(directory, PeerKey(bytes(32)), random.Random(1), is_relay=False), PeerKey(b"r" * 32)
    client.peer_connected(relay, 0.0, is_relay=True)
    opened = [second for second in range(1, 1_000) if client.tick(NOW, float(second)).sends]
    assert max(_gaps(opened)) < 15
