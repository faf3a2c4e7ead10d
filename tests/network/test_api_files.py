"""Files between members of the public API over real relays: sent, collected, saved, taken back, gone on with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from railgun import Peer, Room, UsageError
from railgun.errors import CryptoError
from railgun.runtime.file_views import FileView
from railgun.types import MessageId
from tests.support.api_lab import WAIT_SECONDS, lab


async def file_of(peer: Peer, room: Room, fits: Callable[[FileView], bool]) -> FileView:
    """The first file of the room that is as wanted."""

    def found() -> list[FileView]:
        return [view for view in room.files() if fits(view)]

    assert await peer.wait_until(lambda: bool(found()), WAIT_SECONDS), room.files()
    return found()[0]


async def test_a_file_is_sent_collected_and_saved(tmp_path: Path) -> None:
    source = tmp_path / "a \u202eplan.txt"
    source.write_bytes(os.urandom(300_000))
    async with lab(tmp_path / "lab") as here:
        ada, bob = await here.connect("ada"), await here.connect("bob")
        ours, theirs = await here.room_of(ada, bob)
        steps: list[int] = []
        sent = await ours.send_file(source, lambda view: steps.append(view.done_bytes))
        assert (sent.state, sent.done_bytes, sent.is_own) == ("sent", 300_000, True)
        assert (steps[0], steps[-1]) == (0, 300_000)
        assert steps == sorted(steps)
        assert len(set(steps)) == 6, "five pieces of at most 65,280 bytes"

        ready = await file_of(bob, theirs, lambda view: view.state == "ready")
        assert (ready.message_id, ready.size_bytes) == (sent.message_id, 300_000)
        (offer,) = theirs.history(5)
        assert (offer.kind, offer.message_id) == ("file", sent.message_id)
        (tmp_path / "a plan.txt").write_text("mine")
        saved = await theirs.save_file(ready.message_id, tmp_path)
        assert saved.name == "a plan (1).txt", "nothing is overwritten, and nothing hides in a name"
        assert saved.read_bytes() == source.read_bytes()
        assert (saved.stat().st_mode & 0o777) == 0o600
        assert {path.name for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir()))} == {
            "lab",
            "a plan.txt",
            "a plan (1).txt",
            source.name,
        }
        view = theirs.file(ready.message_id)
        assert view is not None
        assert view.state == "saved"
        with pytest.raises(UsageError, match="saved"):
            await theirs.save_file(ready.message_id, tmp_path)
        assert not bob.shared.store.keys("files", ours.room_id + b"p"), "what was saved is kept no longer"


async def test_a_file_goes_on_after_a_restart_of_both(tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(os.urandom(600_000))
    async with lab(tmp_path / "lab") as here:
        ada, bob = await here.connect("ada"), await here.connect("bob")
        ours, theirs = await here.room_of(ada, bob)
        file = await ours.offer_file(source)
        await file_of(bob, theirs, lambda view: view.done_bytes > 0)
        await bob.aclose()
        await ada.aclose()
        ada = await here.connect("ada")
        ours = ada.room(ours.room_id)
        begun = ours.file(file)
        assert begun is not None
        bob = await here.connect("bob")
        theirs = bob.room(ours.room_id)
        held = theirs.file(file)
        assert held is not None
        assert held.done_bytes > 0
        await file_of(ada, ours, lambda view: view.state == "sent")
        theirs.collect_file(file)  # what passed while it was away is asked for at once
        await file_of(bob, theirs, lambda view: view.state == "ready")
        assert (await theirs.save_file(file, tmp_path / "lab")).read_bytes() == source.read_bytes()


async def test_a_file_is_cancelled_by_either_end(tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(os.urandom(3_000_000))
    async with lab(tmp_path / "lab") as here:
        ada, bob = await here.connect("ada"), await here.connect("bob")
        ours, theirs = await here.room_of(ada, bob)
        sending = asyncio.create_task(ours.send_file(source))
        coming = await file_of(bob, theirs, lambda view: view.done_bytes > 0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        view = ours.file(coming.message_id)
        assert view is not None
        assert view.state == "cancelled"
        await file_of(bob, theirs, lambda view: view.state == "withdrawn")
        assert not bob.shared.store.keys("files", ours.room_id + b"p")

        second = await ours.offer_file(source)
        await file_of(bob, theirs, lambda view: view.message_id == second and view.done_bytes > 0)
        theirs.cancel_file(second)
        assert not bob.shared.store.keys("files", ours.room_id + b"p")
        source.write_bytes(b"another")
        await file_of(ada, ours, lambda view: view.message_id == second and view.state == "failed")
        await file_of(bob, theirs, lambda view: view.message_id == second and view.state == "withdrawn")


async def test_what_is_no_file_too_large_or_not_as_offered_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(os.urandom(50_000))
    async with lab(tmp_path / "lab") as here:
        ada, bob = await here.connect("ada"), await here.connect("bob")
        ours, theirs = await here.room_of(ada, bob)
        for path, why in ((tmp_path, "directory"), (tmp_path / "none", "No such file"), (Path("/dev/null"), "no file")):
            with pytest.raises(UsageError, match=why):
                await ours.send_file(path)
        large = tmp_path / "large.bin"
        with large.open("wb") as stream:
            stream.truncate((8 << 20) + 1)
        with pytest.raises(UsageError, match="at most 8388608"):
            await ours.send_file(large)
        assert ours.files() == []

        file = (await ours.send_file(source)).message_id
        await file_of(bob, theirs, lambda view: view.state == "ready")
        machine = bob.member_room(ours.room_id)
        incoming = machine.files.incoming.get(file)
        assert incoming is not None
        incoming.content_hash = bytes(32)
        target = tmp_path / "target"
        target.mkdir()
        with pytest.raises(CryptoError, match="nothing was saved"):
            await theirs.save_file(file, target)
        assert list(target.iterdir()) == []
        view = theirs.file(file)
        assert view is not None
        assert view.state == "false"
        with pytest.raises(UsageError, match="no file of somebody else"):
            await theirs.save_file(MessageId(bytes(16)), target)
