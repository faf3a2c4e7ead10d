"""Files named on the command line that are none: each is refused in one line, and nothing waits for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from railgun.storage.files import open_regular
from tests.support.commands import Commands


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _pipe_by_a_link(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"), 0o600)
    path.symlink_to("pipe")


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


ODD: list[Callable[[Path], None]] = [_pipe, _pipe_by_a_link, _endless, Path.mkdir]
WORDS = [
    ("--config", "odd", "config", "check"),
    ("network", "show", "odd"),
    ("--profile", "r", "init", "--relay", "--passphrase-file", "odd"),
    ("--profile", "r", "restore", "odd"),
    ("--profile", "r", "restore", "odd", "--backup-passphrase-file", "odd"),
]


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
@pytest.mark.parametrize("words", WORDS, ids=lambda words: " ".join(words[-3:]))
def test_a_file_that_is_none_is_refused_at_once(
    railgun: Commands, make: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    make(railgun.home / "odd")
    if words[-1] != "odd" or "--backup-passphrase-file" not in words:
        railgun.set("RAILGUN_BACKUP_PASSPHRASE", "secret")
    complaint = railgun(*words).complaint
    assert f"odd: {'Is a directory' if make is Path.mkdir else 'not a regular file'}" in complaint
    assert not (railgun.home / "r").exists()


def test_an_open_file_is_the_one_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"content")
    (tmp_path / "name").symlink_to("target")
    with open_regular(tmp_path / "name") as file:
        assert file.read() == b"content"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    before = _descriptors()
    for odd in (tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match=r"Is a directory|not a regular file"):
            open_regular(odd)
    assert _descriptors() == before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
