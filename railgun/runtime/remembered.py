"""The relays that a node remembers, to start from when it comes back.

Owns: their rows, how many, in which order. Must not know: who dials them, or whether they still live.

Spec: docs/spec/storage.md, contacts. A row is ``contact SPACE seen``: the contact as people paste it, and the Unix
second at which the relay was last linked, or else said to be there by its ad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from railgun.core.node_directory import NodeDirectory
from railgun.errors import RailGunError, StoreError
from railgun.limits import BOOTSTRAP_MAX
from railgun.ports import Store, Write
from railgun.runtime.logs import Log
from railgun.types import NodeKey, RelayContact
from railgun.wire.contacts import format_contact, parse_contact

REMEMBER_SECONDS: Final = 15.0
"""A crash forgets at most what was learnt in this time."""
SEEN_STEP_SECONDS: Final = 600
"""How exactly that is kept: nothing needs to be written for each minute that a link lasts."""
_SEEN_MAX: Final = 2**32 - 1

log = Log("remembered")


@dataclass(frozen=True, slots=True)
class RememberedRelay:
    """A relay, and the Unix second at which it was last seen."""

    contact: RelayContact
    seen: int


def load_remembered(store: Store) -> tuple[RememberedRelay, ...]:
    """Relays that were known when the process ended, seen last first; a damaged row is passed over."""
    found = []
    for _, value in store.load("contacts"):
        try:
            text, _, seen = value.decode("ascii").partition(" ")
            found.append(RememberedRelay(parse_contact(text), int(seen or 0)))
        except (RailGunError, ValueError):
            continue
    return tuple(sorted(found, key=lambda one: (-one.seen, one.contact.node_key)))


def start_from(bootstrap: Sequence[RelayContact], remembered: Sequence[RememberedRelay]) -> tuple[RelayContact, ...]:
    """Whom to dial first: those given, then those remembered; a relay once, as it was given."""
    by_key = {contact.node_key: contact for contact in bootstrap}
    for one in remembered:
        by_key.setdefault(one.contact.node_key, one.contact)
    return tuple(by_key.values())[:BOOTSTRAP_MAX]


def seen_relays(directory: NodeDirectory, own: NodeKey | None, wall: float) -> tuple[RememberedRelay, ...]:
    """The relays that a node knows now, seen last first; those that have taken their leave are left out."""
    found = []
    for ad in directory.directory.newest_ads():
        if ad.expires <= ad.issued or ad.node_key == own:
            continue
        linked = int(wall) // SEEN_STEP_SECONDS * SEEN_STEP_SECONDS
        seen = linked if directory.connector.is_linked(ad.node_key) else ad.issued
        found.append(RememberedRelay(ad.contact(), min(max(seen, 0), _SEEN_MAX)))
    return tuple(sorted(found, key=lambda one: (-one.seen, one.contact.node_key)))


def remember_writes(store: Store, known: Sequence[RememberedRelay]) -> list[Write]:
    """Replace what is remembered by at most BOOTSTRAP_MAX of these. Nothing known: everything stays as it is.

    Places that are left go to relays that were remembered before and may come back, seen last first.
    """
    if not known:
        return []
    by_key = {bytes(one.contact.node_key): one for one in known}
    before = {bytes(one.contact.node_key): one for one in load_remembered(store)}
    for key, one in by_key.items():
        if key in before and before[key].seen > one.seen:
            by_key[key] = RememberedRelay(one.contact, before[key].seen)
    for key, one in before.items():
        by_key.setdefault(key, one)
    kept = sorted(by_key.items(), key=lambda item: (-item[1].seen, item[0]))[:BOOTSTRAP_MAX]
    rows = {key: f"{format_contact(one.contact)} {one.seen}".encode("ascii") for key, one in kept}
    held = dict(store.load("contacts"))
    gone = [Write("contacts", key, None) for key in held if key not in rows]
    return gone + [Write("contacts", key, value) for key, value in rows.items() if held.get(key) != value]


class RelayMemory:
    """What a relay remembers. Without a store: nothing."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def start_from(self, bootstrap: Sequence[RelayContact]) -> tuple[RelayContact, ...]:
        """See `start_from`. Raises StoreError."""
        return start_from(bootstrap, load_remembered(self._store) if self._store is not None else ())

    def keep(self, directory: NodeDirectory, wall: float, own: NodeKey | None = None) -> None:
        """Remember whom ``directory`` knows now. A disk that refuses is told of: a relay can go on without."""
        if self._store is None:
            return
        try:
            writes = remember_writes(self._store, seen_relays(directory, own, wall))
            if writes:
                self._store.commit(writes, survives_power_loss=False)
        except StoreError as error:
            log.warning("the relays that are known cannot be remembered", reason=str(error))
