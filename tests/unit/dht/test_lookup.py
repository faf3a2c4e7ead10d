"""One lookup's decisions: disjoint paths, whose word counts, when it is certain."""

from __future__ import annotations

from dataclasses import replace

from railgun.dht.contacts import Contact
from railgun.dht.lookup import Lookup, LookupRules
from railgun.types import Address, NodeKey
from tests.unit.dht.support import address_of, record_of

OWN = b"\xff" * 20
RULES = LookupRules()
RECORD = record_of()
TARGET = RECORD.key
NEWER = record_of(version=2)


def contacts_of(numbers: range) -> list[Contact]:
    """Contacts, nearest to the target first."""
    made = [Contact(NodeKey(number.to_bytes(32, "big")), address_of(number)) for number in numbers]
    return sorted(made, key=lambda contact: contact.long_id ^ int.from_bytes(TARGET, "big"))


def lookup_of(seeds: list[Contact], *, wants_records: bool = True, rules: LookupRules = RULES) -> Lookup:
    return Lookup(TARGET, OWN, seeds, wants_records=wants_records, rules=rules)


def test_three_are_asked_on_each_of_three_paths() -> None:
    lookup = lookup_of(contacts_of(range(24)))
    asked = lookup.to_ask()
    assert len(asked) == 9
    assert len({contact.id for contact in asked}) == 9
    assert lookup.to_ask() == []


def test_late_answers_make_room_for_others_and_still_count() -> None:
    lookup = lookup_of(contacts_of(range(24)))
    asked = lookup.to_ask()
    lookup.late(asked[0])
    assert len(lookup.to_ask()) == 1
    lookup.answered(asked[0], [], [RECORD])
    assert lookup.holders == 1
    assert lookup.to_ask() == []


def test_nobody_is_asked_twice_by_whatever_path() -> None:
    everyone = contacts_of(range(60))
    lookup = lookup_of(everyone[40:])
    asked: list[Contact] = []
    while not lookup.is_done:
        batch = lookup.to_ask()
        assert batch
        asked.extend(batch)
        for contact in batch:
            lookup.answered(contact, everyone[:16], [])
    assert len({contact.id for contact in asked}) == len(asked)
    assert lookup.nearest() == everyone[:16]
    assert lookup.hops == 2


def test_it_is_certain_when_holders_of_all_paths_agree_on_nothing_newer() -> None:
    lookup = lookup_of(contacts_of(range(24)))
    asked = lookup.to_ask()
    first_path = asked[:3]
    for contact in first_path:
        lookup.answered(contact, [], [RECORD])
    for contact in asked[3:6]:
        lookup.answered(contact, [], [RECORD])
    assert (lookup.holders, lookup.is_done) == (6, False)  # the third path has said nothing yet
    lookup.answered(asked[6], [], [NEWER])
    assert (lookup.is_certain, lookup.is_done) == (True, True)
    assert lookup.records == {0: NEWER}
    assert lookup.hops == 1


def test_holders_far_from_the_key_do_not_count() -> None:
    everyone = contacts_of(range(24))
    reach = everyone[3].long_id ^ int.from_bytes(TARGET, "big")
    lookup = lookup_of(everyone, rules=replace(RULES, holder_distance=reach))
    for contact in lookup.to_ask():
        lookup.answered(contact, [], [RECORD])
    assert lookup.holders == 4


def test_holders_of_one_network_count_once() -> None:
    crowd = [Contact(NodeKey(bytes([number]) * 32), Address(f"20.1.1.{number}", 9)) for number in range(1, 20)]
    lookup = lookup_of(crowd)
    for contact in lookup.to_ask():
        lookup.answered(contact, [], [RECORD])
    assert lookup.holders == 1


def test_two_of_a_network_known_from_hearsay_are_asked_and_no_more() -> None:
    victim = [Contact(NodeKey(bytes([number]) * 32), Address(f"20.1.1.{number}", 9)) for number in range(1, 17)]
    for most, expected in ((2, 2), (None, 16)):
        lookup = lookup_of(contacts_of(range(1)), rules=replace(RULES, hearsay_per_prefix=most, alpha=16, replicas=32))
        lookup.answered(lookup.to_ask()[0], victim, [])
        assert len(lookup.to_ask()) == expected


def test_who_names_contacts_that_do_not_answer_loses_its_say() -> None:
    liar, honest = contacts_of(range(2))
    fakes = contacts_of(range(100, 116))
    good = contacts_of(range(200, 216))
    lookup = lookup_of([liar, honest], rules=replace(RULES, paths=1))
    lookup.to_ask()
    lookup.answered(liar, fakes, [])
    first = lookup.to_ask()
    for contact in first[:2]:
        lookup.late(contact)
    lookup.answered(honest, good, [])
    rest = lookup.to_ask()
    assert rest
    assert not {contact.id for contact in rest} & {contact.id for contact in fakes}


def test_an_answer_that_came_late_restores_a_say() -> None:
    (teller,) = contacts_of(range(1))
    named = contacts_of(range(100, 116))
    lookup = lookup_of([teller], rules=replace(RULES, paths=1))
    lookup.to_ask()
    lookup.answered(teller, named, [])
    first = lookup.to_ask()
    for contact in first:
        lookup.late(contact)
    assert lookup.to_ask() == []
    lookup.answered(first[0], [], [])
    lookup.answered(first[1], [], [])
    assert len(lookup.to_ask()) == 3


def test_an_invented_address_of_a_known_id_does_not_hide_the_true_one() -> None:
    (teller,) = contacts_of(range(1))
    true = contacts_of(range(50, 51))[0]
    false = Contact(true.node_key, address_of(99))
    lookup = lookup_of([teller], rules=replace(RULES, paths=1))
    lookup.to_ask()
    lookup.answered(teller, [false, true], [])
    assert {contact.raw for contact in lookup.to_ask()} == {true.raw, false.raw}


def test_nothing_to_ask_is_the_end() -> None:
    lookup = lookup_of([])
    assert lookup.is_done
    assert lookup.hops == 0
    assert lookup.nearest() == []


def test_all_are_late_and_it_waits_for_them() -> None:
    lookup = lookup_of(contacts_of(range(4)))
    asked = lookup.to_ask()
    for contact in asked:
        lookup.late(contact)
    assert not lookup.is_done
    for contact in asked:
        lookup.failed(contact)
    assert lookup.is_done


def test_reports_on_strangers_and_repeated_ones_change_nothing() -> None:
    lookup = lookup_of(contacts_of(range(4)))
    stranger = contacts_of(range(300, 301))[0]
    lookup.answered(stranger, contacts_of(range(400, 410)), [NEWER])
    asked = lookup.to_ask()
    lookup.answered(asked[0], [], [RECORD])
    lookup.answered(asked[0], [], [NEWER])
    lookup.failed(asked[0])
    lookup.late(stranger)
    assert lookup.records == {0: RECORD}
    assert lookup.holders == 1


def test_a_node_does_not_ask_itself() -> None:
    (own,) = contacts_of(range(1))
    lookup = Lookup(TARGET, own.id, [own], wants_records=False, rules=RULES)
    assert lookup.to_ask() == []
