"""What the application is shown of a file that travels in a room.

Owns: the shape and its words. Must not know: how files travel or are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from railgun.core.incoming_files import IncomingFile, IncomingState
from railgun.core.outgoing_files import OutgoingFile, OutgoingState
from railgun.types import MessageId

SENDING: Final = "sending"
SENT: Final = "sent"
COMING: Final = "coming"
READY: Final = "ready"
SAVED: Final = "saved"
_OUTGOING: Final = {
    OutgoingState.LEAVING: SENDING,
    OutgoingState.SENT: SENT,
    OutgoingState.CANCELLED: "cancelled",
    OutgoingState.FAILED: "failed",
}
_INCOMING: Final = {
    IncomingState.COMING: COMING,
    IncomingState.WHOLE: READY,
    IncomingState.TAKEN: SAVED,
    IncomingState.WITHDRAWN: "withdrawn",
    IncomingState.DECLINED: "declined",
    IncomingState.FALSE: "false",
}


@dataclass(frozen=True, slots=True)
class FileView:
    """How far a file has come.

    Attributes:
        message_id: of the message that offers it, 16 bytes.
        name: its author's word: no path, and not safe for a terminal or a disk. `Room.save_file` makes a safe one.
        size_bytes: of the whole. done_bytes: of it, sent (with a majority of seats, or in the outbox) or here.
        state: of an own file ``sending``, ``sent``, ``cancelled`` or ``failed`` (it changed on the disk); of another's
            ``coming``, ``ready`` to be saved, ``saved``, ``withdrawn`` by its author, ``declined`` here (or too large),
            or ``false``: not what was offered.
    """

    message_id: MessageId
    name: str
    size_bytes: int
    done_bytes: int
    state: str
    is_own: bool


def view_file(file: IncomingFile | OutgoingFile) -> FileView:
    """A machine's file as the application sees it."""
    if isinstance(file, OutgoingFile):
        return FileView(file.file, file.name, file.size_bytes, file.bytes_left, _OUTGOING[file.state], True)
    done = file.size_bytes if file.state is IncomingState.TAKEN else file.bytes_held
    return FileView(file.file, file.name, file.size_bytes, done, _INCOMING[file.state], False)
