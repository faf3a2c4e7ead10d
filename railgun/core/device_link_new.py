"""The new device's end of a link: it asks, its person compares a code, and it is given a certificate and all rooms.

Owns: what the new device checks before it believes, what it keeps. Must not know: where the link came from, screens.
Spec: docs/spec/devices.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from railgun.core.answers import AnswerCollector
from railgun.core.device_link import (
    DeviceCertified,
    LinkCodeShown,
    LinkEnd,
    RoomLinked,
    code_of,
    hello_hash,
    mac_content,
)
from railgun.core.generations import Generations, OwnDevice, open_sealed
from railgun.core.persistence import Write
from railgun.core.room_port import RoomOutcome
from railgun.core.room_rows import RoomRow, RoomStatus, room_write
from railgun.core.roster_entries import sign_as_joiner
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import certificate_holds_at, verify_certificate
from railgun.crypto.signing import sign
from railgun.errors import CryptoError, PeerError, RefusalCode, UsageError
from railgun.network import NetworkParameters
from railgun.ports import Sessions
from railgun.types import DeviceKey, RoomId
from railgun.wire.device_link import (
    CLOSED_LABEL,
    COMMITMENT_LABEL,
    CONSENT_LABEL,
    DONE_LABEL,
    GRANT_LABEL,
    GRANTS,
    HELLO_LABEL,
    LINK_BODIES,
    DeviceLink,
    Grant,
    LinkBody,
    LinkClosed,
    LinkConsent,
    LinkDone,
    LinkGrant,
    LinkHello,
    LinkKey,
    LinkReveal,
    LinkRoom,
)
from railgun.wire.roster import JoinRequest, PrekeyRecord
from railgun.wire.sealed import context


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What the new device is: its keys, its bundle, its account's identity key (32 bytes), how its person calls it."""

    me: OwnDevice
    record: PrekeyRecord
    account_key: bytes
    name: str


class NewDeviceLink(LinkEnd):
    """Implements `railgun.core.room_port.Room` for a device that is being linked."""

    def __init__(
        self,
        link: DeviceLink,
        device: NewDevice,
        network: NetworkParameters,
        sessions: Sessions,
        keep: Callable[[Grant], Sequence[Write]],
        *,
        now: float,
        wall: float,
    ) -> None:
        """``keep``: the rows that keep this device's certificate, and which room is the person's devices'."""
        super().__init__(link, network, now)
        self._device = device
        self._sessions = sessions
        self._keep = keep
        self._sas = sessions.sas_new()
        self._hello = self._make_hello(int(wall))
        self._hash = hello_hash(LINK_BODIES.encode(self._hello))
        self._confirmed = False
        self._missing: tuple[int, ...] = ()
        self._collectors: dict[int, AnswerCollector] = {}
        self._again = (self._hello,)

    def _make_hello(self, time: int) -> LinkHello:
        commitment = keyed_hash(None, COMMITMENT_LABEL, self._sas.public_key)
        fields = (self._device.record, self._device.account_key, commitment, time, self._device.name)
        content = hello_content(LinkHello(*fields, bytes(64)))
        return LinkHello(*fields, sign(self._device.me.seed, HELLO_LABEL, content))

    def confirm(self, now: float, wall: float) -> RoomOutcome:
        """The person says that both show the same code. Raises UsageError where there is none yet."""
        if self._established is None:
            raise UsageError("there is no code to compare yet")
        self._confirmed = True
        return self._consent(now, wall)

    def _heard(self, body: LinkBody, now: float, wall: float) -> RoomOutcome:
        match body:
            case LinkKey() if body.hello == self._hash and self._key is None:
                established = self._sas.establish(body.sas_key)
                self._key, self._established = body, established
                code = code_of(established, self._hash, body, self._sas.public_key)
                outcome = self._say((LinkReveal(self._hash, self._sas.public_key),), now)
                outcome.notifications.append(LinkCodeShown(self.room_id, code, ""))
                return outcome
            case LinkGrant() if body.hello == self._hash and self._grant is None:
                self._grant = self._open_grant(body, wall)
                return self._consent(now, wall)
            case LinkRoom() if body.hello == self._hash:
                return self._take_room(body, now, wall)
            case LinkClosed() if body.hello == self._hash and self._ended is not None:
                self._check_mac(CLOSED_LABEL, mac_content(list(self._missing)), body.mac)
                self._again = ()
                self._ended.tell_at = now
                return RoomOutcome()
            case _:
                return RoomOutcome()

    def _open_grant(self, body: LinkGrant, wall: float) -> Grant:
        key = self._key
        if key is None:
            raise PeerError(RefusalCode.BAD_PROOF, "a grant before there was a code", penalty_points=0)
        self._check_mac(GRANT_LABEL, body.sealed, body.mac)
        plaintext = open_sealed(self._device.me, context(GRANT_LABEL, self._hash), body.sealed, self._sessions)
        grant = GRANTS.decode(plaintext)
        certificate, record = verify_certificate(grant.certificate), self._device.record
        fits = (
            certificate.root_key == key.root_key
            and certificate.device_key == self._device.me.device
            and certificate.prekey == record.prekey
            and certificate.account_key == self._device.account_key
            and certificate_holds_at(certificate, wall)
        )
        if not fits or len(set(grant.rooms)) != len(grant.rooms):
            raise PeerError(RefusalCode.BAD_PROOF, "a certificate that is not for this device")
        return grant

    def _consent(self, now: float, wall: float) -> RoomOutcome:
        """Once both have come: the grant, and the person's word on this side."""
        grant, key = self._grant, self._key
        if grant is None or key is None or not self._confirmed or self._collectors:
            return RoomOutcome()
        self._collectors = {index: AnswerCollector(room, self._sessions) for index, room in enumerate(grant.rooms)}
        time, me = int(wall), self._device.me
        signatures = tuple(
            sign_as_joiner(me.seed, JoinRequest(room, me.device, grant.certificate, key.root_key, time))
            for room in grant.rooms
        )
        mac = self._mac(CONSENT_LABEL, mac_content(time, list(signatures)))
        outcome = RoomOutcome(list(self._keep(grant)))
        outcome.notifications.append(DeviceCertified(self.room_id, grant.certificate))
        outcome.add(self._say((LinkConsent(self._hash, time, signatures, mac),), now))
        if not grant.rooms:
            outcome.add(self._finish((), now))
        return outcome

    def _take_room(self, body: LinkRoom, now: float, wall: float) -> RoomOutcome:
        collector, grant = self._collectors.get(body.room), self._grant
        opened = None if collector is None else collector.add(body.chunk, self._device.me)
        if opened is None or grant is None:
            return RoomOutcome()
        author = opened.state.member(opened.author)
        if author is None or author.root != verify_certificate(grant.certificate).root_key:
            raise PeerError(RefusalCode.BAD_PROOF, "a room from somebody else")
        room = grant.rooms[body.room]
        generations = Generations(room)
        writes = generations.take_secrets(opened.secrets, opened.state, opened.author)
        if not writes:
            raise CryptoError
        del self._collectors[body.room]
        row = room_write(room, RoomRow(RoomStatus.MEMBER, int(wall), ""))
        outcome = RoomOutcome([*opened.writes, *writes, row], [], [RoomLinked(self.room_id, room)])
        if not self._collectors:
            outcome.add(self._finish((), now))
        return outcome

    def _finish(self, missing: Sequence[int], now: float) -> RoomOutcome:
        if self._grant is None:
            return RoomOutcome()
        self._missing = tuple(missing)
        self._end(self._device.me.device, tuple(self._grant.rooms[index] for index in missing), now)
        mac = self._mac(DONE_LABEL, mac_content(list(missing)))
        return self._say((LinkDone(self._hash, self._missing, mac),), now)

    def _give_up(self) -> tuple[DeviceKey | None, tuple[RoomId, ...]]:
        if self._grant is None or not self._confirmed:
            return None, ()
        return self._device.me.device, tuple(self._grant.rooms[index] for index in sorted(self._collectors))

    @property
    def waiting_for(self) -> tuple[RoomId, ...]:
        """Rooms of the grant that have not come yet."""
        return () if self._grant is None else tuple(self._grant.rooms[index] for index in sorted(self._collectors))


def hello_content(hello: LinkHello) -> bytes:
    """What the new device signs of its hello."""
    record = hello.record
    return mac_content(
        record.device, record.issued, record.signature, hello.account_key, hello.commitment, hello.time, hello.name
    )
