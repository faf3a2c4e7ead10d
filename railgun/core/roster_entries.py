"""One roster entry: its hash, its signatures, and what can be judged of it alone.

Owns: signing and opening entries, join requests and prekey records. Must not know: other entries.
Spec: docs/spec/rooms.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import verify_certificate
from railgun.crypto.signing import sign, verify
from railgun.errors import MalformedInput, PeerError, RefusalCode
from railgun.types import DeviceKey, RoomId
from railgun.wire import cbor
from railgun.wire.certificates import DeviceCertificate
from railgun.wire.roster import (
    ENTRIES,
    JOIN_REQUESTS,
    SIGNED_ENTRIES,
    AddEntry,
    CreateEntry,
    Entry,
    GenerationEntry,
    JoinProof,
    JoinRequest,
    NamedGeneration,
    PrekeyRecord,
    RemoveEntry,
    SignedEntry,
    join_request_body,
)

ROSTER_LABEL: Final = "railgun/roster/v1"
ENTRY_HASH_LABEL: Final = "railgun/roster-entry/v1"
JOIN_LABEL: Final = "railgun/join/v1"
INVITE_USE_LABEL: Final = "railgun/invite-use/v1"
PREKEY_LABEL: Final = "railgun/prekey/v1"
FORGED_PENALTY_POINTS: Final = 10


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry whose own signatures are right. ``data`` is the signed entry as it travels; ``hash`` 32 bytes.

    ``certificate`` is the device's that a creation or an add lets in.
    """

    entry: Entry
    hash: bytes
    data: bytes = field(repr=False)
    certificate: DeviceCertificate | None = None

    @property
    def author(self) -> DeviceKey:
        return self.entry.author

    @property
    def number(self) -> int:
        return self.entry.number

    @property
    def room(self) -> RoomId:
        """The room that the entry belongs to; of a creation entry, its own hash."""
        return RoomId(self.hash) if isinstance(self.entry, CreateEntry) else self.entry.room

    @property
    def generation(self) -> NamedGeneration | None:
        """The generation that the entry names, if it names one."""
        if isinstance(self.entry, (CreateEntry, RemoveEntry, GenerationEntry)):
            return self.entry.generation
        return None


@dataclass(frozen=True, slots=True)
class DeviceBundle:
    """What a pairwise session with a device starts from: the identity key of its account, as its certificate names it,
    and its newest record's fallback key, X-Wing prekey (1,216 bytes) and time of issue (Unix seconds)."""

    account_key: bytes
    fallback: bytes
    prekey: bytes
    issued: int


def entry_hash(body: bytes) -> bytes:
    """Names an entry, 32 bytes: of its body alone, so that a second signature makes no second entry."""
    return keyed_hash(None, ENTRY_HASH_LABEL, body)


def sign_entry(seed: bytes, entry: Entry) -> StoredEntry:
    """Sign with the author device's seed (32 bytes).

    Raises:
        ValueError: a field does not fit.
        PeerError: the result is not what `open_entry` takes (a wrong seed, say).
    """
    body = ENTRIES.encode(entry)
    return open_entry(SIGNED_ENTRIES.encode(SignedEntry(body, sign(seed, ROSTER_LABEL, body))))


def open_entry(data: bytes) -> StoredEntry:
    """Decode an entry and check all of its signatures.

    Raises:
        MalformedInput: not an entry.
        PeerError: BAD_SIGNATURE.
    """
    signed = SIGNED_ENTRIES.decode(data)
    entry = ENTRIES.decode(signed.body)
    if not verify(entry.author, ROSTER_LABEL, signed.body, signed.signature):
        raise PeerError(RefusalCode.BAD_SIGNATURE, "roster entry", FORGED_PENALTY_POINTS)
    certificate: DeviceCertificate | None = None
    if isinstance(entry, (CreateEntry, AddEntry)):
        certificate = verify_certificate(entry.certificate)
        if certificate.device_key != (entry.author if isinstance(entry, CreateEntry) else entry.device):
            raise MalformedInput("the certificate is another device's")
    if isinstance(entry, AddEntry) and entry.request is not None:
        check_join_proof(entry.room, entry.device, entry.certificate, entry.request)
    return StoredEntry(entry, entry_hash(signed.body), data, certificate)


def sign_join_request(device_seed: bytes, invite_key_seed: bytes, request: JoinRequest) -> JoinProof:
    """Sign a join request as the device and with the invite's key (seeds of 32 bytes)."""
    by_device, by_invite = sign_as_joiner(device_seed, request), sign_as_invite(invite_key_seed, request)
    return JoinProof(request.invite_key, request.time, by_device, by_invite)


def sign_as_joiner(device_seed: bytes, request: JoinRequest) -> bytes:
    """The device's half of a join proof, 64 bytes."""
    return sign(device_seed, JOIN_LABEL, JOIN_REQUESTS.encode(request))


def sign_as_invite(seed: bytes, request: JoinRequest) -> bytes:
    """The other half, 64 bytes: by the invite's key, or by the root of the person whose device it is."""
    return sign(seed, INVITE_USE_LABEL, JOIN_REQUESTS.encode(request))


def check_join_proof(room: RoomId, device: DeviceKey, certificate: bytes, proof: JoinProof) -> None:
    """Check both signatures. Raises PeerError with BAD_SIGNATURE."""
    body = join_request_body(room, device, certificate, proof)
    by_device = verify(device, JOIN_LABEL, body, proof.device_signature)
    if not by_device or not verify(proof.invite_key, INVITE_USE_LABEL, body, proof.invite_signature):
        raise PeerError(RefusalCode.BAD_SIGNATURE, "join request", FORGED_PENALTY_POINTS)


def sign_prekey(device_seed: bytes, device: DeviceKey, issued: int, prekey: bytes, fallback: bytes) -> PrekeyRecord:
    """Sign a device's bundle: X-Wing prekey (1,216 bytes) and fallback key (32), issued at Unix second ``issued``."""
    signature = sign(device_seed, PREKEY_LABEL, _prekey_content(issued, prekey, fallback))
    return PrekeyRecord(device, issued, prekey, fallback, signature)


def prekey_is_genuine(record: PrekeyRecord) -> bool:
    """Whether the device that the record names signed it."""
    content = _prekey_content(record.issued, record.prekey, record.fallback)
    return verify(record.device, PREKEY_LABEL, content, record.signature)


def _prekey_content(issued: int, prekey: bytes, fallback: bytes) -> bytes:
    return cbor.encode([issued, prekey, fallback])
