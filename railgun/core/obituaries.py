"""Telling a relay that died from one that is silent for a moment, and agreeing with others on it.

Owns: which relays this one suspects and tries again, its testimonies, those of others until they make an obituary.
Must not know: which obituaries count (that is the directory's), how records travel, sockets.

Spec: docs/spec/directory.md, obituaries. A dead relay is stood in for within seconds whatever this module does; an
obituary only keeps it from winning seats in epochs to come.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from railgun.core.agenda import Agenda
from railgun.core.connector import Connector
from railgun.core.directory import OBITUARY_TESTIMONIES_NEEDED, Directory
from railgun.core.effects import Effects
from railgun.core.own_ad import OwnAd
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.records import SignedObituary, check_signatures, compose_obituary
from railgun.limits import AD_FUTURE_MAX_SECONDS, OBITUARY_SUSPECTS_MAX
from railgun.network import NetworkParameters
from railgun.types import NodeKey, Tag
from railgun.wire.records import Ad, Obituary, Testimony, decode_record

DEADLINE: Final = ("obituary",)
WITNESS_LABEL: Final = "railgun/witness/v1"
WITNESSES: Final = 5
DIALS_UNANSWERED_MIN: Final = 2
LOOK_SECONDS: Final = 1.0
TESTIMONY_LIVES_SECONDS: Final = 120
"""Older words are not joined to new ones, and not passed on."""
TESTIFY_AGAIN_SECONDS: Final = 60.0
SUSPECTED_SECONDS_MAX: Final = 600.0
FOUND_ALIVE_SECONDS: Final = 60.0
"""Whom this relay has just reached it does not try again on others' word for so long."""
_DAY_SECONDS: Final = 86_400


def silence_seconds(network: NetworkParameters) -> float:
    """How long a relay must not be reached before this one testifies: a twentieth of the epoch, 10 to 30 s."""
    return min(30.0, max(10.0, network.epoch_seconds / 20))


@dataclass(slots=True)
class _Suspect:
    since: float
    was_asked: bool = False
    """On another's word: a witness looks for itself, and need not wait as long as who lost a link."""
    testified_at: float | None = None


@dataclass(slots=True)
class ObituaryOutcome:
    """What is to be pushed to the other relays (words that do not suffice yet), and what to keep and announce."""

    pass_on: list[SignedObituary] = field(default_factory=list)
    announce: list[SignedObituary] = field(default_factory=list)


class Obituaries:
    """One relay's part in finding out who is dead."""

    def __init__(self, directory: Directory, connector: Connector, agenda: Agenda, own_ad: OwnAd) -> None:
        self._directory = directory
        self._connector = connector
        self._agenda = agenda
        self._own_ad = own_ad
        self._suspects: OrderedDict[NodeKey, _Suspect] = OrderedDict()
        self._testimonies: OrderedDict[NodeKey, dict[NodeKey, Testimony]] = OrderedDict()
        self._found_alive: OrderedDict[NodeKey, float] = OrderedDict()

    @property
    def suspects(self) -> tuple[NodeKey, ...]:
        """The relays that are being tried again."""
        return tuple(self._suspects)

    def look(self, wall: float, now: float, out: Effects) -> None:
        """Suspect every relay that this one wants a link to, or had one, and does not get."""
        for peer in self._connector.failing():
            self._suspect(NodeKey(peer), wall, now, out, was_asked=False)

    def due(self, wall: float, now: float, out: Effects) -> ObituaryOutcome:
        """Once a second while anyone is suspected: testify on whom silence and failed dials speak against."""
        outcome = ObituaryOutcome()
        for node_key, suspect in list(self._suspects.items()):
            if not self._is_open(node_key, wall) or now >= suspect.since + SUSPECTED_SECONDS_MAX:
                self._drop(node_key)
            elif self._connector.is_linked(node_key):
                self._remember_alive(node_key, now)
                self._drop(node_key)
            elif self._may_testify(node_key, suspect, now):
                suspect.testified_at = now
                self._join(node_key, (self._own_ad.testify(node_key, int(wall)),), wall, outcome)
        if self._suspects:
            self._agenda.set_earlier(DEADLINE, now + LOOK_SECONDS)
        return outcome

    def received(self, encoded: bytes, wall: float, now: float, out: Effects) -> ObituaryOutcome:
        """Take the words of others, which do not make an obituary by themselves (or are no obituary: then nothing).

        Raises MalformedInput: not canonical, or a signature does not hold.
        """
        outcome = ObituaryOutcome()
        record = decode_record(encoded)
        if not isinstance(record, Obituary) or not self._is_open(record.node_key, wall):
            return outcome
        held = self._testimonies.get(record.node_key, {})
        fresh = tuple(word for word in record.testimonies if word.signer not in held and self._is_fresh(word, wall))
        if not fresh or self._directory.newest_ad(record.node_key) is None:
            return outcome
        check_signatures(record, encoded)
        if record.node_key == self._own_ad.node_key:
            return outcome  # we live; if three say otherwise, a new ad answers them
        self._join(record.node_key, fresh, wall, outcome)
        if self._is_witness(record.node_key, wall):
            self._suspect(record.node_key, wall, now, out, was_asked=True)
        return outcome

    # --- inside -------------------------------------------------------------------------------

    def _suspect(self, node_key: NodeKey, wall: float, now: float, out: Effects, *, was_asked: bool) -> None:
        if self._connector.is_linked(node_key) or not self._is_open(node_key, wall):
            return
        suspect = self._suspects.get(node_key)
        if suspect is not None:
            suspect.was_asked |= was_asked
            return
        contact = self._directory.contact(node_key)
        if contact is None or len(self._suspects) >= OBITUARY_SUSPECTS_MAX:
            return
        if was_asked and now < self._found_alive.get(node_key, -1e9) + FOUND_ALIVE_SECONDS:
            return
        if self._connector.want(DEADLINE, contact, now, out):
            self._suspects[node_key] = _Suspect(now, was_asked)
            self._agenda.set_earlier(DEADLINE, now + LOOK_SECONDS)

    def _drop(self, node_key: NodeKey) -> None:
        del self._suspects[node_key]
        self._connector.release(DEADLINE, node_key)

    def _remember_alive(self, node_key: NodeKey, now: float) -> None:
        self._found_alive.pop(node_key, None)
        self._found_alive[node_key] = now
        if len(self._found_alive) > OBITUARY_SUSPECTS_MAX:
            self._found_alive.popitem(last=False)

    def _may_testify(self, node_key: NodeKey, suspect: _Suspect, now: float) -> bool:
        if suspect.testified_at is not None and now < suspect.testified_at + TESTIFY_AGAIN_SECONDS:
            return False
        if not suspect.was_asked and now < suspect.since + silence_seconds(self._directory.network):
            return False
        # Who reaches nobody at all is more likely the one that is cut off.
        return self._connector.dials_unanswered(node_key) >= DIALS_UNANSWERED_MIN and bool(self._connector.relays)

    def _is_open(self, node_key: NodeKey, wall: float) -> bool:
        """Whether the node is taken for alive, and not by its own leave gone."""
        newest = self._directory.newest_ad(node_key)
        if newest is None or newest.expires <= wall or newest.issued > wall:
            return False
        dated = self._directory.latest_obituary_dated(node_key)
        return dated is None or dated < newest.issued

    def _is_fresh(self, testimony: Testimony, wall: float) -> bool:
        return self._directory.newest_ad(testimony.signer) is not None and _is_of_now(testimony, wall)

    def _is_witness(self, node_key: NodeKey, wall: float) -> bool:
        """Whether this relay is of the first five ranked for the node today: they look for themselves."""
        day = int(wall) // _DAY_SECONDS
        tag = Tag(keyed_hash(None, WITNESS_LABEL, node_key + day.to_bytes(4, "big")))
        ranking = self._directory.committee(tag, day * _DAY_SECONDS, WITNESSES, wall).ranking
        others = [ad.node_key for ad in ranking if ad.node_key != node_key]
        return self._own_ad.node_key in others[:WITNESSES]

    def _join(self, node_key: NodeKey, words: tuple[Testimony, ...], wall: float, outcome: ObituaryOutcome) -> None:
        newest = self._directory.newest_ad(node_key)
        held = self._testimonies.pop(node_key, {})
        held = {signer: word for signer, word in held.items() if self._speaks_of(word, newest, wall)}
        held |= {word.signer: word for word in words if self._speaks_of(word, newest, wall)}
        if not held:
            return
        newest_words = sorted(held.values(), key=lambda word: (-word.dated, word.signer))[:OBITUARY_TESTIMONIES_NEEDED]
        obituary = compose_obituary(node_key, tuple(newest_words))
        if self._directory.is_signed_enough(obituary.obituary):
            outcome.announce.append(obituary)
            return
        self._testimonies[node_key] = {word.signer: word for word in newest_words}
        if len(self._testimonies) > OBITUARY_SUSPECTS_MAX:
            self._testimonies.popitem(last=False)
        outcome.pass_on.append(obituary)

    @staticmethod
    def _speaks_of(testimony: Testimony, newest: Ad | None, wall: float) -> bool:
        """Whether the word is of now, and of the ad that stands."""
        return newest is not None and newest.issued <= testimony.dated and _is_of_now(testimony, wall)


def _is_of_now(testimony: Testimony, wall: float) -> bool:
    """Whether it still counts, and the directory takes it: where this relay's clock was set back since the word came,
    that word must not spoil the obituary that others' words make."""
    return wall - TESTIMONY_LIVES_SECONDS <= testimony.dated <= wall + AD_FUTURE_MAX_SECONDS
