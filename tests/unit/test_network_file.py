"""Network files: what is written is read back, and each mistake is one line that says what to write."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.crypto.network_ids import network_id
from railgun.errors import ConfigurationError, RailGunError, StoreError, UsageError
from railgun.limits import CONFIGURATION_BYTES_MAX
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.network_file import format_network, load_network, parse_network, save_network

GARDEN = NetworkParameters("garden", NetworkKind.LAN, epoch_seconds=20, overlap_seconds=4)
NAMES = st.text(min_size=1, max_size=64).filter(str.isprintable)


def refusal(text: str | bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse_network(text if isinstance(text, bytes) else text.encode(), "garden.toml")
    message = str(caught.value)
    assert message.startswith("garden.toml: ")
    assert "\n" not in message
    return message


@given(
    NAMES,
    st.sampled_from(NetworkKind),
    st.integers(10, 86_400).flatmap(lambda epoch: st.tuples(st.just(epoch), st.integers(1, epoch // 4))),
    st.integers(60, 86_400),
)
def test_what_is_written_is_read_back(name: str, kind: NetworkKind, times: tuple[int, int], lifetime: int) -> None:
    network = NetworkParameters(name, kind, *times, lifetime)
    assert parse_network(format_network(network).encode(), "") == network


def test_the_file_shows_the_id(tmp_path: Path) -> None:
    path = tmp_path / "garden.toml"
    save_network(path, GARDEN)
    assert f'id = "{network_id(GARDEN).hex()}"' in path.read_text()
    assert load_network(path) == GARDEN
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_name_alone_is_enough() -> None:
    assert parse_network(b'name = "garden"', "") == NetworkParameters("garden")


def test_a_changed_parameter_no_longer_fits_the_id() -> None:
    text = format_network(GARDEN).replace("epoch_seconds = 20", "epoch_seconds = 30")
    changed = dataclasses.replace(GARDEN, epoch_seconds=30)
    message = refusal(text)
    assert "id: does not fit the parameters" in message
    assert network_id(changed).hex() in message
    without = "\n".join(line for line in text.splitlines() if not line.startswith("id"))
    assert parse_network(without.encode(), "") == changed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nepoch_second = 20', "epoch_second: unknown key; did you mean epoch_seconds?"),
        ('name = "a"\nwitnesses = 3', "witnesses: unknown key; "),
        ('name = "a"\n[lan]\nx = 1', "lan: unknown key; "),
        ("epoch_seconds = 20", 'name: missing; write name = "..."'),
        ("name = 3", "name: expected text"),
        ('name = ""', "network name: 1 to 64 printable characters"),
        ('name = "a\\u001b[2J"', "network name: 1 to 64 printable characters"),
        ('name = "a"\nkind = "wan"', "kind: expected public or lan"),
        ('name = "a"\nkind = 1', "kind: expected public or lan"),
        ('name = "a"\nepoch_seconds = "20"', "epoch_seconds: expected a whole number"),
        ('name = "a"\nepoch_seconds = true', "epoch_seconds: expected a whole number"),
        ('name = "a"\nepoch_seconds = 20.0', "epoch_seconds: expected a whole number"),
        ('name = "a"\nepoch_seconds = 9', "epoch_seconds = 9: must be from 10 to 86400"),
        ('name = "a"\noverlap_seconds = 151', "overlap_seconds = 151: must be from 1 to 150"),
        ('name = "a"\nid = 7', "id: does not fit"),
        ('name = "a"\nid = "\\u00e9"', "id: does not fit"),
        ("name = ", "not valid TOML"),
        (b"name = '\xff'", "not valid TOML"),
        ("a = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_write(text: str | bytes, said: str) -> None:
    assert said in refusal(text)


@given(st.binary(max_size=200))
def test_whatever_stands_in_the_file(data: bytes) -> None:
    with contextlib.suppress(ConfigurationError):  # the one documented error
        assert isinstance(parse_network(data, "file"), NetworkParameters)


def test_files_that_do_not_serve(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "absent.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigurationError, match=said):
            load_network(path)
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (CONFIGURATION_BYTES_MAX + 1))
    with pytest.raises(ConfigurationError, match="this is something else"):
        load_network(large)


def test_nothing_is_overwritten_and_nothing_half_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "garden.toml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        save_network(path, GARDEN)
    assert path.read_text() == "mine"
    with pytest.raises(StoreError, match="no directory: make it"):
        save_network(tmp_path / "absent" / "garden.toml", GARDEN)
    with pytest.raises(StoreError, match=r"cannot be made there.*give another path"):  # nothing can
        save_network(Path("/proc/garden.toml"), GARDEN)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("railgun.runtime.network_file.os.fsync", full)
    with pytest.raises(RailGunError, match="No space left on device: check that the disk has room"):
        save_network(tmp_path / "new.toml", GARDEN)
    assert not (tmp_path / "new.toml").exists()
