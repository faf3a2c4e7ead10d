"""A room's roster: the union of its authors' chains, and what it says.

Owns: which entries and prekeys are held, waited for or refused, their bounds, what is kept. Must not know: how entries
travel, clocks (the day is passed in), secrets. Spec: docs/spec/rooms.md.

`insert` judges an entry alone and files it; `state` resolves what is filed, alike for every peer that holds the same.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from railgun.core.persistence import Write
from railgun.core.room_refusals import ForgedBundle, RosterRefusals
from railgun.core.roster_entries import (
    DeviceBundle,
    StoredEntry,
    open_entry,
    prekey_is_genuine,
    sign_entry,
)
from railgun.core.roster_state import Resolved, RosterState, resolve, settings_on
from railgun.crypto.hashing import keyed_hash
from railgun.errors import CryptoError, MalformedInput, NotMember, PeerError, UsageError
from railgun.limits import (
    ROOM_DEVICES_MAX,
    ROSTER_ENTRIES_MAX,
    ROSTER_ENTRIES_PER_AUTHOR_MAX,
    ROSTER_FORKS_PER_NUMBER_MAX,
    ROSTER_PENDING_MAX,
)
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import (
    NO_HASH,
    PREKEYS,
    AddEntry,
    CreateEntry,
    InviteEntry,
    LaterEntry,
    LeaveEntry,
    NameEntry,
    PrekeyRecord,
    Removal,
    RemoveEntry,
    RevokeEntry,
)

TABLE = "roster_entries"
_ENTRY_KEY = b"e"
_PREKEY_KEY = b"k"


class InsertOutcome(enum.Enum):
    """What became of an entry. ``ADDED`` says that it is filed, not that it counts."""

    ADDED = "added"
    PENDING = "pending"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class InsertResult:
    """``added`` are the entries filed now, in order: the one given and those that had waited for it."""

    outcome: InsertOutcome
    detail: str = ""
    added: tuple[StoredEntry, ...] = ()
    forked: bool = False
    writes: tuple[Write, ...] = ()


class Roster:
    """The entries of one room."""

    def __init__(self, room: RoomId) -> None:
        self.room = room
        self._creation: StoredEntry | None = None
        self._tree: dict[DeviceKey, dict[int, dict[bytes, StoredEntry]]] = {}
        self._by_hash: dict[bytes, StoredEntry] = {}
        self._counts: dict[DeviceKey, int] = {}
        self._pending: OrderedDict[bytes, StoredEntry] = OrderedDict()
        self._prekeys: dict[DeviceKey, PrekeyRecord] = {}
        self._resolved: Resolved | None = None
        self._admins_seen: frozenset[DeviceKey] = frozenset()
        self.refused = RosterRefusals()

    @staticmethod
    def load(room: RoomId, rows: Iterable[tuple[bytes, bytes]]) -> Roster:
        """Rebuild from the (key, value) rows of table ``roster_entries`` whose keys start with the room's id.

        Raises:
            PeerError: a row is damaged.
        """
        roster = Roster(room)
        entries = []
        for key, value in sorted(rows):
            if key[32:33] == _PREKEY_KEY:
                record = PREKEYS.decode(value)
                roster._prekeys[record.device] = record
            else:
                entries.append(open_entry(value))
        for stored in entries:
            if stored.hash == room:
                roster._file(stored)
        for stored in entries:
            roster._insert_opened(stored)
        return roster

    # --- taking in -----------------------------------------------------------------------------

    def insert(self, data: bytes) -> InsertResult:
        """File one signed entry, from anyone.

        Raises:
            MalformedInput, PeerError, CryptoError: not an entry, or a signature is wrong.
        """
        try:
            result = self._insert_opened(open_entry(data))
        except (PeerError, CryptoError):
            self.refused.entries += 1
            raise
        self.refused.entries += result.outcome is InsertOutcome.REFUSED
        return result

    def insert_all(self, entries: Iterable[bytes]) -> tuple[InsertResult, ...]:
        """File many; raises as `insert`, with those before the bad one filed."""
        return tuple(self.insert(data) for data in entries)

    def _insert_opened(self, stored: StoredEntry) -> InsertResult:
        if stored.room != self.room:
            return InsertResult(InsertOutcome.REFUSED, "another room's entry")
        if stored.hash in self._by_hash or stored.hash in self._pending:
            return InsertResult(InsertOutcome.DUPLICATE)
        refusal = self._refusal(stored)
        if refusal:
            return InsertResult(InsertOutcome.REFUSED, refusal)
        if not self._knows_author(stored):
            writes = self._wait(stored)
            return InsertResult(InsertOutcome.PENDING, "its author's add is not here yet", writes=writes)
        forked, writes = self._file(stored)
        added = [stored]
        for waiting in self._released():
            if not self._refusal(waiting):
                also_forked, more = self._file(waiting)
                forked = forked or also_forked
                writes += more
                added.append(waiting)
            else:
                writes += (self._forgotten(waiting),)
        return InsertResult(InsertOutcome.ADDED, added=tuple(added), forked=forked, writes=writes)

    def _knows_author(self, stored: StoredEntry) -> bool:
        if isinstance(stored.entry, CreateEntry):
            return True
        return self._creation is not None and (stored.author == self._creation.author or stored.author in self._tree)

    def _refusal(self, stored: StoredEntry) -> str:
        """Why there is no place for an entry, or nothing."""
        if self._counts.get(stored.author, 0) >= ROSTER_ENTRIES_PER_AUTHOR_MAX:
            return "its author has written too much"
        if len(self._by_hash) >= ROSTER_ENTRIES_MAX:
            return "the roster is full"
        # Half is kept for admins: a member who floods the roster must not keep its own removal out.
        if len(self._by_hash) >= ROSTER_ENTRIES_MAX // 2 and not self._was_admin(stored.author):
            return "the roster is full but for admins"
        variants = self._tree.get(stored.author, {}).get(stored.number, {})
        forked_enough = len(variants) >= ROSTER_FORKS_PER_NUMBER_MAX and stored.hash > max(variants)
        if forked_enough and stored.hash not in self._pinned_hashes(stored.author):
            return "its author has forked too often here"
        return ""

    def _was_admin(self, author: DeviceKey) -> bool:
        """Whether ``author`` was an admin when last looked; looks again only where it was not."""
        if author not in self._admins_seen and self._creation is not None:
            self._admins_seen = frozenset(self._resolve().standing.admins)
        return author in self._admins_seen

    def _file(self, stored: StoredEntry) -> tuple[bool, tuple[Write, ...]]:
        """Put an entry in its place; whether it forks its chain, and what to persist."""
        writes = [Write(TABLE, self._entry_key(stored.hash), stored.data)]
        if isinstance(stored.entry, CreateEntry):
            self._creation = stored
            self._by_hash[stored.hash] = stored
            self._resolved = None
            return False, tuple(writes)
        variants = self._tree.setdefault(stored.author, {}).setdefault(stored.number, {})
        variants[stored.hash] = stored
        self._by_hash[stored.hash] = stored
        self._counts[stored.author] = self._counts.get(stored.author, 0) + 1
        if isinstance(stored.entry, AddEntry):
            self._tree.setdefault(stored.entry.device, {})
        if len(variants) > ROSTER_FORKS_PER_NUMBER_MAX:
            writes += self._drop_variant(stored.author, variants)
        self._resolved = None
        return len(variants) > 1, tuple(writes)

    def _drop_variant(self, author: DeviceKey, variants: dict[bytes, StoredEntry]) -> list[Write]:
        pinned = self._pinned_hashes(author)
        spare = [digest for digest in sorted(variants) if digest not in pinned]
        if len(spare) <= ROSTER_FORKS_PER_NUMBER_MAX:
            return []
        dropped = variants.pop(spare[-1])
        del self._by_hash[dropped.hash]
        self._counts[author] -= 1
        return [self._forgotten(dropped)]

    def _pinned_hashes(self, author: DeviceKey) -> set[bytes]:
        """Entries of ``author`` that some removal names as its last, and those before them."""
        found: set[bytes] = set()
        for stored in self._by_hash.values():
            if not isinstance(stored.entry, (RemoveEntry, RevokeEntry)):
                continue
            for target in stored.entry.targets:
                digest = target.last_hash
                while target.device == author and digest != self.room and digest not in found:
                    found.add(digest)
                    before = self._by_hash.get(digest)
                    digest = self.room if before is None else before.entry.previous
        return found

    def _wait(self, stored: StoredEntry) -> tuple[Write, ...]:
        self._pending[stored.hash] = stored
        writes = [Write(TABLE, self._entry_key(stored.hash), stored.data)]
        if len(self._pending) > ROSTER_PENDING_MAX:
            _, dropped = self._pending.popitem(last=False)
            writes.append(self._forgotten(dropped))
        return tuple(writes)

    def _released(self) -> Iterable[StoredEntry]:
        """Pending entries whose authors are known now, one after another as they become so."""
        while True:
            ready = next((stored for stored in self._pending.values() if self._knows_author(stored)), None)
            if ready is None:
                return
            del self._pending[ready.hash]
            yield ready

    def _forgotten(self, stored: StoredEntry) -> Write:
        return Write(TABLE, self._entry_key(stored.hash), None)

    def _entry_key(self, digest: bytes) -> bytes:
        return self.room + _ENTRY_KEY + digest

    # --- prekeys -------------------------------------------------------------------------------

    def insert_prekey(self, record: PrekeyRecord) -> tuple[Write, ...]:
        """Take a device's newer prekey; no writes where it is not newer, or the device not one that was added.

        Raises:
            PeerError: BAD_SIGNATURE.
        """
        held = self._prekeys.get(record.device)
        if held is not None and _rank(record) <= _rank(held):
            return ()
        if self._creation is None or (record.device != self._creation.author and record.device not in self._tree):
            return ()
        full = held is None and len(self._prekeys) >= ROOM_DEVICES_MAX
        if full and self._resolve().state.member(record.device) is None:
            return ()
        if not prekey_is_genuine(record):
            self.refused.bundles += 1
            raise ForgedBundle
        self._prekeys[record.device] = record
        return (Write(TABLE, self.room + _PREKEY_KEY + record.device, PREKEYS.encode(record)),)

    def prekey(self, device: DeviceKey) -> bytes | None:
        """The X-Wing public key, 1,216 bytes, to seal under for a member: its newest record's or its certificate's."""
        member = self._resolve().state.member(device)
        if member is None:
            return None
        record, certificate = self._prekeys.get(device), member.certificate
        return certificate.prekey if record is None or record.issued < certificate.issued else record.prekey

    def last_prekey(self, device: DeviceKey) -> bytes | None:
        """The same for a device that is out as well: what its newest record names, or else its certificate."""
        certificates = [
            stored.certificate
            for stored in self._by_hash.values()
            if stored.certificate is not None and stored.certificate.device_key == device
        ]
        if not certificates:
            return None
        newest = max(certificates, key=lambda certificate: (certificate.issued, certificate.prekey))
        record = self._prekeys.get(device)
        return newest.prekey if record is None or record.issued < newest.issued else record.prekey

    def prekey_record(self, device: DeviceKey) -> PrekeyRecord | None:
        """The newest record of ``device``; None where only its certificate names a prekey."""
        return self._prekeys.get(device)

    def bundle(self, device: DeviceKey) -> DeviceBundle | None:
        """What to start a pairwise session with a member from; None where its record has not come."""
        member, record = self._resolve().state.member(device), self._prekeys.get(device)
        if member is None or record is None or record.issued < member.certificate.issued:
            return None
        return DeviceBundle(member.certificate.account_key, record.fallback, record.prekey, record.issued)

    # --- reading -------------------------------------------------------------------------------

    @property
    def is_known(self) -> bool:
        """Whether the creation entry is here."""
        return self._creation is not None

    @property
    def pending_count(self) -> int:
        return len(self._pending)

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, digest: object) -> bool:
        return digest in self._by_hash

    def state(self, wall_day: int) -> RosterState:
        """What the roster says on a UTC day (days since 1970).

        Raises:
            UsageError: the creation entry has not arrived.
        """
        state = self._resolve().state
        settings = settings_on(state.schedule, wall_day)
        return state if settings == state.settings else dataclasses.replace(state, settings=settings)

    def _resolve(self) -> Resolved:
        if self._creation is None:
            raise UsageError("the room's first entry has not arrived yet")
        if self._resolved is None:
            self._resolved = resolve(self.room, self._creation, self._tree)
        return self._resolved

    def added_at(self, device: DeviceKey) -> int | None:
        """Unix second at which a device was let in, as the entry says that did so; None where none does."""
        times = [
            stored.entry.time
            for stored in self._by_hash.values()
            if (isinstance(stored.entry, AddEntry) and stored.entry.device == device and self.counts(stored.hash))
            or (isinstance(stored.entry, CreateEntry) and stored.author == device)
        ]
        return min(times, default=None)

    def counts(self, digest: bytes) -> bool:
        """Whether the entry with this hash is held and counts."""
        stored = self._by_hash.get(digest)
        if stored is None or isinstance(stored.entry, CreateEntry):
            return stored is not None
        return self._resolve().standing.chains.holds(stored)

    def chain(self, author: DeviceKey) -> tuple[StoredEntry, ...]:
        """An author's entries that count, from number 1 on."""
        return self._resolve().standing.chains.of(author)

    def authors(self) -> tuple[DeviceKey, ...]:
        """All devices that may have written entries, ascending."""
        creator = () if self._creation is None else (self._creation.author,)
        return tuple(sorted({*creator, *self._tree}))

    def admins_ever(self) -> tuple[DeviceKey, ...]:
        """Devices that were validly made admins, in or out, ascending."""
        return tuple(sorted(self._resolve().standing.admins))

    def digest(self) -> bytes:
        """32 bytes that two peers have alike only if they hold the same entries."""
        return keyed_hash(None, "railgun/roster-digest/v1", b"".join(sorted(self._by_hash)))

    def export(self) -> tuple[bytes, ...]:
        """All entries, the creation first and each author after its add, so that a newcomer files them in one go."""
        return tuple(stored.data for stored in self.entries())

    def entries(self) -> tuple[StoredEntry, ...]:
        """The same, opened."""
        if self._creation is None:
            return ()
        out = [self._creation]
        seen, unread = {self._creation.author}, [self._creation.author]
        while unread:
            author = unread.pop(0)
            for number in sorted(self._tree.get(author, {})):
                for digest in sorted(self._tree[author][number]):
                    stored = self._tree[author][number][digest]
                    out.append(stored)
                    if isinstance(stored.entry, AddEntry) and stored.entry.device not in seen:
                        seen.add(stored.entry.device)
                        unread.append(stored.entry.device)
        return tuple(out)

    def export_prekeys(self) -> tuple[PrekeyRecord, ...]:
        """The newest prekey of each member, by device key."""
        devices = self._resolve().state.devices
        return tuple(self._prekeys[device] for device in devices if device in self._prekeys)

    # --- writing -------------------------------------------------------------------------------

    def lacks_before(self, stored: StoredEntry) -> bool:
        """Whether entries of the same author from before it are missing: until they are here it does not count."""
        numbers = self._tree.get(stored.author, {})
        return sum(1 for number in numbers if 0 < number < stored.number) < stored.number - 1

    def next_place(self, author: DeviceKey) -> tuple[int, bytes]:
        """Number and previous hash of the next entry of ``author``.

        Raises:
            NotMember: the author is not in, or no longer.
        """
        resolved = self._resolve()
        if resolved.state.member(author) is None:
            raise NotMember("this device is not a member of the room")
        chain = resolved.standing.chains.of(author)
        return (len(chain) + 1, chain[-1].hash if chain else self.room)

    def removal_of(self, device: DeviceKey) -> Removal:
        """What a removal of ``device`` made now names."""
        chain = self._resolve().standing.chains.of(device)
        return Removal(device, len(chain), chain[-1].hash if chain else NO_HASH)

    def append(self, seed: bytes, entry: LaterEntry) -> InsertResult:
        """Sign an entry of our own, made with `next_place`, and file it.

        Raises:
            NotMember: the author may not write this: not in, or not an admin where it takes one.
            UsageError: the entry does not continue the chain.
        """
        if (entry.number, entry.previous) != self.next_place(entry.author):
            raise UsageError("the entry does not continue its author's chain")
        self._check_right(entry)
        result = self._insert_opened(sign_entry(seed, entry))
        if result.outcome is not InsertOutcome.ADDED:
            raise UsageError(f"the roster takes no more: {result.detail}")
        return result

    def _check_right(self, entry: LaterEntry) -> None:
        state = self.state(entry.time // 86_400)
        if isinstance(entry, (LeaveEntry, NameEntry)) or entry.author in state.admins:
            return
        if isinstance(entry, InviteEntry) and not state.settings.closed:
            return
        if isinstance(entry, AddEntry) and not (state.settings.closed or entry.admin or entry.request is None):
            return
        if isinstance(entry, AddEntry) and not entry.admin and self._is_own(entry):
            return
        if isinstance(entry, RevokeEntry):
            own = next(member.root for member in state.members if member.device == entry.author)
            if all(target.device in state.devices_of(own) for target in entry.targets):
                return
        raise NotMember("only an admin of the room may do this")

    def _is_own(self, entry: AddEntry) -> bool:
        """Whether the author lets in another device of its own person."""
        member = self._resolve().state.member(entry.author)
        return member is not None and entry.request is not None and entry.request.invite_key == member.root


def _rank(record: PrekeyRecord) -> tuple[int, bytes, bytes]:
    return record.issued, record.prekey, record.fallback


def create_roster(seed: bytes, creation: CreateEntry) -> tuple[Roster, tuple[Write, ...]]:
    """A new room's roster; its `room` is the hash of ``creation``, signed with the creator's seed (32 bytes)."""
    stored = sign_entry(seed, creation)
    roster = Roster(RoomId(stored.hash))
    return roster, roster.insert(stored.data).writes


__all__ = ["InsertOutcome", "InsertResult", "MalformedInput", "Roster", "RosterState", "create_roster"]
