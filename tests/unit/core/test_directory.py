"""What a directory admits, what counts for an epoch, and what it forgets."""

from __future__ import annotations

import pytest

from railgun.core.directory import Directory
from railgun.core.own_ad import OwnAd
from railgun.core.retention import OverflowOrder
from railgun.crypto.records import SignedRecord, compose_obituary, sign_testimony
from railgun.errors import MalformedInput, PeerError, RefusalCode
from railgun.network import NetworkParameters
from railgun.types import Address, NodeKey, Role, Tag
from tests.support.ads import LAN, PUBLIC, seed_of, signed_ad

L, O = 600, 120  # noqa: E741 - the spec's own letters
NOW = 1_000_000
START = NOW + 100
TAG = Tag(b"t" * 32)


def _directory(
    *records: SignedRecord, network: NetworkParameters = LAN, wall: float = NOW, ads_max: int = 1_000
) -> Directory:
    directory = Directory(network, ads_max=ads_max)
    for record in records:
        directory.insert(record.encoded, wall)
    return directory


def _counted(directory: Directory, start: int = START, wall: float = NOW) -> set[NodeKey]:
    return {ad.node_key for ad in directory.counted(start, wall)}


def _old(index: int) -> SignedRecord:
    return signed_ad(index, START - 2 * L)


def test_an_ad_counts_from_one_epoch_after_its_issue() -> None:
    settled = [_old(index) for index in range(3)]
    in_time, late = signed_ad(3, START - L), signed_ad(4, START - L + 1)
    directory = _directory(*settled, in_time, late)
    assert _counted(directory) == {ad.node_key for ad in (*settled, in_time)}
    assert late.node_key in _counted(directory, START + 1)


def test_the_newest_ad_by_the_cutoff_counts_and_superseded_ones_stay_for_it() -> None:
    others = [_old(index) for index in range(1, 4)]
    before = signed_ad(0, START - 2 * L, roles=Role.RELAY)
    after = signed_ad(0, START - L + 5, roles=Role.RELAY | Role.FALLBACK)
    directory = _directory(*others, after, before)
    by_key = {ad.node_key: ad for ad in directory.counted(START, NOW)}
    assert by_key[before.node_key] == before.ad
    by_key = {ad.node_key: ad for ad in directory.counted(START + 5, NOW)}
    assert by_key[before.node_key] == after.ad
    assert directory.newest_ad(before.node_key) == after.ad


def test_of_two_ads_of_one_second_the_greater_hash_counts() -> None:
    others = [_old(index) for index in range(1, 4)]
    pair = [signed_ad(0, START - L, host=f"20.0.0.{last}") for last in (7, 8)]
    winner = max(pair, key=lambda signed: signed.hash)
    for order in (pair, pair[::-1]):
        counted = _directory(*others, *order).counted(START, NOW)
        assert winner.ad in counted
        assert len(counted) == 4


def test_an_ad_that_expires_by_the_start_does_not_count() -> None:
    others = [_old(index) for index in range(1, 4)]
    short, longer = (signed_ad(0, START - 2 * L, expires=START + extra) for extra in (0, 1))
    assert short.node_key not in _counted(_directory(*others, short))
    assert longer.node_key in _counted(_directory(*others, longer))


def test_with_fewer_than_three_the_cutoff_is_the_start_and_then_now() -> None:
    two = [_old(index) for index in range(2)]
    by_start = signed_ad(2, START - 5)
    assert len(_counted(_directory(*two, by_start, wall=START))) == 3
    after = signed_ad(3, START + 50)
    directory = _directory(*two, after, wall=START + 60)
    assert len(_counted(directory, wall=START + 40)) == 2
    assert len(_counted(directory, wall=START + 50)) == 3
    directory.insert(by_start.encoded, START + 60)
    assert _counted(directory, wall=START + 60) == {ad.node_key for ad in (*two, by_start)}


@pytest.mark.parametrize("ahead", [60, 61])
def test_ads_from_the_future_are_refused(ahead: int) -> None:
    ad = signed_ad(0, NOW + ahead)
    if ahead <= 60:
        assert _directory(ad).newest_ad(ad.node_key) == ad.ad
        return
    with pytest.raises(PeerError) as caught:
        Directory(LAN).insert(ad.encoded, NOW)
    assert caught.value.code is RefusalCode.CLOCK_SKEWED


def test_ads_that_live_too_long_or_elsewhere_are_refused() -> None:
    with pytest.raises(MalformedInput, match="longer"):
        _directory(signed_ad(0, NOW, expires=NOW + 86_401))
    private = signed_ad(0, NOW, host="192.168.1.2")
    with pytest.raises(MalformedInput, match="global"):
        _directory(private, network=PUBLIC)
    assert len(_directory(private)) == 1


def test_one_node_an_address_unless_in_a_lan() -> None:
    others = [_old(index) for index in range(3)]
    first, second = signed_ad(8, START - 2 * L, host="20.9.9.9"), signed_ad(9, START - 2 * L + 1, host="20.9.9.9")
    for order in ((first, second), (second, first)):
        assert _counted(_directory(*others, *order, network=PUBLIC)) == {ad.node_key for ad in (*others, first)}
        assert len(_counted(_directory(*others, *order))) == 5


def test_an_ad_without_a_relaying_role_does_not_count() -> None:
    others = [_old(index) for index in range(3)]
    assert len(_counted(_directory(*others, signed_ad(9, START - 2 * L, roles=Role(4))))) == 3


def test_a_predicate_can_ask_for_more() -> None:
    directory = Directory(LAN, ad_qualifies=lambda ad: ad.address.port == 9000 and ad.node_key != _old(0).node_key)
    for index in range(5):
        directory.insert(_old(index).encoded, NOW)
    assert len(_counted(directory)) == 4


def test_an_obituary_counts_by_its_date_and_a_newer_ad_ends_it() -> None:
    ads = [_old(index) for index in range(6)]
    dead = ads[0].node_key
    testimonies = tuple(sign_testimony(seed_of(index), dead, START - L) for index in (1, 2, 3))
    obituary = compose_obituary(dead, testimonies)
    directory = _directory(*ads, obituary)
    assert dead not in _counted(directory)
    assert dead in _counted(directory, START - 1)
    assert directory.latest_obituary_dated(dead) == START - L
    directory.insert(signed_ad(0, START - L + 1).encoded, NOW)
    assert dead not in _counted(directory)
    assert dead in _counted(directory, START + 1)


@pytest.mark.parametrize(("signers", "kills"), [((1, 2), False), ((1, 2, 50), False), ((1, 2, 3, 50), True)])
def test_an_obituary_needs_three_relays_that_are_known(signers: tuple[int, ...], kills: bool) -> None:
    ads = [_old(index) for index in range(6)]
    dead = ads[0].node_key
    obituary = compose_obituary(dead, tuple(sign_testimony(seed_of(index), dead, START - L) for index in signers))
    assert (dead not in _counted(_directory(*ads, obituary))) is kills


def test_where_fewer_relays_exist_all_others_suffice() -> None:
    ads = [_old(index) for index in range(3)]
    dead = ads[0].node_key
    both = compose_obituary(dead, tuple(sign_testimony(seed_of(index), dead, START - L) for index in (1, 2)))
    one = compose_obituary(dead, (sign_testimony(seed_of(1), dead, START - L),))
    assert _counted(_directory(*ads, both)) == {ad.node_key for ad in ads[1:]}
    assert dead in _counted(_directory(*ads, one))


def test_an_obituary_of_an_unknown_node_is_not_kept() -> None:
    dead = _old(9).node_key
    obituary = compose_obituary(dead, tuple(sign_testimony(seed_of(index), dead, START - L) for index in range(3)))
    assert len(_directory(*(_old(index) for index in range(5)), obituary).hashes) == 5


def test_a_node_that_leaves_stays_gone_until_its_older_ads_are_dead() -> None:
    others = [_old(index) for index in range(1, 5)]
    before = _old(0)
    directory = _directory(*others, before)
    own = OwnAd(seed_of(0), address=Address("20.0.0.1", 9000), certificate_hash=bytes(32))
    leave = own.withdraw(directory, START - L)
    directory.insert(leave.encoded, NOW)
    assert before.node_key not in _counted(directory)
    later = START + 3 * L + 3 * O
    directory.forget_expired(later)
    assert directory.encoded(before.hash) is None
    assert directory.insert(before.encoded, later) is None
    assert directory.encoded(leave.hash) is not None


def test_superseded_ads_go_when_no_open_epoch_needs_them() -> None:
    old, new = signed_ad(0, NOW - 5000), signed_ad(0, NOW)
    directory = _directory(old, new)
    assert directory.forget_expired(NOW + 2 * L + 3 * O - 1) == 0
    assert directory.forget_expired(NOW + 2 * L + 3 * O) == 1
    assert directory.insert(old.encoded, NOW + 2 * L + 3 * O) is None
    assert directory.forget_expired(NOW + 86_400 + L + 3 * O - 1) == 0
    assert directory.forget_expired(NOW + 86_400 + L + 3 * O) == 1
    assert (len(directory), directory.hashes) == (0, [])


def test_a_node_has_at_most_four_ads_whatever_their_order() -> None:
    ads = [signed_ad(0, NOW + offset) for offset in range(6)]
    kept = sorted(ad.hash for ad in ads[2:])
    assert list(_directory(*ads).hashes) == kept
    assert list(_directory(*ads[::-1]).hashes) == kept


def test_overflow_spares_small_prefixes_and_does_not_depend_on_the_order() -> None:
    lonely = [signed_ad(index, NOW) for index in range(6)]
    crowd = [signed_ad(index, NOW, host=f"93.184.216.{index}") for index in range(10, 40)]
    directories = [
        _directory(*order, network=PUBLIC, ads_max=10)
        for order in ((*lonely, *crowd), (*crowd, *lonely), (*crowd[::2], *lonely, *crowd[1::2]))
    ]
    assert len({directory.digest for directory in directories}) == 1
    assert len(directories[0]) == 10
    assert all(directories[0].newest_ad(ad.node_key) is not None for ad in lonely)


def test_the_overflow_order_follows_moves_and_removals() -> None:
    order = OverflowOrder()
    keys = [NodeKey(bytes([index]) * 32) for index in range(100)]
    for key in keys:
        order.place(key, b"a")
    first = order.last()
    order.place(first, b"b")
    assert order.last() != first
    for key in keys[:98]:
        order.remove(key)
        order.place(key, key)
        order.remove(key)
    order.remove(keys[0])
    assert len(order) == 2
    while len(order):
        order.remove(order.last())
    with pytest.raises(IndexError):
        order.last()


def test_committees_are_kept_until_what_counts_changes() -> None:
    directory = _directory(*(_old(index) for index in range(20)))
    committee = directory.committee(TAG, START, 5, NOW)
    directory.insert(signed_ad(3, NOW).encoded, NOW)
    assert directory.committee(TAG, START, 5, NOW + 7) is committee
    seated = committee.seat_keys[0]
    index = next(index for index in range(20) if _old(index).node_key == seated)
    gone = signed_ad(index, START - L, expires=START - L)
    directory.insert(gone.encoded, NOW)
    assert seated not in directory.committee(TAG, START, 5, NOW).seat_keys


def test_an_ad_of_the_same_second_as_the_last_one_counts_at_once() -> None:
    directory = _directory(*(signed_ad(index, START - L) for index in range(3)))
    assert len(_counted(directory)) == 3
    directory.insert(signed_ad(3, START - L).encoded, NOW)
    assert len(_counted(directory)) == 4


def test_the_digest_names_the_records() -> None:
    ads = [_old(index) for index in range(5)]
    one, other = _directory(*ads), _directory(*ads[::-1])
    assert one.digest == other.digest
    assert _directory(*ads[:4]).digest != one.digest
    again = _directory()
    for encoded in one.records():
        again.insert(encoded, NOW)
    assert again.digest == one.digest


def test_contacts_and_lists_show_the_newest_ads() -> None:
    old, new = signed_ad(0, NOW - 100), signed_ad(0, NOW, host="20.7.7.7")
    directory = _directory(old, new)
    contact = directory.contact(new.node_key)
    assert contact is not None
    assert contact.addresses == (Address("20.7.7.7", 9000),)
    assert directory.newest_ads() == (new.ad,)
    assert directory.contact(NodeKey(bytes(32))) is None
    assert directory.latest_obituary_dated(NodeKey(bytes(32))) is None


def test_an_own_ad_is_due_when_missing_old_changed_or_mourned() -> None:
    directory = _directory(*(_old(index) for index in range(1, 5)))
    own = OwnAd(seed_of(0), address=Address("20.0.0.1", 9000), certificate_hash=bytes(32))
    assert own.is_due(directory, NOW)
    first = own.issue(directory, NOW)
    directory.insert(first.encoded, NOW)
    assert (first.ad.issued, first.ad.expires) == (NOW, NOW + 86_400)
    assert not own.is_due(directory, NOW + 28_799)
    assert own.is_due(directory, NOW + 28_800)
    own.address = Address("20.0.0.2", 9000)
    assert own.is_due(directory, NOW)
    second = own.issue(directory, NOW)
    assert second.ad.issued == NOW + 1
    directory.insert(second.encoded, NOW)
    assert not own.is_due(directory, NOW)
    testimonies = tuple(sign_testimony(seed_of(index), own.node_key, NOW + 20) for index in (1, 2, 3))
    directory.insert(compose_obituary(own.node_key, testimonies).encoded, NOW + 20)
    assert own.is_due(directory, NOW + 20)
    third = own.issue(directory, NOW + 20)
    directory.insert(third.encoded, NOW + 20)
    assert third.ad.issued == NOW + 21
    assert not own.is_due(directory, NOW + 21)
    directory.insert(own.withdraw(directory, NOW + 22).encoded, NOW + 22)
    assert own.is_due(directory, NOW + 22)


def test_the_seed_of_an_own_ad_does_not_show() -> None:
    own = OwnAd(seed_of(0), address=Address("20.0.0.1", 9000), certificate_hash=bytes(32))
    assert seed_of(0).hex() not in repr(own)
    assert repr(seed_of(0)) not in repr(own)
