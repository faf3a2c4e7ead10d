"""What shows a device that it is out: the entry that says so, and those that this one rests on.

Owns: which entries those are. Must not know: who asks, how they travel. Spec: docs/spec/rooms.md, "Who is out".

A device that is out may not have the roster as it has become since. What it is shown ends with the entry that put it
out: of its author's chain nothing later, of others only what let that author in.
"""

from __future__ import annotations

from collections.abc import Iterable

from railgun.core.roster import Roster
from railgun.core.roster_entries import StoredEntry
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import AddEntry, InviteEntry, LeaveEntry, RemoveEntry, RevokeEntry


def removal_proof(roster: Roster, device: DeviceKey) -> tuple[bytes, ...]:
    """Signed entries by which alone ``device`` is out, in an order in which each can be filed; none where it is not."""
    if device not in roster.state(0).out:
        return ()
    for decisive in sorted(_endings(roster, device), key=lambda stored: (stored.entry.time, stored.hash)):
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
    """Entries that count and say that ``device`` is out."""
    found = []
    for author in roster.authors():
        for stored in roster.chain(author):
            entry = stored.entry
            names = isinstance(entry, (RemoveEntry, RevokeEntry)) and any(
                target.device == device for target in entry.targets
            )
            if names or (isinstance(entry, LeaveEntry) and author == device):
                found.append(stored)
    return found


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
