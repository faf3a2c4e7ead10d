"""A person's own devices in a room: let in without an invite, revoked without an admin.

Owns: which entries do that, and what the new device is handed. Must not know: how the two devices met, tags, links.
Spec: docs/spec/rooms.md, "A person's devices".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from railgun.core.answers import Answerer, answer_chunks
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.identity import verify_certificate
from railgun.errors import NotMember, UsageError
from railgun.types import DeviceKey
from railgun.wire.roster import AddEntry, JoinProof, LaterEntry, PrekeyRecord, RevokeEntry
from railgun.wire.sealed import SEALED_BODIES, AnswerChunk


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What letting a device in takes: ``outcome`` is the room's own, ``chunks`` are the answer for the device."""

    outcome: RoomOutcome
    chunks: tuple[AnswerChunk, ...]


def admit_device(
    room: MemberRoom, certificate: bytes, proof: JoinProof, record: PrekeyRecord, keys: EpochKeys, wall: float
) -> HandedOver:
    """Let another device of this person in, and make the answer that it reads as a joiner would.

    ``proof`` names the root's key in place of an invite's, and is signed by the device and the root. ``keys`` are those
    of the tag over which both devices talk.

    Raises:
        NotMember: this device is out, or the other one another person's.
        UsageError: there are no keys to give yet, or the roster is too large.
        PeerError, CryptoError, MalformedInput: certificate, proof or record are wrong.
    """
    state, me = room.state(wall), room.tools.me
    own, device = state.member(me.device), verify_certificate(certificate)
    if own is None or own.root != device.root_key:
        raise NotMember("a device lets in devices of its own person alone")
    outcome = RoomOutcome()
    if state.member(device.device_key) is None:

        def entry(number: int, previous: bytes) -> LaterEntry:
            where = (room.room_id, me.device, number, previous, int(wall))
            return AddEntry(*where, device.device_key, certificate, own.is_admin, proof)

        outcome = room.file(entry, wall, (record,))
    else:
        outcome.writes += room.roster.insert_prekey(record)
    secrets = room.generations.day_secrets(room.state(wall), room.epoch_start(wall))
    prekey = room.roster.prekey(device.device_key)
    if prekey is None:
        raise UsageError("this device is out of the room for good")
    answerer = Answerer(me, room.tools.sessions, room.tools.entropy)
    requests = answer_chunks(answerer, device.device_key, prekey, room.roster, secrets, keys, wall)
    bodies = [SEALED_BODIES.decode(request.body) for request in requests]
    return HandedOver(outcome, tuple(body for body in bodies if isinstance(body, AnswerChunk)))


def revoke_devices(room: MemberRoom, devices: Sequence[DeviceKey], wall: float) -> RoomOutcome:
    """Put other devices of this person out for good.

    An admin's revocation is a removal, with a new generation at once; of others' it is the next admin who makes one.
    Either way each member's next message is under a session that the devices do not get.

    Raises:
        NotMember: this device is out, or one of them is another person's, or an admin's while this one is not.
        UsageError: none is named, or this device itself (which leaves instead).
    """
    state, me = room.state(wall), room.tools.me
    own = state.member(me.device)
    if own is None:
        raise NotMember("this device is no longer a member of the room")
    if not devices or me.device in devices:
        raise UsageError("name other devices of yours")
    if any(device not in state.devices_of(own.root) for device in devices):
        raise NotMember("only a person's own devices can be revoked")
    if own.is_admin:
        return room.remove(devices, wall)
    if any(device in state.admins for device in devices):
        raise NotMember("an admin's device is revoked by another admin's, or removed by one")
    targets = tuple(room.roster.removal_of(device) for device in devices)

    def entry(number: int, previous: bytes) -> LaterEntry:
        return RevokeEntry(room.room_id, me.device, number, previous, int(wall), targets)

    return room.file(entry, wall)
