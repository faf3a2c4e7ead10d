"""A room that this device asks to be let into.

Owns: posting to the lobby each epoch, becoming a `MemberRoom`. Must not know: seats, links, disks.
Spec: docs/spec/rooms.md, "Lobby".
"""

from __future__ import annotations

from railgun.core.fragments import FragmentAssembly
from railgun.core.lobby import Joiner, Refused
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_keys import joiner_plans
from railgun.core.room_notifications import RemovedFromRoom, RoomJoined, RosterChanged
from railgun.core.room_port import CoverPlan, RoomOutcome, TagPlan
from railgun.core.room_rows import RoomRow, RoomStatus, room_write
from railgun.crypto.epoch import EpochKeys, epoch_start
from railgun.errors import CryptoError, PeerError
from railgun.limits import LOBBY_POST_AGAIN_SECONDS, LOBBY_POSTS_SHOWN_OUT, LOBBY_SHOWN_OUT_AGAIN_SECONDS
from railgun.types import EnvelopeKind, RoomId
from railgun.wire.envelope import Inner
from railgun.wire.invites import Invite
from railgun.wire.sealed import SEALED_BODIES, AnswerChunk, Fragment, SealedBody


class JoiningRoom:
    """Implements `railgun.core.room_port.Room` until it is let in; its successor then takes its place."""

    def __init__(self, tools: RoomTools, invite: Invite, certificate: bytes) -> None:
        self._tools = tools
        self.invite = invite
        self._joiner = Joiner(invite, tools.me, certificate, tools.sessions, tools.prekey)
        self._fragments = FragmentAssembly(invite.room)
        self._post_at = 0.0
        self.refused_answers = 0
        self._posts_left: int | None = None  # once shown to be out
        self.is_out = False
        """Shown to be out of this room for good: it asks no more."""

    def use_tools(self, tools: RoomTools) -> None:
        """The same device with other prekeys; an answer under an older one still opens."""
        self._tools = tools
        self._joiner.use_device(tools.me, tools.prekey)

    @property
    def room_id(self) -> RoomId:
        return self.invite.room

    def tag_plans(self, start: int, wall: float) -> list[TagPlan]:
        """See `Room`."""
        return [] if self.is_out else joiner_plans(self._joiner, start)

    def sending_keys(self, wall: float) -> EpochKeys | None:
        """See `Room`: a joiner's requests name their keys."""
        return self._joiner.keys(self._start(wall))

    def cover_plan(self, wall: float) -> CoverPlan | None:
        """See `Room`: who asks to join does so at once; nobody knows a room's settings from outside."""
        return None

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        """See `Room`."""
        if inner.kind is not EnvelopeKind.SEALED:
            return RoomOutcome()
        try:
            body: SealedBody | None = SEALED_BODIES.decode(inner.body)
            if isinstance(body, Fragment):
                whole, _ = self._fragments.add(body)  # not kept: who starts anew asks anew
                body = None if whole is None else SEALED_BODIES.decode(whole.body)
            joined = self._joiner.receive(body) if isinstance(body, AnswerChunk) and not self.is_out else None
        except (PeerError, CryptoError):
            self.refused_answers += 1
            return RoomOutcome()
        if joined is None:
            return RoomOutcome()
        if isinstance(joined, Refused):
            # An admin who was removed can prove that of anybody, leaving out its own removal: others may know better.
            if self._posts_left is None:
                self._posts_left = LOBBY_POSTS_SHOWN_OUT
                self._post_at = now + LOBBY_SHOWN_OUT_AGAIN_SECONDS
            return RoomOutcome()
        room = MemberRoom(self._tools, joined.roster, joined.generations)
        state = room.state(wall)
        row = room_write(self.room_id, RoomRow(RoomStatus.MEMBER, int(wall), ""))
        return RoomOutcome(
            [*joined.writes, row],
            [],
            [RoomJoined(self.room_id, state.name), RosterChanged(self.room_id, state.devices, False)],
            plan_changed=True,
            successor=room,
        )

    def served(self, keys: EpochKeys, now: float, wall: float) -> None:
        """See `Room`: nothing is asked for."""

    def receipts_grew(
        self, reference: bytes, receipts: int, of: int, *, majority: bool, complete: bool, now: float
    ) -> RoomOutcome:
        """See `Room`: nobody waits for a post's receipts."""
        return RoomOutcome()

    def seal_again(self, reference: bytes, wall: float) -> RoomOutcome:
        """See `Room`: each epoch has a post of its own."""
        return RoomOutcome()

    def next_deadlines(self, now: float, wall: float) -> dict[str, float]:
        """See `Room`."""
        return {} if self.is_out else {"post": max(self._post_at, now)}

    def due(self, name: str, now: float, wall: float) -> RoomOutcome:
        """See `Room`."""
        if self._posts_left == 0:
            self.is_out = True
            return RoomOutcome(notifications=[RemovedFromRoom(self.room_id)], plan_changed=True)
        start = self._start(wall)
        next_start = start + self._tools.network.epoch_seconds
        again = LOBBY_POST_AGAIN_SECONDS if self._posts_left is None else LOBBY_SHOWN_OUT_AGAIN_SECONDS
        self._post_at = now + min(again, max(0.1, next_start - wall))
        request = self._joiner.post(start, wall)
        if request is not None and self._posts_left is not None:
            self._posts_left -= 1
        return RoomOutcome(requests=[] if request is None else [request])

    def _start(self, wall: float) -> int:
        return epoch_start(wall, self.room_id, self._tools.network.epoch_seconds)
