"""QR codes of invites: how large they are, which one a window gets, and pictures of them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import segno

from railgun.cli.chat.qr import QUIET_MODULES, invite_qr_lines, new_picture, picture_kind, write_picture
from railgun.errors import UsageError
from railgun.types import Address, NetworkId, NodeKey, RelayContact, RoomId
from railgun.wire.invites import Invite, format_invite
from tests.support.commands import Commands

CONTACTS = tuple(
    RelayContact(NodeKey(bytes([number]) * 32), (Address(f"192.0.2.{number}", 9000),), bytes([number + 9]) * 32)
    for number in (1, 2, 3)
)
INVITE = Invite(NetworkId(b"n" * 32), RoomId(b"r" * 32), b"s" * 32, CONTACTS)
LINK = format_invite(INVITE)


@pytest.mark.parametrize(("contacts", "columns", "lines"), [(1, 61, 31), (2, 73, 37), (3, 81, 41)])
def test_a_code_is_as_large_as_the_page_says(contacts: int, columns: int, lines: int) -> None:
    found = invite_qr_lines(LINK, contacts)
    assert (len(found[0]), len(found)) == (columns, lines)


def test_no_code_fits_24_lines() -> None:
    """Else the chat would have to show it: not in the link's letters, nor in the denser ones, nor without a relay."""
    for contacts in (CONTACTS[:1], ()):
        link = format_invite(Invite(INVITE.network, INVITE.room, INVITE.seed, contacts))
        assert segno.make_qr(link, error="l", boost_error=False).symbol_size(border=0)[0] > 48
        dense = "A" * (len(link) * 6 // 5)  # as in base32
        code = segno.make_qr(dense, error="l", boost_error=False)
        assert code.mode == "alphanumeric"
        assert code.symbol_size(border=QUIET_MODULES)[0] > 48


@pytest.mark.parametrize("name", ["code.svg", "code.PNG"])
def test_a_picture_is_its_owners_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    before = os.umask(0)
    try:
        with new_picture(path) as file:
            write_picture(file, LINK, picture_kind(path))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    same = io.BytesIO()
    segno.make_qr(LINK, error="m").save(same, kind=picture_kind(path), scale=8, border=4)
    assert path.read_bytes() == same.getvalue()


def test_a_picture_is_never_written_over_a_file_and_none_is_left_half_done(tmp_path: Path) -> None:
    path = tmp_path / "code.png"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"), new_picture(path):
        raise AssertionError
    assert path.read_bytes() == b"mine"
    (tmp_path / "link.png").symlink_to("elsewhere.png")
    with pytest.raises(UsageError, match="exists already"), new_picture(tmp_path / "link.png"):
        raise AssertionError
    with pytest.raises(UsageError, match="No such file"), new_picture(tmp_path / "none" / "code.png"):
        raise AssertionError
    with pytest.raises(KeyError), new_picture(tmp_path / "other.png"):
        raise KeyError
    assert sorted(one.name for one in tmp_path.iterdir()) == ["code.png", "link.png"]


def test_other_endings_are_refused_before_anything_is_asked(railgun: Commands) -> None:
    for name in ("code.jpg", "code", ".png"):
        assert "written as .svg or .png" in railgun("room", "invite", "ops", "--qr-file", name).complaint
