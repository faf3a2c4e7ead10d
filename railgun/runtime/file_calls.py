"""What a peer does for commands about files: offer, look, save, cancel.

Owns: these calls' names, arguments and answers. Must not know: whether the command runs in this process.
Part of `railgun.runtime.peer_service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from railgun.errors import UsageError
from railgun.runtime.device_calls import Given
from railgun.runtime.file_views import FileView
from railgun.runtime.room import Room
from railgun.types import RelayContact

Answer: TypeAlias = dict[str, Any]

DIGITS_MIN: Final = 8
TAKE_BACK_SECONDS: Final = 3.0
"""What others are told of a file taken back may take so long to leave; then the next command goes on with it."""


class Around(Protocol):
    """What these calls need of the service around them."""

    def find_room(self, given: Given) -> Room: ...

    async def reach(self, contacts: tuple[RelayContact, ...]) -> None: ...

    async def settle(self, room: Room, seconds: float) -> None: ...


class FileCalls:
    """See the module."""

    def __init__(self, around: Around) -> None:
        self._around = around

    def calls(self) -> Mapping[str, Callable[[Any], Awaitable[Answer]]]:
        """By name."""
        return {
            "file_offer": self._offer,
            "file": self._one,
            "files": self._all,
            "file_save": self._save,
            "file_cancel": self._cancel,
            "file_collect": self._collect,
        }

    async def _offer(self, given: Given) -> Answer:
        room = self._around.find_room(given)
        path = _path(given, "path")
        await self._around.reach(())
        message_id = await room.offer_file(path)
        return {**_named(room), "message_id": message_id.hex()}

    async def _one(self, given: Given) -> Answer:
        room = self._around.find_room(given)
        return {**_named(room), **_shown(self._find(room, given.text("file")))}

    async def _all(self, given: Given) -> Answer:
        room = self._around.find_room(given)
        return {**_named(room), "files": [_shown(view) for view in room.files()]}

    async def _save(self, given: Given) -> Answer:
        room = self._around.find_room(given)
        view = self._find(room, given.text("file"))
        path = await room.save_file(view.message_id, _path(given, "directory"))
        return {**_named(room), "message_id": view.message_id.hex(), "path": str(path), "size_bytes": view.size_bytes}

    async def _cancel(self, given: Given) -> Answer:
        room = self._around.find_room(given)
        view = self._find(room, given.text("file"))
        room.cancel_file(view.message_id)
        if view.is_own:
            # Whoever interrupts a send is gone at once, and with it whoever could tell the others.
            await self._around.settle(room, TAKE_BACK_SECONDS)
        return {**_named(room), **_shown(self._find(room, view.message_id.hex()))}

    async def _collect(self, given: Given) -> Answer:
        room = self._around.find_room(given)
        view = self._find(room, given.text("file"))
        room.collect_file(view.message_id)
        return {**_named(room), **_shown(self._find(room, view.message_id.hex()))}

    @staticmethod
    def _find(room: Room, text: str) -> FileView:
        """By the digits of its message, or by its name: of several the newest."""
        views = room.files()
        fits = [view for view in views if len(text) >= DIGITS_MIN and view.message_id.hex().startswith(text.lower())]
        fits = fits or [view for view in views if view.name == text]
        if not fits:
            raise UsageError(f"no file fits {text!r} in {room.name}: `railgun file list` shows those that are known")
        return fits[-1]


def _path(given: Given, name: str) -> Path:
    path = Path(given.text(name))
    if not path.is_absolute():
        raise UsageError(f"{name}: expected an absolute path, since this process may stand elsewhere")
    return path


def _named(room: Room) -> Answer:
    return {"room": room.name, "id": room.room_id.hex()}


def _shown(view: FileView) -> Answer:
    return {
        "message_id": view.message_id.hex(),
        "name": view.name,
        "size_bytes": view.size_bytes,
        "done_bytes": view.done_bytes,
        "state": view.state,
        "is_own": view.is_own,
    }
