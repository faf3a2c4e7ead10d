"""Two devices of one person, before the new one is in any room: what both ends of a link share.

Owns: the tag over which they talk, the code that people compare, saying things again, the end of a link's life.
Must not know: which end it is: `device_link_new`, `device_link_host`. Spec: docs/spec/devices.md.

Each end implements `railgun.core.room_port.Room`: the client serves it as it serves a lobby.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from railgun.core.room_port import CoverPlan, RoomOutcome, SealRequest, TagPlan, TagPurpose
from railgun.crypto.epoch import EpochKeys, derive_lobby_keys, epoch_start
from railgun.crypto.hashing import keyed_hash
from railgun.errors import CryptoError, PeerError, RefusalCode
from railgun.limits import DEVICE_LINK_AGAIN_SECONDS, DEVICE_LINK_LINGER_SECONDS, DEVICE_LINK_SECONDS, LOBBY_COMMITTEE
from railgun.network import NetworkParameters
from railgun.ports import EstablishedSas
from railgun.types import DeviceKey, EnvelopeKind, RoomId
from railgun.wire import cbor
from railgun.wire.device_link import LINK_BODIES, DeviceLink, Grant, LinkBody, LinkKey
from railgun.wire.envelope import NO_HINT, Inner, smallest_class_for
from railgun.wire.roster import JoinProof, PrekeyRecord

TAG_LABEL: Final = "railgun/link/v1"
LOBBY_LABEL: Final = "railgun/link-lobby/v1"
HELLO_HASH_LABEL: Final = "railgun/link-hello-hash/v1"
CODE_INFO: Final = "railgun/link-code/v1"
LINK_GATE: Final = 0


@dataclass(frozen=True, slots=True)
class LinkCodeShown:
    """Both ends have a code now, three numbers: people compare them, and confirm on both or on neither."""

    room_id: RoomId
    code: tuple[int, int, int]
    name: str


@dataclass(frozen=True, slots=True)
class DeviceCertified:
    """To the new device: its person's root has signed for it. The certificate's row was committed before."""

    room_id: RoomId
    certificate: bytes


@dataclass(frozen=True, slots=True)
class DeviceConsented:
    """To the root's device: let the new one into these rooms (`own_devices.admit_device`), and hand it over."""

    room_id: RoomId
    certificate: bytes
    record: PrekeyRecord
    proofs: tuple[tuple[RoomId, JoinProof], ...]


@dataclass(frozen=True, slots=True)
class RoomLinked:
    """To the new device: it is in this room, whose rows are committed."""

    room_id: RoomId
    linked: RoomId


@dataclass(frozen=True, slots=True)
class LinkEnded:
    """The link's life is over. ``device``: the one that was linked, or None. ``missing``: rooms that did not come."""

    room_id: RoomId
    device: DeviceKey | None
    missing: tuple[RoomId, ...]


def link_room_id(link: DeviceLink) -> RoomId:
    """What stands for a room's id where epochs are worked out, 32 bytes. No room has it."""
    return RoomId(keyed_hash(link.seed, TAG_LABEL, b""))


def hello_hash(hello: bytes) -> bytes:
    """Names an encoded hello, 32 bytes: all that follows is about this one."""
    return keyed_hash(None, HELLO_HASH_LABEL, hello)


def code_of(sas: EstablishedSas, hello: bytes, key: LinkKey, revealed: bytes) -> tuple[int, int, int]:
    """The numbers that people compare: of the secret, and of all that was said before they had it."""
    said = keyed_hash(None, CODE_INFO, hello + key.root_key + key.sas_key + revealed)
    return sas.decimals(f"{CODE_INFO}|{said.hex()}")


def mac_info(label: str, hello: bytes) -> str:
    """The context of a MAC between the two ends."""
    return f"{label}|{hello.hex()}"


def mac_content(*parts: cbor.Value) -> bytes:
    """What a MAC covers."""
    return cbor.encode(list(parts))


@dataclass(slots=True)
class Ended:
    """How a link ended, and when to tell: at ``tell_at`` (monotonic seconds) at the latest."""

    device: DeviceKey | None
    missing: tuple[RoomId, ...]
    tell_at: float
    told: bool = field(default=False)


class LinkEnd(ABC):
    """What both ends do alike. ``again`` bodies are said every few seconds, until something else is to be said."""

    def __init__(self, link: DeviceLink, network: NetworkParameters, now: float) -> None:
        self.link = link
        self._network = network
        self._lobby_secret = keyed_hash(link.seed, LOBBY_LABEL, b"")
        self._again: tuple[LinkBody, ...] = ()
        self._say_at = now
        self._until = now + DEVICE_LINK_SECONDS
        self._ended: Ended | None = None
        self._hash = b""
        self._key: LinkKey | None = None
        self._established: EstablishedSas | None = None
        self._grant: Grant | None = None
        self.refused_count = 0
        """Bodies that were not what they had to be."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to say or to tell: who serves this end may take it away."""
        return self._ended is not None and self._ended.told and not self._again

    # --- the room's shape ----------------------------------------------------------------------

    @property
    def room_id(self) -> RoomId:
        return link_room_id(self.link)

    def keys(self, start: int) -> EpochKeys:
        """Keys of the link's tag in the epoch that starts at ``start``."""
        return derive_lobby_keys(self._lobby_secret, start)

    def tag_plans(self, start: int, wall: float) -> list[TagPlan]:
        """See `Room`."""
        return [TagPlan(self.keys(start), LOBBY_COMMITTEE, LINK_GATE, TagPurpose.LOBBY)]

    def sending_keys(self, wall: float) -> EpochKeys | None:
        """See `Room`."""
        return self.keys(epoch_start(wall, self.room_id, self._network.epoch_seconds))

    def cover_plan(self, wall: float) -> CoverPlan | None:
        """See `Room`: a link has none."""
        return None

    def served(self, keys: EpochKeys, now: float, wall: float) -> None:  # noqa: B027 - nothing follows at either end
        """See `Room`: nothing is asked for."""

    def receipts_grew(
        self, reference: bytes, receipts: int, of: int, *, majority: bool, complete: bool, now: float
    ) -> RoomOutcome:
        """See `Room`: only the end is told when it has arrived."""
        if majority and self._ended is not None:
            self._ended.tell_at = min(self._ended.tell_at, now)
        return RoomOutcome()

    def seal_again(self, reference: bytes, wall: float) -> RoomOutcome:
        """See `Room`: what matters is said again anyway."""
        return RoomOutcome()

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        """See `Room`."""
        if inner.kind is not EnvelopeKind.SEALED:
            return RoomOutcome()
        try:
            return self._heard(LINK_BODIES.decode(inner.body), now, wall)
        except (PeerError, CryptoError):
            self.refused_count += 1
            return RoomOutcome()

    @abstractmethod
    def _heard(self, body: LinkBody, now: float, wall: float) -> RoomOutcome:
        """A body of the other end, or of anyone who has read the link."""

    @abstractmethod
    def _give_up(self) -> tuple[DeviceKey | None, tuple[RoomId, ...]]:
        """The time is over: who was linked all the same, and which rooms have not come."""

    # --- saying and ending ---------------------------------------------------------------------

    def next_deadlines(self, now: float, wall: float) -> dict[str, float]:
        """See `Room`."""
        found: dict[str, float] = {}
        if self._again:
            found["link-say"] = self._say_at
        if self._ended is None or self._again:
            found["link-over"] = self._until
        if self._ended is not None and not self._ended.told:
            found["link-ended"] = max(now, self._ended.tell_at)
        return found

    def due(self, name: str, now: float, wall: float) -> RoomOutcome:
        """See `Room`."""
        if name == "link-say":
            return self._say(self._again, now)
        if name == "link-over" and now >= self._until:
            self._again = ()
            if self._ended is None:
                self._ended = Ended(*self._give_up(), now)
            self._ended.tell_at = now
        elif name == "link-ended" and self._ended is not None and not self._ended.told:
            self._ended.told = True
            ended = LinkEnded(self.room_id, self._ended.device, self._ended.missing)
            return RoomOutcome(notifications=[ended], plan_changed=True)
        return RoomOutcome()

    def _end(self, device: DeviceKey | None, missing: tuple[RoomId, ...], now: float) -> None:
        """All is done: what is to be said from now on is said for a while only."""
        self._until = now + DEVICE_LINK_LINGER_SECONDS
        self._ended = Ended(device, missing, self._until)

    def _mac(self, label: str, content: bytes) -> bytes:
        """Raises PeerError where there is no common secret yet."""
        return self._secret().mac(content, mac_info(label, self._hash))

    def _check_mac(self, label: str, content: bytes, mac: bytes) -> None:
        """Raises PeerError, CryptoError."""
        self._secret().check_mac(content, mac_info(label, self._hash), mac)

    def _secret(self) -> EstablishedSas:
        if self._established is None:
            raise PeerError(RefusalCode.BAD_PROOF, "said before there was a code", penalty_points=0)
        return self._established

    def _say(self, bodies: Sequence[LinkBody], now: float) -> RoomOutcome:
        """Say this, and again from now on."""
        self._again = tuple(bodies)
        # A large answer is not repeated as often as a word.
        self._say_at = now + DEVICE_LINK_AGAIN_SECONDS * (1 + len(bodies))
        return RoomOutcome(requests=[request_of(body) for body in bodies])


def request_of(body: LinkBody, reference: bytes | None = None) -> SealRequest:
    """An envelope for the other end. ``reference``: receipts are told under this name."""
    data = LINK_BODIES.encode(body)
    return SealRequest(EnvelopeKind.SEALED, NO_HINT, data, smallest_class_for(len(data)), reference)
