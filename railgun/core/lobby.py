"""The lobby of an invite: how a stranger with a link becomes a member.

Owns: the joiner's posts and the answers that it collects; which member answers, when, and what. Must not know: epochs'
committees, how bodies travel. Spec: docs/spec/rooms.md, "Lobby".

Members take turns in an order that differs by joiner, so that normally one answers. If several do, the joiner takes the
first valid answer, and their adds of one device are one member.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from railgun.core.answers import AnswerCollector, Answerer, answer_chunks, fits_an_answer, removal_chunks
from railgun.core.generations import Generations, OwnDevice
from railgun.core.persistence import Write
from railgun.core.removal_proofs import RemovalProofs, is_proof
from railgun.core.room_port import SealRequest
from railgun.core.roster import Roster
from railgun.core.roster_entries import StoredEntry, check_join_proof, prekey_is_genuine, sign_join_request
from railgun.core.roster_state import InviteState, RosterState
from railgun.core.sealed_bodies import seal_request
from railgun.crypto.epoch import EpochKeys, derive_lobby_keys
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import certificate_holds_at, invite_key_seed, verify_certificate
from railgun.crypto.signing import public_key_of
from railgun.errors import CryptoError, MalformedInput, NotMember, PeerError, RefusalCode, UsageError
from railgun.limits import (
    LOBBY_JOINS_MAX,
    LOBBY_POST_AGAIN_SECONDS,
    LOBBY_POST_AGE_MAX_SECONDS,
    LOBBY_TURN_SECONDS,
    LOBBY_TURNS_MAX,
    ROOM_DEVICES_MAX,
    ROSTER_ASK_DOUBT_SECONDS,
)
from railgun.ports import Entropy, Sessions
from railgun.types import DeviceKey, Tag
from railgun.wire.certificates import DeviceCertificate
from railgun.wire.invites import Invite, format_invite
from railgun.wire.roster import SECONDS_PER_DAY, AddEntry, InviteEntry, JoinRequest, PrekeyRecord
from railgun.wire.sealed import (
    AnswerChunk,
    JoinPost,
    RemovalNotice,
)

TABLE: Final = "invites"
INVITE_SEED_BYTES: Final = 32


def lobby_secret(invite_seed: bytes) -> bytes:
    """What stands for D_d in the lobby, 32 bytes, secret: members hold it, but cannot ask in the link's name."""
    return keyed_hash(invite_seed, "railgun/lobby/v1", b"")


def lobby_keys(invite: InviteState, start: int) -> EpochKeys:
    """Keys of an invite's lobby, as a member derives them."""
    return derive_lobby_keys(invite.lobby_secret, start)


@dataclass(frozen=True, slots=True)
class MadeInvite:
    """A new invite: the link's seed (secret), and the entry filed for it."""

    seed: bytes = field(repr=False)
    entry: StoredEntry
    writes: tuple[Write, ...]


def make_invite(roster: Roster, me: OwnDevice, entropy: Entropy, *, uses: int, expires: int, wall: float) -> MadeInvite:
    """Name a new invite in the roster. ``expires`` is in Unix seconds.

    Raises:
        NotMember: this device may not invite.
        UsageError: the numbers make no sense.
    """
    if uses < 1 or expires <= wall:
        raise UsageError("an invite needs at least one use and an expiry to come")
    seed = entropy.random_bytes(INVITE_SEED_BYTES)
    number, previous = roster.next_place(me.device)
    key = public_key_of(invite_key_seed(seed))
    entry = InviteEntry(roster.room, me.device, number, previous, int(wall), key, lobby_secret(seed), uses, expires)
    result = roster.append(me.seed, entry)
    kept = Write(TABLE, roster.room + key, seed)
    return MadeInvite(seed, result.added[0], (*result.writes, kept))


# --- the joiner ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """What a valid answer brings: the roster, the secrets to hold, what to keep."""

    roster: Roster
    generations: Generations
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Proved by entries of the room: this device is out, for good, unless others show that those do not count."""


class Joiner:
    """Posts to a lobby each epoch until it is answered or given up."""

    def __init__(
        self,
        invite: Invite,
        me: OwnDevice,
        certificate: bytes,
        sessions: Sessions,
        prekey: PrekeyRecord | None = None,
    ) -> None:
        """``certificate``: this device's, encoded; ``prekey``: a newer prekey than that names, if there is one."""
        self.invite = invite
        self._me = me
        self._certificate = certificate
        self._sessions = sessions
        self._prekey = prekey
        self._posted: tuple[int, float] | None = None
        self._answers = AnswerCollector(invite.room, sessions)

    def __repr__(self) -> str:
        return "Joiner(<redacted>)"

    def use_device(self, me: OwnDevice, prekey: PrekeyRecord | None) -> None:
        """The same device with other prekeys: the next post names the newest."""
        self._me, self._prekey = me, prekey

    def writes(self) -> tuple[Write, ...]:
        """What to keep, so that a restarted member goes on asking; the invite is read back by `parse_invite`."""
        return (Write(TABLE, self.invite.room, format_invite(self.invite).encode()),)

    def forgotten(self) -> tuple[Write, ...]:
        """What to keep no longer, once joined or given up."""
        return (Write(TABLE, self.invite.room, None),)

    def keys(self, start: int) -> EpochKeys:
        """Keys of the lobby in the epoch that starts at ``start``."""
        return derive_lobby_keys(lobby_secret(self.invite.seed), start)

    def post(self, start: int, wall: float) -> SealRequest | None:
        """What to post in the epoch that starts at ``start``; None where that was done less than
        LOBBY_POST_AGAIN_SECONDS ago: whoever was to answer may have come online, or gone, since."""
        last = self._posted
        if last is not None and last[0] == start and 0 <= wall - last[1] < LOBBY_POST_AGAIN_SECONDS - 1:
            return None
        self._posted = (start, wall)
        key_seed = invite_key_seed(self.invite.seed)
        request = JoinRequest(self.invite.room, self._me.device, self._certificate, public_key_of(key_seed), int(wall))
        proof = sign_join_request(self._me.seed, key_seed, request)
        body = JoinPost(self.invite.room, self._me.device, self._certificate, proof, self._prekey)
        return seal_request(body, self.keys(start))

    def receive(self, chunk: AnswerChunk) -> Joined | Refused | None:
        """Take a chunk; the whole with the last one of a valid answer.

        Raises:
            PeerError, CryptoError, MalformedInput: the answer is not valid; others may still come.
        """
        opened = self._answers.add_any(chunk, self._me)
        if opened is None:
            return None
        if isinstance(opened, RemovalNotice):
            return Refused() if is_proof(self.invite.room, opened.entries, self._me.device) else None
        generations = Generations(self.invite.room)
        writes = generations.take_secrets(opened.secrets, opened.state, opened.author)
        if not writes:
            raise MalformedInput("an answer without keys")
        return Joined(opened.roster, generations, (*opened.writes, *writes))


# --- the members --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Admission:
    """What a member does for a joiner: the entry to spread in the room (None: it was a member already), the prekey
    to spread with it, what to keep, and the answer's envelopes."""

    device: DeviceKey
    entry: StoredEntry | None
    prekey: PrekeyRecord | None
    writes: tuple[Write, ...]
    requests: tuple[SealRequest, ...]


@dataclass(frozen=True, slots=True)
class _Waiting:
    post: JoinPost
    keys: EpochKeys
    due: float
    was_member: bool
    is_out: bool


class LobbyHost:
    """A member's side of all lobbies of one room."""

    def __init__(self, me: OwnDevice, sessions: Sessions) -> None:
        self._me = me
        self._sessions = sessions
        # By device and lobby tag: who asks again with another link listens in that link's lobby only.
        self._waiting: OrderedDict[tuple[DeviceKey, Tag], _Waiting] = OrderedDict()
        # When the post was made that was answered: a later one says that the answer did not arrive.
        self._answered: OrderedDict[tuple[DeviceKey, Tag], int] = OrderedDict()
        self._proofs = RemovalProofs()
        # When a device that is out was shown so, whatever links it holds.
        self._shown_out: OrderedDict[DeviceKey, float] = OrderedDict()
        self.declined_count = 0

    def use_device(self, me: OwnDevice) -> None:
        """The same device with other prekey secrets."""
        self._me = me

    def receive(self, post: JoinPost, keys: EpochKeys, state: RosterState, now: float, wall: float) -> None:
        """Take a post that opened under a lobby's ``keys``; whether to answer is decided when our turn comes.

        Raises:
            PeerError: it is forged, or asks for what this member may not or will not grant.
            CryptoError, MalformedInput: its certificate is none.
        """
        check_post(post, state)
        is_out = post.device in state.out
        if is_out:
            self._check_out(post, state, now, wall)
        else:
            check_admission(post, state, self._me.device, wall)
        place = (post.device, keys.tag)
        answered = self._answered.get(place)
        if place in self._waiting or (answered is not None and post.proof.time <= answered):
            return
        was_member = state.member(post.device) is not None
        due = now + turn_seconds(state, self._me.device, post)
        self._waiting[place] = _Waiting(post, keys, due, was_member, is_out)
        if len(self._waiting) > LOBBY_JOINS_MAX:
            self._waiting.popitem(last=False)

    def _check_out(self, post: JoinPost, state: RosterState, now: float, wall: float) -> None:
        """Of a device that is out nothing else stands behind the post: it may have the lobby's secret from the roster,
        and write what time and sign with what key it likes.

        Raises:
            PeerError: it holds no link of the room, its time is none of ours, or it was answered a moment ago.
        """
        if all(invite.invite_key != post.proof.invite_key for invite in state.invites):
            raise PeerError(RefusalCode.BAD_PROOF, "a join post by no invite of the room")
        if abs(wall - post.proof.time) > LOBBY_POST_AGE_MAX_SECONDS:
            raise PeerError(RefusalCode.BAD_PROOF, "a join post of another time", penalty_points=0)
        if self._was_shown_out(post.device, now):
            raise PeerError(RefusalCode.BUSY, "this device was answered a moment ago", penalty_points=0)

    def _was_shown_out(self, device: DeviceKey, now: float) -> bool:
        at = self._shown_out.get(device)
        return at is not None and now < at + ROSTER_ASK_DOUBT_SECONDS

    def _note_shown_out(self, device: DeviceKey, now: float) -> None:
        self._shown_out[device] = now
        self._shown_out.move_to_end(device)
        if len(self._shown_out) > LOBBY_JOINS_MAX:
            self._shown_out.popitem(last=False)

    def answered_by_another(self, device: DeviceKey, keys: EpochKeys, now: float) -> None:
        """Somebody answers ``device`` under a lobby's ``keys``. Who holds the link can pretend that: it matters only to
        a device that is out, and would be told so by each of us."""
        waiting = self._waiting.get((device, keys.tag))
        if waiting is not None and waiting.is_out:
            del self._waiting[device, keys.tag]
            self._note_answered((device, keys.tag), waiting.post.proof.time)
            self._note_shown_out(device, now)

    def next_due(self) -> float | None:
        """Monotonic second at which `due` has something to do."""
        return min((waiting.due for waiting in self._waiting.values()), default=None)

    def due(
        self,
        roster: Roster,
        generations: Generations,
        start: int,
        entropy: Entropy,
        now: float,
        wall: float,
    ) -> list[Admission]:
        """Answer those whose time has come and whom nobody else has let in meanwhile."""
        admissions = []
        for place in [place for place, waiting in self._waiting.items() if waiting.due <= now]:
            waiting, device = self._waiting.pop(place), place[0]
            state = roster.state(int(wall) // SECONDS_PER_DAY)
            if not waiting.was_member and state.member(device) is not None:
                if not any(answered == device for answered, _ in self._answered):
                    continue  # another member has let it in, and answers
                waiting = replace(waiting, was_member=True)
            try:
                if device in state.out:
                    if self._was_shown_out(device, now):
                        continue  # in another link's lobby
                    self._note_shown_out(device, now)
                    answerer = Answerer(self._me, self._sessions, entropy)
                    newest = None if waiting.post.prekey is None else waiting.post.prekey.prekey
                    requests = removal_chunks(answerer, device, roster, self._proofs, waiting.keys, newest)
                    admission = Admission(device, None, None, (), tuple(requests))
                else:
                    check_admission(waiting.post, state, self._me.device, wall)
                    admission = self._admit(waiting, roster, generations, start, entropy, wall)
            except (PeerError, CryptoError, NotMember, UsageError):
                self.declined_count += 1  # what held when it was posted holds no longer: spent, revoked, removed
                continue
            self._note_answered(place, waiting.post.proof.time)
            admissions.append(admission)
        return admissions

    def _note_answered(self, place: tuple[DeviceKey, Tag], posted: int) -> None:
        self._answered[place] = posted
        self._answered.move_to_end(place)
        if len(self._answered) > LOBBY_JOINS_MAX:
            self._answered.popitem(last=False)

    def _admit(
        self,
        waiting: _Waiting,
        roster: Roster,
        generations: Generations,
        start: int,
        entropy: Entropy,
        wall: float,
    ) -> Admission:
        post = waiting.post
        writes: list[Write] = []
        state = roster.state(int(wall) // SECONDS_PER_DAY)
        secrets = generations.day_secrets(state, start)
        if not secrets or not fits_an_answer(roster):
            raise UsageError("there are no keys to give yet, or the roster is too large for a lobby")
        if not waiting.was_member and len(state.devices) >= ROOM_DEVICES_MAX:
            raise UsageError("the room is full")
        entry = None
        if not waiting.was_member:
            number, previous = roster.next_place(self._me.device)
            result = roster.append(
                self._me.seed,
                AddEntry(
                    roster.room,
                    self._me.device,
                    number,
                    previous,
                    int(wall),
                    post.device,
                    post.certificate,
                    admin=False,
                    request=post.proof,
                ),
            )
            entry = result.added[0]
            writes += result.writes
        if post.prekey is not None:
            writes += roster.insert_prekey(post.prekey)
        # From here on nothing may fail: an entry that is filed and neither kept nor spread breaks our chain for good.
        prekey = roster.prekey(post.device)
        if prekey is None or not fits_an_answer(roster):
            self.declined_count += 1
            return Admission(post.device, entry, post.prekey, tuple(writes), ())
        answerer = Answerer(self._me, self._sessions, entropy)
        requests = answer_chunks(answerer, post.device, prekey, roster, secrets, waiting.keys, wall)
        return Admission(post.device, entry, post.prekey, tuple(writes), tuple(requests))


def check_admission(post: JoinPost, state: RosterState, me: DeviceKey, wall: float) -> None:
    """Whether ``me`` may let the author of ``post`` in at ``wall`` (Unix seconds, by our own clock).

    Raises:
        PeerError: forged (BAD_SIGNATURE, BAD_PROOF), for another room, spent, expired or revoked (QUOTA_EXCEEDED), or
            not for us to grant.
        CryptoError, MalformedInput: the certificate is none.
    """
    certificate = check_post(post, state)
    if post.device in state.out:
        raise PeerError(RefusalCode.BAD_PROOF, "a device that is out stays out", penalty_points=0)
    invite = next((invite for invite in state.invites if invite.invite_key == post.proof.invite_key), None)
    again = state.member(post.device) is not None
    spent = invite is None or wall >= invite.expires or (invite.used >= invite.uses and not again)
    if spent or not certificate_holds_at(certificate, wall):
        raise PeerError(RefusalCode.QUOTA_EXCEEDED, "the invite is spent, expired or revoked", penalty_points=0)
    if me not in (state.admins if state.settings.closed else state.devices):
        raise PeerError(RefusalCode.BUSY, "not ours to let in", penalty_points=0)


def check_post(post: JoinPost, state: RosterState) -> DeviceCertificate:
    """Judge a post alone, whoever asks; its certificate.

    Raises:
        PeerError: forged (BAD_SIGNATURE, BAD_PROOF), or for another room.
        CryptoError, MalformedInput: the certificate is none.
    """
    certificate = verify_certificate(post.certificate)
    if post.room != state.room or certificate.device_key != post.device:
        raise PeerError(RefusalCode.BAD_PROOF, "a join post for another room or device")
    check_join_proof(post.room, post.device, post.certificate, post.proof)
    if post.prekey is not None and (post.prekey.device != post.device or not prekey_is_genuine(post.prekey)):
        raise PeerError(RefusalCode.BAD_SIGNATURE, "prekey")
    return certificate


def turn_seconds(state: RosterState, me: DeviceKey, post: JoinPost) -> float:
    """How long ``me`` waits before it answers: its rank, in an order that only hashes decide, times a turn."""
    able: Sequence[DeviceKey] = state.admins if state.settings.closed else state.devices
    order = sorted(able, key=lambda device: keyed_hash(None, "railgun/lobby-turn/v1", post.device + device))
    rank = order.index(me) if me in order else LOBBY_TURNS_MAX
    return min(rank, LOBBY_TURNS_MAX) * LOBBY_TURN_SECONDS


__all__ = [
    "Admission",
    "Joined",
    "Joiner",
    "LobbyHost",
    "MadeInvite",
    "check_admission",
    "lobby_keys",
    "lobby_secret",
    "make_invite",
    "turn_seconds",
]
