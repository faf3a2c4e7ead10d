"""Whose device is whose in a roster: devices that their own person let in, and out.

Owns: what proves two devices to be one person's, which revocations stand. Must not know: admins' quarrels, invites.
Spec: docs/spec/rooms.md, "A person's devices".

All of it is a function of the set of entries: no step looks at when an entry arrived.

A root's certificate says "this device is mine", and it takes the device's own signature to agree: else anyone could
make a certificate for anyone's device, and act as its person.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from railgun.core.roster_entries import StoredEntry
from railgun.core.roster_removals import Chains, Pin, Standing, Tree
from railgun.types import DeviceKey, RootKey
from railgun.wire.roster import AddEntry, RevokeEntry

OWN_DEVICES_PER_AUTHOR_MAX: Final = 16
"""Devices that one device lets in for its person; they let in none themselves."""


def own_root(stored: StoredEntry) -> RootKey | None:
    """The root that vouches for an add in place of an invite: its join proof names the root's key as the invite's."""
    entry = stored.entry
    if not isinstance(entry, AddEntry) or entry.request is None or stored.certificate is None:
        return None
    root = stored.certificate.root_key
    return root if bytes(entry.request.invite_key) == bytes(root) else None


class Persons:
    """Certificates and consents of a whole roster, whether the entries that carry them count or not."""

    def __init__(self, creation: StoredEntry, tree: Tree) -> None:
        self._certified: dict[DeviceKey, set[RootKey]] = {}
        self._agreed: dict[DeviceKey, set[RootKey]] = {}
        self.linked: set[DeviceKey] = set()
        """Devices that their own person let in."""
        self._read(creation, creation.author, agreed=True)
        for by_number in tree.values():
            for variants in by_number.values():
                for stored in variants.values():
                    if isinstance(stored.entry, AddEntry):
                        self._read(stored, stored.entry.device, agreed=stored.entry.request is not None)
                        if own_root(stored) is not None:
                            self.linked.add(stored.entry.device)

    def _read(self, stored: StoredEntry, device: DeviceKey, *, agreed: bool) -> None:
        if stored.certificate is not None:
            self._certified.setdefault(device, set()).add(stored.certificate.root_key)
            if agreed:
                self._agreed.setdefault(device, set()).add(stored.certificate.root_key)

    def may_revoke(self, author: DeviceKey, target: DeviceKey) -> bool:
        """Whether a root to which ``target`` agreed says that ``author`` is its device as well."""
        return author != target and not self._agreed.get(target, set()).isdisjoint(self._certified.get(author, set()))


def with_revocations(standing: Standing, creation: StoredEntry, tree: Tree) -> Standing:
    """What is settled once people's own revocations are, too. They never touch admins, so none of what admins did."""
    authors = [author for author in sorted(tree) if _revocations(standing.chains, author)]
    if not authors:
        return standing
    persons = Persons(creation, tree)
    # Who was there before its person's other devices were wins; then the smaller key.
    authors.sort(key=lambda author: (author in persons.linked, author))
    pins = dict(standing.pins)
    stood: dict[DeviceKey, StoredEntry] = {}
    revoked: set[DeviceKey] = set()
    for author in authors:
        for target, (pin, stored) in _revocations(Chains(creation.room, tree, pins), author).items():
            if target in standing.pins or target in standing.admins or not persons.may_revoke(author, target):
                continue
            held = pins.get(target)
            trial = {**pins, target: pin if held is None else min(held, pin)}
            if target in stood and not Chains(creation.room, tree, trial).holds(stood[target]):
                continue  # it would void what a stronger device of the person did by then
            pins = trial
            revoked.add(target)
            stood[author] = max(stood.get(author, stored), stored, key=lambda entry: entry.number)
    chains = Chains(creation.room, tree, pins)
    return dataclasses.replace(standing, pins=pins, chains=chains, revoked=frozenset(revoked))


def _revocations(chains: Chains, author: DeviceKey) -> dict[DeviceKey, tuple[Pin, StoredEntry]]:
    """By target, ascending, the shortest pin that a counted revocation of ``author`` names, and that entry."""
    found: dict[DeviceKey, tuple[Pin, StoredEntry]] = {}
    for stored in chains.of(author):
        if isinstance(stored.entry, RevokeEntry):
            for target in stored.entry.targets:
                pin = Pin(target.last_number, target.last_hash)
                held = found.get(target.device)
                if held is None or pin < held[0]:
                    found[target.device] = (pin, stored)
    return {device: found[device] for device in sorted(found)}
