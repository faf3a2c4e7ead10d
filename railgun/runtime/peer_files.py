"""The files of a peer's rooms: sent piece by piece beside what is said, saved when they are whole.

Owns: the one task that sends, its pace, who waits for a file. Must not know: what seats do, commands.
Spec: docs/spec/files.md.

One piece of all files is under way at a time, at most FILE_BYTES_PER_SECOND, so that a message waits behind one
envelope at the most. What is under way goes on after a restart.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from railgun.core.file_table import TABLE as FILES
from railgun.core.incoming_files import IncomingFile, IncomingState, part_key
from railgun.core.outgoing_files import OutgoingFile, OutgoingState
from railgun.core.persistence import Write
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.errors import DiscoveryError, NotMember, RailGunError, StoreError, UsageError
from railgun.limits import FILE_BYTES_PER_EPOCH_MAX, FILE_BYTES_PER_SECOND
from railgun.runtime.file_copies import FileWriter, NotAsOffered, SourceChanged, look_at, read_piece
from railgun.runtime.file_names import safe_name
from railgun.runtime.file_views import SENDING, FileView, view_file
from railgun.runtime.peer_rooms import PeerRooms
from railgun.runtime.peer_state import PeerState
from railgun.runtime.room_mail import RoomMail
from railgun.types import MessageId, RoomId
from railgun.wire.content import DeleteContent, FileOfferContent
from railgun.wire.file_content import FILE_UNIT_BYTES, FILE_UNITS_PER_PART_MAX, FilePartContent, units_of

OFFER_SECONDS: Final = 30.0
PIECE_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 1.0
"""After something stood in the way: the outbox is full, no relay answers, the epoch's share is used up."""
OUTBOX_MAX: Final = 8
"""With more than this waiting for receipts, no pieces are added."""
MEDIA_TYPE: Final = "application/octet-stream"

Progress = Callable[[FileView], None]


class PeerFiles:
    """See the module. `Room` documents the calls and what they raise."""

    def __init__(self, state: PeerState, rooms: PeerRooms) -> None:
        self._state = state
        self._rooms = rooms
        self._moved = asyncio.Event()
        self._not_before: dict[RoomId, float] = {}
        self._spent: dict[RoomId, tuple[int, int]] = {}
        self._next_at = 0.0
        self._last_room = RoomId(b"")
        self._saving: set[MessageId] = set()

    def moved(self) -> None:
        """Something about a file has changed, or the peer ends: whoever waits looks again."""
        self._moved.set()
        self._moved = asyncio.Event()

    # --- looking --------------------------------------------------------------------------------

    def all(self, room_id: RoomId) -> list[FileView]:
        """Files of others, then own ones, each in the order of their offers."""
        files = self._state.member_room(room_id).files
        others, own = files.incoming.all(), files.outgoing.all()
        return [*(view_file(file) for file in others), *(view_file(file) for file in own)]

    def get(self, room_id: RoomId, message_id: MessageId) -> FileView | None:
        """By the message that offers it."""
        files = self._state.member_room(room_id).files
        incoming, outgoing = files.incoming.get(message_id), files.outgoing.get(message_id)
        if incoming is not None:
            return view_file(incoming)
        return None if outgoing is None else view_file(outgoing)

    # --- what the application does --------------------------------------------------------------

    async def offer(self, mail: RoomMail, path: Path) -> MessageId:
        """See `Room.offer_file`."""
        state, machine = self._state, self._state.member_room(mail.room_id)
        source = await asyncio.to_thread(look_at, path, machine.files.bytes_max)
        name = safe_name(source.path.name)
        media_type = mimetypes.guess_type(name)[0] or MEDIA_TYPE
        content = FileOfferContent(name, media_type, source.size_bytes, source.content_hash)
        made: list[MessageId] = []

        def start(token: int) -> None:
            state.check_usable()
            try:
                file, outcome = machine.files.offer(
                    content, os.fsencode(source.path), source.changed_microseconds, token, state.wall()
                )
            except ValueError as error:
                raise UsageError(f"this file cannot be offered: {error}") from error
            state.apply(machine, outcome)
            made.append(file)

        try:
            await mail.send(start, OFFER_SECONDS)
        except DiscoveryError:
            if not made:
                raise  # it was never handed over
        self.moved()
        return made[0]

    async def send(self, mail: RoomMail, path: Path, progress: Progress | None) -> FileView:
        """See `Room.send_file`."""
        file = await self.offer(mail, path)
        try:
            while True:
                moved = self._moved
                view = self.get(mail.room_id, file)
                if view is None:
                    raise UsageError("newer files pushed this one out; it is not sent")
                if progress is not None:
                    progress(view)
                if view.state != SENDING:
                    break
                mail.check_open()
                await moved.wait()
        except asyncio.CancelledError:
            if self._state.failure is None and self._state.closing is None and not mail.is_closed:
                self.cancel(mail.room_id, file)
            raise
        if view.state == "failed":
            raise UsageError(f"{path} changed while it was sent: it was taken back")
        return view

    def cancel(self, room_id: RoomId, message_id: MessageId) -> None:
        """See `Room.cancel_file`."""
        state, machine = self._state, self._state.member_room(room_id)
        state.check_usable()
        outgoing = machine.files.outgoing.get(message_id)
        if outgoing is None:
            self._do(machine, machine.files.incoming.decline(message_id))
        elif outgoing.state in (OutgoingState.LEAVING, OutgoingState.SENT):
            self._take_back(machine, outgoing, OutgoingState.CANCELLED)
        self.moved()

    def collect(self, room_id: RoomId, message_id: MessageId) -> None:
        """See `Room.collect_file`."""
        state, machine = self._state, self._state.member_room(room_id)
        state.check_usable()
        self._do(machine, machine.files.incoming.collect(message_id, state.clock.monotonic()))
        self.moved()

    async def save(self, room_id: RoomId, message_id: MessageId, directory: Path) -> Path:
        """See `Room.save_file`."""
        state, machine = self._state, self._state.member_room(room_id)
        state.check_usable()
        incoming = machine.files.incoming.get(message_id)
        if incoming is None:
            raise UsageError("no file of somebody else's is known under this message")
        if incoming.state is not IncomingState.WHOLE:
            if incoming.state is IncomingState.TAKEN:
                raise UsageError("this file was saved already")
            view = view_file(incoming)
            raise UsageError(f"this file is {view.state}: {view.done_bytes} of {view.size_bytes} bytes are here")
        if message_id in self._saving:
            raise UsageError("this file is being saved already")
        self._saving.add(message_id)
        try:
            path = await self._copy_out(room_id, incoming, directory)
        except NotAsOffered:
            self._do(machine, machine.files.incoming.taken(message_id, is_true=False))
            raise
        finally:
            self._saving.discard(message_id)
        self._do(machine, machine.files.incoming.taken(message_id, is_true=True))
        self.moved()
        return path

    async def _copy_out(self, room_id: RoomId, incoming: IncomingFile, directory: Path) -> Path:
        writer = await asyncio.to_thread(FileWriter, directory, safe_name(incoming.name))
        try:
            async for piece in self._pieces(room_id, incoming):
                await asyncio.to_thread(writer.write, piece)
            return await asyncio.to_thread(writer.finish, incoming.size_bytes, incoming.content_hash)
        except BaseException:
            writer.abort()
            raise

    async def _pieces(self, room_id: RoomId, incoming: IncomingFile) -> AsyncIterator[bytes]:
        """From the store, in order, one in memory at a time."""
        unit = 0
        while unit < incoming.held.count:
            piece = self._state.store.get(FILES, part_key(room_id, incoming.file, unit))
            if piece is None:
                raise StoreError("a piece of the file is gone: restore the profile from a backup")
            yield piece
            unit += units_of(len(piece))

    # --- sending --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send pieces until cancelled. Raises StoreError."""
        while True:
            moved = self._moved
            found = self._next()
            if found is None:
                try:
                    async with asyncio.timeout(AGAIN_SECONDS if self._not_before else None):
                        await moved.wait()
                except TimeoutError:
                    continue
                continue
            room_id, machine, outgoing = found
            self._last_room = room_id
            try:
                await self._send_piece(room_id, machine, outgoing)
            except StoreError:
                raise
            except RailGunError:
                # The room was left or closed, its outbox is full, or keys are on their way: none of it is for ever.
                self._later(room_id)

    def _next(self) -> tuple[RoomId, MemberRoom, OutgoingFile] | None:
        """A room with a file to be sent, after the last one's turn; the oldest file of it."""
        now = self._state.clock.monotonic()
        self._not_before = {room: at for room, at in self._not_before.items() if at > now}
        found = []
        for room_id, machine in self._state.machine.rooms.items():
            if isinstance(machine, MemberRoom) and self._rooms.has(room_id):
                leaving = (file for file in machine.files.outgoing.all() if file.state is OutgoingState.LEAVING)
                outgoing = next(leaving, None)
                if outgoing is None or room_id in self._not_before:
                    continue
                outbox = machine.conversation.outbox
                if len(outbox) > OUTBOX_MAX or outbox.seal_again(outgoing.file) is not None:
                    self._later(room_id)  # not before its offer
                    continue
                found.append((room_id, machine, outgoing))
        found.sort(key=lambda item: (item[0] <= self._last_room, item[0]))
        return found[0] if found else None

    async def _send_piece(self, room_id: RoomId, machine: MemberRoom, outgoing: OutgoingFile) -> None:
        files, wall = machine.files, self._state.wall()
        piece = files.outgoing.next_piece(outgoing, 1 if files.is_strict(wall) else FILE_UNITS_PER_PART_MAX)
        if piece is None:
            return
        count = piece.count * FILE_UNIT_BYTES
        if not self._has_share(room_id, machine.epoch_start(wall), count):
            self._later(room_id)
            return
        await self._keep_pace(count)
        path = Path(os.fsdecode(outgoing.path))
        try:
            data = await asyncio.to_thread(
                read_piece,
                path,
                outgoing.size_bytes,
                outgoing.changed_microseconds,
                piece.first * FILE_UNIT_BYTES,
                count,
            )
        except SourceChanged:
            self._take_back(machine, outgoing, OutgoingState.FAILED)
            self.moved()
            return
        if outgoing.state is not OutgoingState.LEAVING:
            return  # cancelled meanwhile
        try:
            await self._rooms.room(room_id).send(
                FilePartContent(outgoing.file, piece.first, data), timeout=PIECE_SECONDS
            )
        except DiscoveryError:
            self._later(room_id)  # it is in the outbox, and goes on from there
        if outgoing.state is OutgoingState.LEAVING:
            self._do(machine, files.outgoing.piece_left(outgoing, piece))
        self.moved()

    def _take_back(self, machine: MemberRoom, outgoing: OutgoingFile, state: OutgoingState) -> None:
        """End it here and at the others."""
        self._do(machine, machine.files.outgoing.end(outgoing, state))
        try:
            self._state.apply(machine, machine.send(DeleteContent(outgoing.file), 0, self._state.wall()))
        except NotMember:
            return  # nobody is there to be told

    def _do(self, machine: MemberRoom, writes: list[Write]) -> None:
        self._state.apply(machine, RoomOutcome(writes))

    def _later(self, room_id: RoomId) -> None:
        self._not_before[room_id] = self._state.clock.monotonic() + AGAIN_SECONDS

    def _has_share(self, room_id: RoomId, epoch: int, count: int) -> bool:
        """Whether the epoch's committee may be given so many bytes more; they count from now on."""
        start, spent = self._spent.get(room_id, (epoch, 0))
        if start != epoch:
            spent = 0
        if spent + count > FILE_BYTES_PER_EPOCH_MAX:
            return False
        self._spent[room_id] = (epoch, spent + count)
        return True

    async def _keep_pace(self, count: int) -> None:
        now = self._state.clock.monotonic()
        begins = max(now, self._next_at)
        self._next_at = begins + count / FILE_BYTES_PER_SECOND
        await asyncio.sleep(begins - now)
