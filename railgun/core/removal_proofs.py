"""What shows a device that it is out: the entry that says so, and those that this one rests on.

Owns: which entries those are. Must not know: who asks, how they travel. Spec: docs/spec/rooms.md, "Who is out".

A device that is out may not have the roster as it has become since. What it is shown ends with the entry that put it
out: of its author's chain nothing later, of others only what let that author in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from railgun.core.roster import Roster
from railgun.core.roster_entries import StoredEntry
from railgun.core.roster_persons import Persons
from railgun.limits import REMOVAL_PROOF_TRIALS_MAX, REMOVAL_PROOFS_KEPT_MAX
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import AddEntry, InviteEntry, LeaveEntry, RemoveEntry, RevokeEntry


class RemovalProofs:
    """Proofs made for one room, kept while its roster stays: a device that is out asks as often as it likes, and each
    costs a roster that is built and checked anew."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[bytes, DeviceKey], tuple[bytes, ...]] = OrderedDict()

    def of(self, roster: Roster, device: DeviceKey) -> tuple[bytes, ...]:
        """See `removal_proof`."""
        key = (roster.digest(), device)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = removal_proof(roster, device)
            if len(self._made) > REMOVAL_PROOFS_KEPT_MAX:
                self._made.popitem(last=False)
        return made


def removal_proof(roster: Roster, device: DeviceKey) -> tuple[bytes, ...]:
    """Signed entries by which alone ``device`` is out, in an order in which each can be filed; none where it is not, or
    where none of the first REMOVAL_PROOF_TRIALS_MAX entries that may have put it out does so alone."""
    if device not in roster.state(0).out:
        return ()
    endings = sorted(_endings(roster, device), key=lambda stored: (stored.entry.time, stored.hash))
    for decisive in endings[:REMOVAL_PROOF_TRIALS_MAX]:
        needed = _resting_on(roster, decisive, device)
        proof = tuple(stored.data for stored in roster.entries() if stored.hash in needed)
        if is_proof(roster.room, proof, device):
            return proof
    return ()


def is_proof(room: RoomId, entries: Iterable[bytes], device: DeviceKey) -> bool:
    """Whether these entries, on their own, put ``device`` out of this room.

    Raises:
        MalformedInput, PeerError, CryptoError: one of them is no entry, or a signature is wrong.
    """
    trial = Roster(room)
    trial.insert_all(entries)
    return trial.is_known and device in trial.state(0).out


def _endings(roster: Roster, device: DeviceKey) -> list[StoredEntry]:
    """Entries that count and may have put ``device`` out, at most one an author: times are what authors claim, and who
    is out, or somebody else, may have filed any number that never stood."""
    admins, revokers = set(roster.admins_ever()), _revokers(roster, device)
    found = []
    for author in roster.authors():
        for stored in roster.chain(author):
            if _may_end(stored, device, admins, revokers):
                found.append(stored)
                break
    return found


def _may_end(stored: StoredEntry, device: DeviceKey, admins: set[DeviceKey], revokers: set[DeviceKey]) -> bool:
    entry = stored.entry
    if isinstance(entry, LeaveEntry):
        return stored.author == device
    if isinstance(entry, RemoveEntry):
        may = stored.author in admins and stored.author != device
    else:
        may = isinstance(entry, RevokeEntry) and stored.author in revokers
    return may and isinstance(entry, (RemoveEntry, RevokeEntry)) and any(t.device == device for t in entry.targets)


def _revokers(roster: Roster, device: DeviceKey) -> set[DeviceKey]:
    """Devices that are of the same person as ``device``, if one of those put it out."""
    if device not in roster.state(0).revoked:
        return set()
    creation, *later = roster.entries()
    tree: dict[DeviceKey, dict[int, dict[bytes, StoredEntry]]] = {}
    for stored in later:
        tree.setdefault(stored.author, {}).setdefault(stored.number, {})[stored.hash] = stored
    persons = Persons(creation, tree)
    return {author for author in roster.authors() if persons.may_revoke(author, device)}


def _resting_on(roster: Roster, decisive: StoredEntry, device: DeviceKey) -> set[bytes]:
    """Hashes: ``decisive``, what its author said before, what let that author in, and so on to the creation entry; of a
    revocation also what let ``device`` in, whose consent it takes."""
    up_to: dict[DeviceKey, int] = {}
    unread = [(decisive.author, decisive.number)]
    if isinstance(decisive.entry, RevokeEntry):
        unread.append((device, 0))
    while unread:
        author, number = unread.pop()
        if number <= up_to.get(author, -1):
            continue
        is_new = author not in up_to
        up_to[author] = number
        if is_new:
            unread += [(stored.author, stored.number) for stored in _grants(roster, author)]
    return {roster.room} | {stored.hash for author, number in up_to.items() for stored in roster.chain(author)[:number]}


def _grants(roster: Roster, device: DeviceKey) -> list[StoredEntry]:
    """The add that let ``device`` in, an admin's before others' and then the earliest, and the invite that it names."""
    admins = set(roster.admins_ever())
    counted = [stored for author in roster.authors() for stored in roster.chain(author)]
    adds = [stored for stored in counted if isinstance(stored.entry, AddEntry) and stored.entry.device == device]

    def rank(stored: StoredEntry) -> tuple[bool, bool, int, bytes]:
        makes_admin = isinstance(stored.entry, AddEntry) and stored.entry.admin
        by_admin = stored.author in admins
        return (not (makes_admin and by_admin), not by_admin, stored.entry.time, stored.hash)

    if not adds:
        return []
    best = min(adds, key=rank)
    if best.author in admins or not isinstance(best.entry, AddEntry) or best.entry.request is None:
        return [best]
    key = best.entry.request.invite_key
    named = [stored for stored in counted if isinstance(stored.entry, InviteEntry) and stored.entry.invite_key == key]
    return [best, *sorted(named, key=lambda stored: (stored.author not in admins, stored.entry.time, stored.hash))[:1]]
