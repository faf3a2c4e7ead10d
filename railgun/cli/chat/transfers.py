"""The files of a chat: what is typed about them, and how far they have come.

Owns: looking how files move, waiting for one that is to be saved. Must not know: terminals, how files travel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from railgun.cli.chat.model import ChatModel, Entry
from railgun.cli.failures import explain
from railgun.errors import RailGunError, StoreError, UsageError
from railgun.runtime.file_views import COMING, FileView
from railgun.runtime.room import Room

LOOK_SECONDS: Final = 0.5
COLLECTABLE: Final = (COMING, "declined")


class Shown(Protocol):
    """A chat's surface, as far as it is needed here."""

    def moved(self, entry: Entry) -> None: ...

    def tell(self, text: str) -> None: ...


class Transfers:
    """See the module."""

    def __init__(self, room: Room, model: ChatModel, surface: Shown, wall: Callable[[], float]) -> None:
        self._room = room
        self._model = model
        self._surface = surface
        self._wall = wall
        self._looked = asyncio.Event()
        self.sent = 0

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def attach(self, entry: Entry) -> None:
        """Look up a message's file before it is shown for the first time."""
        if entry.kind == "file" and entry.file is None and entry.message_id is not None:
            entry.file = self._room.file(entry.message_id)

    def look(self) -> None:
        """Bring what is shown up to date."""
        for entry in self._model.moving_files():
            view = None if entry.message_id is None else self._room.file(entry.message_id)
            if view is not None and view != entry.file:
                entry.file = view
                self._surface.moved(entry)
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()

    def find(self, number: int) -> FileView:
        """The file that a message offers. Raises UsageError where it offers none."""
        message_id = self._model.entry(number).message_id
        found = None if message_id is None else self._room.file(message_id)
        if found is None:
            raise UsageError(f"message {number} offers no file, or one that is not known here any more")
        return found

    def cancel(self, number: int) -> None:
        """Take it back, or collect no more of it. Raises as `find` and `Room.cancel_file`."""
        self._room.cancel_file(self.find(number).message_id)
        self.look()

    async def send(self, path: Path) -> None:
        """Offer it; the peer sends it, also when this chat is over. Raises StoreError."""
        try:
            view = self._room.file(await self._room.offer_file(path))
        except StoreError:
            raise
        except RailGunError as error:
            self._surface.tell(explain(error))
            return
        if view is not None:
            self.sent += 1
            self._surface.moved(self._model.offering(view, self._wall()))

    async def save(self, view: FileView, directory: Path) -> None:
        """Save it as soon as all of it is here. Raises StoreError."""
        try:
            if view.state in COLLECTABLE:
                self._room.collect_file(view.message_id)
                self._surface.tell(f"{view.name} is saved as soon as all of it is here.")
            while (found := self._room.file(view.message_id)) is not None and found.state == COMING:
                await self._looked.wait()
            path = await self._room.save_file(view.message_id, directory)
        except StoreError:
            raise
        except RailGunError as error:
            self._surface.tell(explain(error))
            return
        self.look()
        self._surface.tell(f"Saved {path}")
