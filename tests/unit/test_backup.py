"""Backups: all of a profile and nothing in the clear; whatever was altered is refused; nothing is overwritten."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from railgun.core.group_sessions import INBOUND, OUTBOUND, retired_writes
from railgun.crypto import wrapping
from railgun.errors import RailGunError, StoreError, UsageError, WrongPassphrase
from railgun.limits import BACKUP_CHUNK_BYTES
from railgun.ports import Write
from railgun.runtime import backup as backups
from railgun.runtime.backup import backup_profile, open_backup, restore_profile
from railgun.runtime.backup_file import MAGIC, BackupReader, Manifest, write_backup
from railgun.runtime.identity import create_member_profile, load_identity
from railgun.runtime.profile import ProfileKind, Unlock, create_key_file, create_profile, open_profile
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.storage.process_lock import ProcessLock
from tests.support.members import Wire, room_of
from tests.support.rosters import Device

ENTROPY, CLOCK = SystemEntropy(), SystemClock()
SECRET = "correct horse"
STORE = bytes(range(256)) * (2 * BACKUP_CHUNK_BYTES // 256) + b"the end"
CHEAP = 8 << 10


@pytest.fixture
def ada(tmp_path: Path) -> Path:
    create_member_profile(tmp_path / "ada", ENTROPY, CLOCK, name="Ada")
    return tmp_path / "ada"


def restore(source: Path, target: Path, secret: str = SECRET, **unlock: Any) -> backups.Restored:
    with open_backup(source, secret) as reader:
        return restore_profile(reader, target, ENTROPY, CLOCK, **unlock)


def written(store: bytes = STORE) -> bytes:
    file = io.BytesIO()
    manifest = Manifest("member", b"wrapped", b"k" * 32, len(store))
    write_backup(file, SECRET, manifest, io.BytesIO(store), ENTROPY, CHEAP)
    return file.getvalue()


def read(content: bytes, passphrase: str = SECRET) -> bytes:
    return b"".join(BackupReader(io.BytesIO(content), passphrase).store_pieces())


def test_a_profile_comes_back_whole_while_the_original_is_open(ada: Path, tmp_path: Path) -> None:
    target = tmp_path / "ada.backup"
    with open_profile(ada, ENTROPY) as original:
        original.store.commit([Write("settings", b"a", b"b")])
        before = load_identity(original.store)
        made = backup_profile(ada, target, SECRET, ENTROPY)
        original.store.commit([Write("settings", b"a", b"later")])
    assert (made.facts.unlock, made.file_bytes) == (Unlock.DEVICE_KEY, target.stat().st_size)
    assert target.stat().st_mode & 0o777 == 0o600
    assert not (ada / ".backup").exists()
    done = restore(target, tmp_path / "new")
    assert (done.facts.kind, done.sessions_retired) == (ProfileKind.MEMBER, 0)
    with open_profile(tmp_path / "new", ENTROPY) as opened:
        assert opened.store.get("settings", b"a") == b"b"
        after = load_identity(opened.store)
    assert (after.device_key, after.name, after.device_seed) == (before.device_key, "Ada", before.device_seed)
    # What others seal from now on is not for a key that the original may have replaced meanwhile.
    assert after.prekeys[0].issued > before.prekeys[0].issued
    assert after.prekeys[1].secret == before.prekeys[0].secret
    assert after.account != before.account


def test_what_a_killed_backup_left_is_erased_and_two_at_once_are_refused(ada: Path, tmp_path: Path) -> None:
    (ada / ".backup").mkdir()
    (ada / ".backup" / "store.sqlite").write_bytes(b"old keys")
    lock = ProcessLock(ada / ".backup.lock", "it")
    with pytest.raises(UsageError, match="is in use by process"):
        backup_profile(ada, tmp_path / "b", SECRET, ENTROPY)
    lock.release()
    backup_profile(ada, tmp_path / "b", SECRET, ENTROPY)
    assert not (ada / ".backup").exists()
    restore(tmp_path / "b", tmp_path / "new")


def test_sessions_of_the_original_do_not_send_again(ada: Path, tmp_path: Path) -> None:
    wire = Wire()
    anna, bert = room_of(wire, Device("anna"), Device("bert"))
    anna.say("hello")
    wire.settle()
    rows = anna.disk.rows(OUTBOUND)
    with open_profile(ada, ENTROPY) as original:
        original.store.commit([Write(OUTBOUND, key, value) for key, value in rows])
        original.store.commit([Write(INBOUND, key, value) for key, value in bert.disk.rows(INBOUND)])
    backup_profile(ada, tmp_path / "b", SECRET, ENTROPY)
    assert restore(tmp_path / "b", tmp_path / "new").sessions_retired == len(retired_writes(rows)) >= 2
    anna.disk.commit(retired_writes(rows))
    with open_profile(tmp_path / "new", ENTROPY) as opened:
        assert opened.store.load(OUTBOUND) == anna.disk.rows(OUTBOUND)
        assert opened.store.load(INBOUND) == bert.disk.rows(INBOUND)


def test_a_store_that_is_no_store_is_refused(ada: Path, tmp_path: Path) -> None:
    manifest = Manifest("member", (ada / "secrets").read_bytes(), (ada / "device.key").read_bytes(), len(STORE))
    with (tmp_path / "b").open("wb") as file:
        write_backup(file, SECRET, manifest, io.BytesIO(STORE), ENTROPY, CHEAP)
    with pytest.raises(StoreError, match="no store"):
        restore(tmp_path / "b", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_of_the_profile_stands_in_the_clear(ada: Path, tmp_path: Path) -> None:
    backup_profile(ada, tmp_path / "b", SECRET, ENTROPY)
    content = (tmp_path / "b").read_bytes()
    assert b"SQLite" not in content
    assert (ada / "device.key").read_bytes() not in content
    assert (ada / "secrets").read_bytes() not in content
    assert content.startswith(MAGIC)


@pytest.mark.parametrize("way", ["passphrase", "key file"])
def test_the_profile_opens_with_its_own_secret_as_before(way: str, tmp_path: Path) -> None:
    create_key_file(tmp_path / "key", ENTROPY)
    create_key_file(tmp_path / "other", ENTROPY)
    unlock: dict[str, Any] = {"passphrase": "own"} if way == "passphrase" else {"key_file": tmp_path / "key"}
    wrong: dict[str, Any] = {"passphrase": "else"} if way == "passphrase" else {"key_file": tmp_path / "other"}
    create_profile(tmp_path / "p", ProfileKind.RELAY, ENTROPY, **unlock)
    backup_profile(tmp_path / "p", tmp_path / "b", SECRET, ENTROPY)
    with pytest.raises(WrongPassphrase, match=f"opens with another {way}"):
        restore(tmp_path / "b", tmp_path / "new", **wrong)
    with pytest.raises(UsageError, match=f"profile .*/new needs its {way}"):
        restore(tmp_path / "b", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert restore(tmp_path / "b", tmp_path / "new", **unlock).facts.unlock.value == way


def test_nothing_is_overwritten(ada: Path, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        backup_profile(ada, tmp_path / "b", SECRET, ENTROPY)
    assert (tmp_path / "b").read_bytes() == b"mine"
    (tmp_path / "b").unlink()
    backup_profile(ada, tmp_path / "b", SECRET, ENTROPY)
    before = (ada / "store.sqlite").read_bytes()
    with pytest.raises(UsageError, match="there is a profile at"):
        restore(tmp_path / "b", ada)
    assert (ada / "store.sqlite").read_bytes() == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis").write_text("mine")
    with pytest.raises(UsageError, match="in the way"):
        restore(tmp_path / "b", tmp_path / "full")


def test_a_backup_that_fails_leaves_no_file(ada: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        backup_profile(ada, tmp_path / "b", "", ENTROPY)
    assert not (tmp_path / "b").exists()
    with pytest.raises(UsageError, match="no profile"):
        backup_profile(tmp_path / "nobody", tmp_path / "b", SECRET, ENTROPY)


def test_an_altered_backup_leaves_nothing_behind(ada: Path, tmp_path: Path) -> None:
    backup_profile(ada, tmp_path / "b", SECRET, ENTROPY)
    content = bytearray((tmp_path / "b").read_bytes())
    content[-1] ^= 1
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(StoreError, match="altered"):
        restore(tmp_path / "b", tmp_path / "new")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["ada", "b"]
    with pytest.raises(WrongPassphrase, match="wrong passphrase"):
        restore(tmp_path / "b", tmp_path / "new", "guess")
    with pytest.raises(UsageError, match="there is no backup"):
        restore(tmp_path / "none", tmp_path / "new")


def test_pieces_come_back_in_order_and_bounded() -> None:
    reader = BackupReader(io.BytesIO(written()), SECRET)
    pieces = list(reader.store_pieces())
    assert [len(piece) for piece in pieces] == [BACKUP_CHUNK_BYTES, BACKUP_CHUNK_BYTES, 7]
    assert b"".join(pieces) == STORE
    assert "kkk" not in repr(reader.manifest)
    assert "kkk" not in repr(reader)


def test_whatever_is_altered_cut_off_or_added_is_one_line() -> None:
    content = written(b"a small store")
    assert read(content) == b"a small store"
    for place in range(len(content)):
        spoilt = bytearray(content)
        spoilt[place] ^= 0x01
        # A wrapped key that asks for more work is still refused, but only after that work.
        if place in range(len(MAGIC) + 2, len(MAGIC) + 2 + wrapping.WRAPPED_BYTES_MAX) and place % 7:
            continue
        with pytest.raises(RailGunError) as caught:
            read(bytes(spoilt))
        assert "\n" not in str(caught.value)
    for length in range(0, len(content), 5):
        with pytest.raises(StoreError):
            read(content[:length])
    with pytest.raises(StoreError, match="altered"):
        read(content + b"x")


def test_pieces_cannot_change_places_or_be_left_out() -> None:
    content = written(bytes(BACKUP_CHUNK_BYTES) * 3)
    piece = 4 + wrapping.NONCE_BYTES + wrapping.CIPHER_TAG_BYTES + BACKUP_CHUNK_BYTES
    head, first, second, third = (
        content[: -3 * piece], content[-3 * piece : -2 * piece], content[-2 * piece : -piece], content[-piece:],
    )  # fmt: skip
    assert read(head + first + second + third) == bytes(3 * BACKUP_CHUNK_BYTES)
    for order in (second + first + third, first + third, first + second, first + first + third, first + third + second):
        with pytest.raises(StoreError):
            read(head + order)


def test_a_store_that_shrinks_meanwhile_is_told() -> None:
    with pytest.raises(StoreError, match="shorter"):
        write_backup(io.BytesIO(), SECRET, Manifest("member", b"w", b"", 9), io.BytesIO(b"short"), ENTROPY, CHEAP)
