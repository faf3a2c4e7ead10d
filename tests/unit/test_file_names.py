"""Names of files that others chose: none leaves its directory, hides, or steers a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import UsageError
from railgun.runtime.file_copies import FileWriter, NotAsOffered, SourceChanged, look_at, read_piece
from railgun.runtime.file_names import NAME_BYTES_MAX, claim, safe_name


@pytest.mark.parametrize(
    ("given_name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\a.txt", "a.txt"),
        ("/", "file"),
        ("..", "file"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("a\x00b\x1b[31m\r\n.txt", "ab[31m.txt"),
        ("photo_\u202egpj.exe", "photo_gpj.exe"),
        ("a\u200b\ufeffb", "ab"),
        ("what?*.txt", "what__.txt"),
        ("CON.txt", "_CON.txt"),
        ("  a.txt. . ", "a.txt"),
        ("Gr\u00fc\u00dfe \U0001f600.txt", "Gr\u00fc\u00dfe \U0001f600.txt"),
        ("\ud800", "file"),
    ],
)
def test_safe_names(given_name: str, safe: str) -> None:
    assert safe_name(given_name) == safe


@given(st.text(max_size=400))
def test_any_name_is_made_safe_and_safe_ones_stay(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe.encode()) <= NAME_BYTES_MAX
    assert Path(safe).name == safe
    assert safe.isprintable()
    assert not safe.startswith((".", "-", "~"))
    assert safe_name(safe) == safe


def test_a_long_name_keeps_its_ending() -> None:
    assert safe_name("\u00fc" * 300 + ".jpeg").endswith("\u00fc.jpeg")
    assert len(safe_name("x" * 900 + "." + "y" * 900)) == NAME_BYTES_MAX


def test_a_name_that_is_taken_gets_a_number_even_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "a (1).txt").symlink_to(tmp_path / "elsewhere")
    assert claim(tmp_path, "a.txt").name == "a (2).txt"
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(UsageError, match="another directory"):
        claim(tmp_path / "none", "a.txt")


def test_what_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, "a.bin")
    writer.write(b"other")
    with pytest.raises(NotAsOffered):
        writer.finish(5, bytes(32))
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    source = look_at(path, 10)
    assert read_piece(path, 10, source.changed_microseconds, 8, 100) == b"89"
    os.utime(path, ns=(0, 0))
    with pytest.raises(SourceChanged):
        read_piece(path, 10, source.changed_microseconds, 0, 10)
    path.unlink()
    with pytest.raises(SourceChanged, match="No such file"):
        read_piece(path, 10, source.changed_microseconds, 0, 10)
    path.write_bytes(b"01234567890")
    with pytest.raises(UsageError, match="at most 10"):
        look_at(path, 10)


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_holds_nothing_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is no file"):
        look_at(pipe, 10)
    with pytest.raises(SourceChanged):
        read_piece(pipe, 10, 0, 0, 10)
