"""From whom a client takes many records, and that nobody can keep it from asking others for long."""

from __future__ import annotations

import random

from railgun.core.directory import Directory
from railgun.core.directory_catch_up import DirectoryCatchUp
from railgun.core.gossip import RECHECK_SECONDS, Gossip, GossipSend
from railgun.limits import (
    DIRECTORY_CATCH_UP_PAUSE_SECONDS,
    DIRECTORY_CATCH_UP_RECORDS_MIN,
    DIRECTORY_CATCH_UP_SECONDS_MAX,
)
from railgun.types import PeerKey
from railgun.wire.directory_frames import AdsPush, DirectoryRange, DirectoryRanges
from tests.support.ads import LAN, signed_ad

NOW = 1_000_000.0
FIRST, SECOND, CLIENT = (PeerKey(bytes([index]) * 32) for index in range(3))
HASHES = [bytes([index]) * 32 for index in range(200)]


def told(count: int) -> DirectoryRanges:
    """What a relay says that holds so many records."""
    return DirectoryRanges((DirectoryRange(b"", b"", count, bytes(16)),))


LARGE = told(len(HASHES) + DIRECTORY_CATCH_UP_RECORDS_MIN)
SMALL = told(len(HASHES) + DIRECTORY_CATCH_UP_RECORDS_MIN - 1)


def test_the_second_waits_until_the_first_has_sent_what_it_said() -> None:
    catch_up = DirectoryCatchUp()
    assert not catch_up.must_wait(FIRST, LARGE, HASHES, 0.0)
    assert catch_up.must_wait(SECOND, LARGE, HASHES, 0.0)
    assert not catch_up.must_wait(FIRST, LARGE, HASHES, 0.1), "the source goes on"
    catch_up.learnt(SECOND, 1_000, 0.1)
    catch_up.learnt(FIRST, DIRECTORY_CATCH_UP_RECORDS_MIN - 1, 0.1)
    assert catch_up.must_wait(SECOND, LARGE, HASHES, 0.1)
    catch_up.learnt(FIRST, 1, 0.2)
    assert not catch_up.must_wait(SECOND, LARGE, HASHES, 0.2)


def test_who_has_little_more_never_waits_and_is_not_waited_for() -> None:
    catch_up = DirectoryCatchUp()
    assert not catch_up.must_wait(FIRST, SMALL, HASHES, 0.0)
    assert not catch_up.must_wait(SECOND, LARGE, HASHES, 0.0)
    assert not catch_up.must_wait(FIRST, SMALL, HASHES, 0.0)


def test_a_silent_source_is_waited_for_a_moment_only_and_never_again() -> None:
    catch_up = DirectoryCatchUp()
    assert not catch_up.must_wait(FIRST, LARGE, HASHES, 0.0)
    assert catch_up.must_wait(SECOND, LARGE, HASHES, DIRECTORY_CATCH_UP_PAUSE_SECONDS - 0.1)
    assert not catch_up.must_wait(SECOND, LARGE, HASHES, DIRECTORY_CATCH_UP_PAUSE_SECONDS)
    after = 2 * DIRECTORY_CATCH_UP_PAUSE_SECONDS
    assert not catch_up.must_wait(FIRST, LARGE, HASHES, after), "nobody is waited for any more: all are answered"
    assert not catch_up.must_wait(SECOND, LARGE, HASHES, after)


def test_a_source_that_trickles_is_waited_for_a_bounded_time() -> None:
    catch_up = DirectoryCatchUp()
    catch_up.must_wait(FIRST, told(2**32 - 1), HASHES, 0.0)
    now = 0.0
    while catch_up.must_wait(SECOND, LARGE, HASHES, now):
        now += 1.0
        catch_up.learnt(FIRST, 1, now)
    assert now == DIRECTORY_CATCH_UP_SECONDS_MAX


def test_a_source_that_is_gone_is_not_waited_for_and_may_come_again() -> None:
    catch_up = DirectoryCatchUp()
    catch_up.must_wait(FIRST, LARGE, HASHES, 0.0)
    catch_up.gone(FIRST)
    assert not catch_up.must_wait(SECOND, LARGE, HASHES, 0.0)
    catch_up.gone(SECOND)
    assert not catch_up.must_wait(FIRST, LARGE, HASHES, 0.0)
    assert catch_up.must_wait(SECOND, LARGE, HASHES, 0.0)


def test_a_client_between_two_full_relays_takes_each_record_once_and_agrees_with_both() -> None:
    relays = {key: Gossip(Directory(LAN), key, random.Random(1), is_relay=True) for key in (FIRST, SECOND)}
    client = Gossip(Directory(LAN), CLIENT, random.Random(2), is_relay=False)
    for index in range(1_000):
        for relay in relays.values():
            relay.announce(signed_ad(index, int(NOW) - 5_000).encoded, NOW)
    way: list[tuple[PeerKey, GossipSend]] = []  # both links at once, frame by frame in turn
    for key, relay in relays.items():
        relay.peer_connected(CLIENT, 0.0, is_relay=False)
        way += [(CLIENT, send) for send in client.peer_connected(key, 0.0, is_relay=True).sends]
    pushed, now = 0, 0.0
    while client.agreeing() != (FIRST, SECOND):
        assert now < 5 * RECHECK_SECONDS, "the second relay's turn never comes"
        while way:
            source, send = way.pop(0)
            receiver = client if send.peer == CLIENT else relays[send.peer]
            pushed += len(send.frame.records) if isinstance(send.frame, AdsPush) else 0
            outcome = receiver.frame_received(source, send.frame, NOW + now, now)
            assert not outcome.penalties
            way += [(send.peer, item) for item in outcome.sends]
        now += 0.5
        way += [(CLIENT, send) for send in client.tick(NOW + now, now).sends]
    assert pushed == 1_000
