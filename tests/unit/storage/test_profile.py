"""Profiles: creation as one step, locks, permissions, what opens them."""

from __future__ import annotations

import fcntl
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from railgun.errors import InvariantViolated, RailGunError, StoreError, UsageError, WrongPassphrase
from railgun.ports import Write
from railgun.runtime import profile as profiles
from railgun.runtime.profile import (
    ProfileFacts,
    ProfileKind,
    Unlock,
    create_key_file,
    create_profile,
    open_profile,
    read_profile_facts,
)
from railgun.storage.sqlite_store import SqliteStore
from tests.unit.storage.children import start
from tests.unit.storage.support import SystemEntropy

ENTROPY = SystemEntropy()
IDENTITY = [Write("identity", b"device", b"the device's key")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice"


@pytest.fixture
def profile(path: Path) -> Path:
    create_profile(path, ProfileKind.MEMBER, ENTROPY, initial_writes=IDENTITY)
    return path


def error_of(path: Path, **arguments: object) -> RailGunError:
    with pytest.raises(RailGunError) as caught:
        open_profile(path, ENTROPY, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return caught.value


def test_without_a_passphrase_a_device_key_inside_opens_it(profile: Path) -> None:
    assert read_profile_facts(profile) == ProfileFacts(ProfileKind.MEMBER, Unlock.DEVICE_KEY)
    assert sorted(found.name for found in profile.iterdir()) == [
        "device.key", "lock", "profile.toml", "secrets", "store.sqlite",
    ]  # fmt: skip
    assert (profile / "device.key").stat().st_size == 32
    with open_profile(profile, ENTROPY) as opened:
        assert opened.kind is ProfileKind.MEMBER
        assert opened.store.load("identity") == [(b"device", b"the device's key")]


def test_a_passphrase_opens_it_and_nothing_else_does(path: Path, tmp_path: Path) -> None:
    create_profile(path, ProfileKind.RELAY, ENTROPY, passphrase="correct horse", initial_writes=IDENTITY)
    assert not (path / "device.key").exists()
    assert read_profile_facts(path) == ProfileFacts(ProfileKind.RELAY, Unlock.PASSPHRASE)
    wrong = error_of(path, passphrase="battery staple")
    assert isinstance(wrong, WrongPassphrase)
    assert "wrong passphrase: try again" in str(wrong)
    create_key_file(tmp_path / "key", ENTROPY)
    assert isinstance(error_of(path), UsageError)
    assert isinstance(error_of(path, key_file=tmp_path / "key"), UsageError)
    with open_profile(path, ENTROPY, passphrase="correct horse") as opened:
        assert opened.store.count("identity") == 1


def test_a_key_file_elsewhere_opens_it_and_nothing_else_does(path: Path, tmp_path: Path) -> None:
    key, other = tmp_path / "key", tmp_path / "other"
    create_key_file(key, ENTROPY)
    create_key_file(other, ENTROPY)
    create_profile(path, ProfileKind.MEMBER, ENTROPY, key_file=key)
    assert read_profile_facts(path).unlock is Unlock.KEY_FILE
    assert isinstance(error_of(path, key_file=other), WrongPassphrase)
    assert "needs its key file" in str(error_of(path))
    assert "not with a passphrase" in str(error_of(path, passphrase="p"))
    assert "there is no key file" in str(error_of(path, key_file=tmp_path / "none"))
    key.chmod(0o644)
    assert f"chmod 600 {key}" in str(error_of(path, key_file=key))
    key.chmod(0o400)
    open_profile(path, ENTROPY, key_file=key).close()


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    create_key_file(tmp_path / "key", ENTROPY)
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        create_key_file(tmp_path / "key", ENTROPY)
    assert (tmp_path / "key").read_bytes() == before
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_two_ways_at_once_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        create_profile(path, ProfileKind.MEMBER, ENTROPY, passphrase="p", key_file=tmp_path / "key")
    assert isinstance(error_of(path, passphrase="p", key_file=tmp_path / "key"), UsageError)


def test_everything_is_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        create_profile(path, ProfileKind.MEMBER, ENTROPY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(found.stat().st_mode) for found in path.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["secrets", "device.key", "store.sqlite", "profile.toml", ""])
@pytest.mark.parametrize("bit", [0o040, 0o004, 0o020])
def test_what_others_can_reach_is_refused_with_the_command_to_run(profile: Path, name: str, bit: int) -> None:
    target = profile / name if name else profile
    target.chmod(stat.S_IMODE(target.stat().st_mode) | bit)
    refused = str(error_of(profile))
    assert "is open to other users: run chmod" in refused
    subprocess.run(shlex.split(refused.partition(": run ")[2]), check=True)
    open_profile(profile, ENTROPY).close()


def test_another_users_files_are_refused(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: profile.stat().st_uid + 1)
    assert "belongs to another user" in str(error_of(profile))


def test_a_second_opening_names_the_holder(profile: Path) -> None:
    with start("hold", profile) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            refused = error_of(profile)
            assert isinstance(refused, UsageError)
            assert f"is in use by process {child.pid}: stop it" in str(refused)
            assert read_profile_facts(profile).kind is ProfileKind.MEMBER
        finally:
            child.kill()
    open_profile(profile, ENTROPY).close()  # a killed holder holds nothing


def test_one_process_cannot_open_it_twice_and_close_lets_go(profile: Path) -> None:
    first = open_profile(profile, ENTROPY)
    assert f"process {os.getpid()}" in str(error_of(profile))
    first.close()
    first.close()
    open_profile(profile, ENTROPY).close()


@pytest.mark.parametrize("content", [b"", b"garbage", b"99999999999999999999999", b"-1"])
def test_a_lock_file_that_someone_edited_does_no_harm(profile: Path, content: bytes) -> None:
    with open_profile(profile, ENTROPY):
        (profile / "lock").write_bytes(content)
        assert isinstance(error_of(profile), UsageError)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_failed_opening_lets_go_of_the_lock(path: Path) -> None:
    create_profile(path, ProfileKind.MEMBER, ENTROPY, passphrase="right")
    for _ in range(2):
        assert isinstance(error_of(path, passphrase="wrong"), WrongPassphrase)
    descriptors = open_descriptors()
    error_of(path, passphrase="wrong")
    assert open_descriptors() == descriptors


def test_there_is_none(path: Path, tmp_path: Path) -> None:
    assert isinstance(error_of(path), UsageError)
    assert "create one with railgun init" in str(error_of(path))
    (tmp_path / "file").write_text("x")
    assert isinstance(error_of(tmp_path / "file"), UsageError)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"format = ", b'kind = "member"', b'format = 1\nkind = "king"', b'format = true\nkind = "member"',
     b'format = 0\nkind = "member"', b"format = 1\nkind = 1", b'format = 1\nkind = "member"\nmore = 1',
     b"format = 1\nkind = []", b'a = ' + b"[" * 30_000, b"#" * 70_000],
)  # fmt: skip
def test_damaged_facts(profile: Path, content: bytes) -> None:
    (profile / "profile.toml").write_bytes(content)
    refused = error_of(profile)
    assert isinstance(refused, StoreError)
    assert "restore the profile from a backup" in str(refused)


def test_a_newer_format_says_what_to_do(profile: Path) -> None:
    (profile / "profile.toml").write_text('format = 2\nkind = "member"\nfuture = 1\n')
    assert "newer Rail Gun (format 2): upgrade railgun" in str(error_of(profile))


@pytest.mark.parametrize("content", [b"", b"garbage", b"\0" * 70_000])
def test_damaged_secrets(profile: Path, content: bytes) -> None:
    (profile / "secrets").write_bytes(content)
    assert "restore the profile from a backup" in str(error_of(profile))


@pytest.mark.parametrize("name", ["secrets", "store.sqlite"])
def test_a_missing_file_is_named_and_never_made_anew(profile: Path, name: str) -> None:
    (profile / name).unlink()
    assert f"{profile / name} is missing" in str(error_of(profile))
    assert not (profile / name).exists()


def test_a_lost_device_key_asks_for_a_key_file(profile: Path, tmp_path: Path) -> None:
    (profile / "device.key").rename(tmp_path / "moved.key")
    assert "needs its key file" in str(error_of(profile))
    open_profile(profile, ENTROPY, key_file=tmp_path / "moved.key").close()


def test_an_emptied_store_is_not_taken_for_a_new_one(profile: Path) -> None:
    """Or a device would start again with its old keys and a forgotten ratchet."""
    (profile / "store.sqlite").write_bytes(b"")
    assert "it is empty: restore the profile" in str(error_of(profile))


def test_another_profiles_store_is_refused(profile: Path, tmp_path: Path) -> None:
    create_profile(tmp_path / "bob", ProfileKind.MEMBER, ENTROPY)
    (tmp_path / "bob" / "store.sqlite").rename(profile / "store.sqlite")
    assert "sealed under another key" in str(error_of(profile))


@pytest.mark.parametrize("name", ["secrets", "device.key", "profile.toml", "store.sqlite", "lock"])
def test_a_link_inside_is_refused(profile: Path, tmp_path: Path, name: str) -> None:
    (profile / name).rename(tmp_path / name)
    (profile / name).symlink_to(tmp_path / name)
    assert isinstance(error_of(profile), StoreError)


def test_a_profile_is_never_made_over_something_else(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is a profile at"):
        create_profile(profile, ProfileKind.MEMBER, ENTROPY)
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    full.mkdir()
    (full / "note").write_text("mine")
    file.write_text("mine")
    (tmp_path / "empty").mkdir()
    link.symlink_to(tmp_path / "empty")
    for taken in (full, file, link):
        with pytest.raises(UsageError, match="is in the way"):
            create_profile(taken, ProfileKind.MEMBER, ENTROPY)
    create_profile(tmp_path / "empty", ProfileKind.MEMBER, ENTROPY)
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".")] == []


def test_of_two_at_once_one_wins_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def someone_is_faster(*arguments: object) -> object:
        monkeypatch.undo()
        create_profile(path, ProfileKind.RELAY, ENTROPY)
        return SqliteStore(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(profiles, "SqliteStore", someone_is_faster)
    with pytest.raises(UsageError, match="is in the way"):
        create_profile(path, ProfileKind.MEMBER, ENTROPY)
    with open_profile(path, ENTROPY) as opened:
        assert opened.kind is ProfileKind.RELAY
    assert [found.name for found in path.parent.iterdir()] == ["alice"]


def test_an_error_midway_leaves_nothing(path: Path) -> None:
    with pytest.raises(InvariantViolated):
        create_profile(path, ProfileKind.MEMBER, ENTROPY, initial_writes=[Write("no such table", b"k", b"v")])
    assert list(path.parent.iterdir()) == []


def test_what_was_abandoned_goes_and_what_is_in_use_stays(path: Path) -> None:
    abandoned, in_use = path.with_name(".alice.creating-00"), path.with_name(".alice.creating-11")
    others = path.with_name(".alicent.creating-00")
    for directory in (abandoned, in_use, others):
        directory.mkdir()
        (directory / "secrets").write_text("half")
    descriptor = os.open(in_use, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        create_profile(path, ProfileKind.MEMBER, ENTROPY)
    finally:
        os.close(descriptor)
    assert sorted(found.name for found in path.parent.iterdir()) == [in_use.name, others.name, "alice"]


def test_keys_are_redacted_and_derived_the_same_each_time(profile: Path) -> None:
    with open_profile(profile, ENTROPY) as opened:
        first = opened.subkey("pickle")
        assert repr(opened._data_key)[2:-1] not in repr(opened)
        assert "redacted" in repr(opened)
        assert opened.subkey("other") != first
    with open_profile(profile, ENTROPY) as opened:
        assert opened.subkey("pickle") == first
