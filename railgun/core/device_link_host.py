"""The other end of a link: the device that holds the root signs for a new one, once its person has compared codes.

Owns: which new device a link is bound to, the grant, the proofs with which it is let into rooms. Must not know: rooms'
machines (see `own_devices`), where the root is kept. Spec: docs/spec/devices.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from railgun.core.device_link import (
    DeviceConsented,
    LinkCodeShown,
    LinkEnd,
    code_of,
    hello_hash,
    mac_content,
    request_of,
)
from railgun.core.device_link_new import hello_content
from railgun.core.room_port import RoomOutcome
from railgun.core.roster_entries import check_join_proof, prekey_is_genuine, sign_as_invite
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import DeviceIdentity, RootIdentity, issue_certificate
from railgun.crypto.signing import SEED_BYTES, verify
from railgun.errors import PeerError, RefusalCode, UsageError
from railgun.limits import DEVICE_LINK_SECONDS, ROOMS_MAX
from railgun.network import NetworkParameters
from railgun.ports import Sas, Sessions
from railgun.types import DeviceKey, RoomId
from railgun.wire.certificates import CERTIFICATES
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
from railgun.wire.roster import JoinProof, JoinRequest
from railgun.wire.sealed import AnswerChunk, context


class HostLink(LinkEnd):
    """Implements `railgun.core.room_port.Room` for the device that links another."""

    def __init__(
        self, link: DeviceLink, root: RootIdentity, network: NetworkParameters, sessions: Sessions, *, now: float
    ) -> None:
        super().__init__(link, network, now)
        self._root = root
        self._sessions = sessions
        self._hello: LinkHello | None = None
        self._sas: Sas | None = None
        self._consented = False
        self._turned_away: set[bytes] = set()
        self._chunks: list[LinkRoom] = []

    # --- what the person does ------------------------------------------------------------------

    def confirm(self, rooms: Sequence[RoomId], expires: int, now: float, wall: float) -> RoomOutcome:
        """The person says that both show the same code: sign for the new device, and name the rooms that it gets,
        first the one of the person's devices.

        ``expires``: the certificate's, in Unix seconds.

        Raises:
            UsageError: there is no code yet, or too many rooms.
        """
        hello = self._hello
        if hello is None or self._established is None:
            raise UsageError("there is no code to compare yet")
        if len(rooms) > ROOMS_MAX:
            raise UsageError(f"at most {ROOMS_MAX} rooms can be handed over")
        record = hello.record
        # Its secrets stay where they are: what is signed names public keys alone.
        device = DeviceIdentity(record.device, record.prekey, hello.account_key, b"", b"")
        # A bundle counts if it is not older than the certificate.
        certificate = issue_certificate(self._root, device, min(int(wall), record.issued), expires)
        self._grant = Grant(CERTIFICATES.encode(certificate), tuple(rooms))
        info = context(GRANT_LABEL, self._hash)
        sealed = self._sessions.hpke_seal(record.prekey, info, GRANTS.encode(self._grant))
        return self._say((LinkGrant(self._hash, sealed, self._mac(GRANT_LABEL, sealed)),), now)

    def turn_away(self, now: float) -> RoomOutcome:
        """The person says that the codes differ: whoever that was gets nothing, and another may ask."""
        self._turned_away.add(self._hash)
        self._hello = self._sas = self._key = self._established = self._grant = None
        self._hash = b""
        return self._say((), now)

    def hand_over(self, room: RoomId, chunks: Sequence[AnswerChunk], now: float) -> RoomOutcome:
        """The answer of a room that the new device was let into (see `DeviceConsented`)."""
        if self._grant is None or room not in self._grant.rooms or self._ended is not None:
            return RoomOutcome()
        index = self._grant.rooms.index(room)
        fresh = [LinkRoom(self._hash, index, chunk) for chunk in chunks]
        self._chunks += fresh
        outcome = self._say(fresh, now)
        self._again = tuple(self._chunks)
        return outcome

    # --- what the new device says --------------------------------------------------------------

    def _heard(self, body: LinkBody, now: float, wall: float) -> RoomOutcome:
        match body:
            case LinkHello() if self._hello is None:
                return self._bind(body, now, wall)
            case LinkReveal() if body.hello == self._hash and self._established is None:
                return self._reveal(body)
            case LinkConsent() if body.hello == self._hash and not self._consented:
                return self._take_consent(body, now)
            case LinkDone() if body.hello == self._hash and self._grant is not None:
                return self._take_done(body, self._grant.rooms, now)
            case _:
                return RoomOutcome()

    def _take_done(self, body: LinkDone, rooms: Sequence[RoomId], now: float) -> RoomOutcome:
        """Say that it was heard, each time that it is said: the answer may get lost as well."""
        self._check_mac(DONE_LABEL, mac_content(list(body.missing)), body.mac)
        if self._ended is None:
            missing = tuple(rooms[index] for index in body.missing if index < len(rooms))
            self._again = ()
            self._end(self._device, missing, now)
        mac = self._mac(CLOSED_LABEL, mac_content(list(body.missing)))
        return RoomOutcome(requests=[request_of(LinkClosed(self._hash, mac), self._hash)])

    @property
    def _device(self) -> DeviceKey | None:
        return None if self._hello is None else self._hello.record.device

    def _bind(self, hello: LinkHello, now: float, wall: float) -> RoomOutcome:
        name = hello_hash(LINK_BODIES.encode(hello))
        device = hello.record.device
        genuine = prekey_is_genuine(hello.record) and verify(device, HELLO_LABEL, hello_content(hello), hello.signature)
        if name in self._turned_away or not genuine or abs(wall - hello.time) > DEVICE_LINK_SECONDS:
            raise PeerError(RefusalCode.BAD_SIGNATURE, "hello", penalty_points=0)
        self._hello, self._hash, self._sas = hello, name, self._sessions.sas_new()
        self._key = LinkKey(name, self._root.root_key, self._sas.public_key)
        return self._say((self._key,), now)

    def _reveal(self, body: LinkReveal) -> RoomOutcome:
        if self._hello is None or self._sas is None or self._key is None:
            return RoomOutcome()
        # It had to choose its key before it saw ours: so nobody between the two can try keys until codes agree.
        if keyed_hash(None, COMMITMENT_LABEL, body.sas_key) != self._hello.commitment:
            raise PeerError(RefusalCode.BAD_PROOF, "another key than committed to")
        self._established = self._sas.establish(body.sas_key)
        code = code_of(self._established, self._hash, self._key, body.sas_key)
        self._again = ()
        return RoomOutcome(notifications=[LinkCodeShown(self.room_id, code, self._hello.name)])

    def _take_consent(self, body: LinkConsent, now: float) -> RoomOutcome:
        hello, grant = self._hello, self._grant
        if hello is None or grant is None:
            return RoomOutcome()
        self._check_mac(CONSENT_LABEL, mac_content(body.time, list(body.signatures)), body.mac)
        if len(body.signatures) != len(grant.rooms):
            raise PeerError(RefusalCode.BAD_PROOF, "a consent for other rooms")
        proofs = []
        seed = self._root.signing_key[:SEED_BYTES]
        for room, by_device in zip(grant.rooms, body.signatures, strict=True):
            request = JoinRequest(room, hello.record.device, grant.certificate, bytes(self._root.root_key), body.time)
            proof = JoinProof(request.invite_key, body.time, by_device, sign_as_invite(seed, request))
            check_join_proof(room, request.device, request.certificate, proof)
            proofs.append((room, proof))
        self._consented = True
        told = DeviceConsented(self.room_id, grant.certificate, hello.record, tuple(proofs))
        outcome = self._say((), now)
        outcome.notifications.append(told)
        return outcome

    def _give_up(self) -> tuple[DeviceKey | None, tuple[RoomId, ...]]:
        if not self._consented or self._grant is None:
            return None, ()
        return self._device, self._grant.rooms
