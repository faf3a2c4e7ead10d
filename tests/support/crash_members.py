"""The people of `crash_scenario`: their steps, their disks, their lives, their applications.

Owns: what outlives a crash and what does not. Must not know: the story, what is judged.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from railgun.core.assembly import build_client
from railgun.core.effects import Effect
from railgun.core.events import ClockRead, Event
from railgun.core.room import MemberRoom
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.network import NetworkKind, NetworkParameters
from railgun.ports import EncryptedMegolm, EncryptedOlm, Store
from railgun.runtime.member_store import StoredMessages, load_reputation, load_rooms, load_seen
from railgun.runtime.room_mail import MessageReader, RoomMail
from railgun.sim.archives import DiskArchive
from railgun.sim.faults import Fault
from railgun.storage.sqlite_store import SqliteStore
from railgun.types import SizeClass
from railgun.wire.file_content import UnitRange
from railgun.wire.roster import Cover
from tests.support.joining_world import Person
from tests.support.plain_rooms import SeededEntropy

if TYPE_CHECKING:
    from tests.support.crash_scenario import CrashRun

NETWORK = NetworkParameters(name="crashes", kind=NetworkKind.LAN, epoch_seconds=10, overlap_seconds=2)
RELAYS = 3
DOWN_SECONDS = 0.4
AGAIN_SECONDS = 0.5
LIMIT_SECONDS = 90.0
"""By then everything is through, or something is stuck."""
FILE_NAME, FILE_BYTES = "picture.png", 30_000
UNITS_A_PIECE = 5
STORE_KEY = bytes(32)
INVITE_SECONDS = 86_400
SOON_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """What ``who`` wants from ``at`` (virtual second) on, until it is sure that it is done."""

    at: float
    who: str
    what: str
    number: int = 0
    size: SizeClass | None = None
    text_bytes: int = 0
    whom: str = ""


@dataclass(frozen=True, slots=True)
class Absence:
    """``who`` is not there from ``at`` to ``until`` (virtual seconds; None: does not come back)."""

    who: str
    at: float
    until: float | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """``members`` are in the room once all have come; of these ``removed`` are out at the end."""

    name: str
    members: tuple[str, ...]
    steps: tuple[Step, ...]
    subjects: tuple[str, ...]
    faults: tuple[Fault, ...] = ()
    seed: int = 1
    network: NetworkParameters = NETWORK
    cover: Cover = Cover.OFF
    away: tuple[Absence, ...] = ()

    @property
    def ends_at(self) -> float:
        """Virtual second from which on nothing begins any more."""
        return max([*(step.at for step in self.steps), *(absence.until or 0.0 for absence in self.away)])

    @property
    def removed(self) -> frozenset[str]:
        return frozenset(step.whom for step in self.steps if step.what == "remove")


class RecordingSessions(DeterministicSessions):
    """From which state of a ratchet each ciphertext was made, and what was put under HPKE."""

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self.state_of: dict[bytes, bytes] = {}
        self.wrapped: dict[bytes, bytes] = {}

    def megolm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedMegolm:
        made = super().megolm_encrypt(pickle, pickle_key, plaintext)
        self.state_of[made.message] = pickle
        return made

    def olm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedOlm:
        made = super().olm_encrypt(pickle, pickle_key, plaintext)
        self.state_of[made.message] = pickle
        return made

    def hpke_seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        sealed = super().hpke_seal(public_key, info, plaintext)
        self.wrapped[sealed] = plaintext
        return sealed


class Disk:
    """A subject's SQLite file, and what a killed process leaves of it."""

    def __init__(self, directory: Path, entropy: SeededEntropy) -> None:
        self._directory = directory
        self._entropy = entropy
        self._lives = 0
        self.store = self._open(directory / "0.sqlite")

    def _open(self, path: Path) -> SqliteStore:
        return SqliteStore(path, STORE_KEY, self._entropy)

    def killed(self) -> None:
        """Go on with what is in the files at this moment: nothing is closed, nothing written back."""
        self._lives += 1
        before, after = self._directory / f"{self._lives - 1}.sqlite", self._directory / f"{self._lives}.sqlite"
        for end in ("", "-wal"):
            source = Path(f"{before}{end}")
            if source.exists():
                shutil.copyfile(source, f"{after}{end}")
                Path(f"{after}{end}").chmod(0o600)
        self.store.close()
        self.store = self._open(after)

    def close(self) -> None:
        self.store.close()


class Life:
    """One life of a member's machine: what `railgun.runtime` makes of a profile."""

    def __init__(self, run: CrashRun, person: Person, store: Store) -> None:
        self._run = run
        self._store = store
        archive = (
            StoredMessages(store.message_log)
            if isinstance(store, SqliteStore)
            else DiskArchive(lambda: run.world.nodes[person.name].persisted)
        )
        self.tools = replace(person.tools, archive=archive)
        self._certificate = person.certificate
        dice = random.Random(f"{run.scenario.seed} {person.name} {len(run.lives[person.name])}")
        self.client = build_client(
            network=run.scenario.network,
            bootstrap=run.contacts[:2],
            entropy=person.tools.entropy,
            chooser=dice,
            reputation=load_reputation(store),
            seen=load_seen(store),
        )
        self._is_fresh = True

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        effects = self.client.handle(event, now)
        if self._is_fresh and type(event) is ClockRead:
            self._is_fresh = False
            effects = [*effects, *self._rooms_of_the_disk(now)]
        return effects

    def _rooms_of_the_disk(self, now: float) -> list[Effect]:
        loaded = load_rooms(self._store, self.tools, self._certificate, now)
        if loaded.damaged:
            self._run.violations.append(f"a room's rows are damaged: {loaded.damaged}")
        effects: list[Effect] = []
        for joining in loaded.joining:
            effects += self.client.add_room(joining, now)
        for member in loaded.members:
            effects += self.client.add_room(member, now)
            effects += self.client.apply(member, member.resume(self.client.wall(now)), now)
        return effects

    @property
    def turn_work(self) -> object:
        return self.client.turn_work

    @property
    def room(self) -> MemberRoom | None:
        return next((room for room in self.client.rooms.values() if isinstance(room, MemberRoom)), None)


@dataclass
class App:
    """A member's application. What it is sure of, it has written down somewhere: it outlives its own crashes."""

    run: CrashRun
    name: str
    wants: dict[int, Step] = field(default_factory=dict)
    """What it began and is not sure of."""
    taken: Counter[str] = field(default_factory=Counter)
    """What its stream gave it, and it has asked for the next one after."""
    shown: Counter[str] = field(default_factory=Counter)
    # Of this life alone:
    reader: MessageReader | None = None
    mail: RoomMail | None = None
    last_shown: list[str] = field(default_factory=list)
    parts: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    owes: dict[int, set[bytes]] = field(default_factory=dict)
    piece: tuple[bytes, UnitRange] | None = None

    def died(self) -> None:
        self.reader = self.mail = self.piece = None
        self.last_shown, self.parts, self.owes = [], {}, {}

    @property
    def life(self) -> Life | None:
        return self.run.world.nodes[self.name].machine  # type: ignore[return-value]
