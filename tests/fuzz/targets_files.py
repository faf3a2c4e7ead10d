"""Fuzz targets of files: configuration, network, profile facts, the store.

A file is hostile like a peer, but it may be large: its decoders answer in one line.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from railgun.errors import ConfigurationError, RailGunError, StoreError, WrongPassphrase
from railgun.network import NetworkKind, NetworkParameters
from railgun.ports import Write
from railgun.runtime.config import load_configuration
from railgun.runtime.network_file import format_network, parse_network
from railgun.runtime.profile import _read_kind
from railgun.storage.sqlite_store import SqliteStore
from railgun.storage.tables import SEALED_TABLES
from tests.fuzz.targets import Target
from tests.fuzz.targets_crypto import DATA_KEY, FixedEntropy

CONFIGURATION = b"""
[profile]
directory = "here"
key_file = "~/key"
[network]
file = "net.toml"
bootstrap = []
[node]
host = "::1"
port = 9_000
roles = ["relay", "fallback"]
name = "n\xc3\xa4me"
links_max = 12
[log]
level = "debug"
format = "json"
"""
TOML_SEEDS = (
    b"a = 1979-05-27T07:32:00-08:00\n",
    b"a = [1, 0x1f, 1e9, nan, inf, true, '''x''']\n[[b]]\nc.d.e = {f = 1}\n",
    b'"a\\nb" = 1\n["c\\u0000d"]\n',
    b"a = " + b"9" * 5_000 + b"\n",
)


@functools.cache
def _directory() -> Path:
    """Where inputs are put down for decoders that read files; gone when the process ends."""
    made = tempfile.mkdtemp(prefix="railgun-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _put(name: str, data: bytes) -> Path:
    path = _directory() / name
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def _one_line(error: RailGunError) -> None:
    if "\n" in str(error) or not str(error):
        raise AssertionError(f"not one line: {str(error)!r}") from error


def _configuration(data: bytes) -> None:
    try:
        load_configuration(_put("railgun.toml", data), {"HOME": "/home/somebody"})
    except ConfigurationError as error:
        _one_line(error)
        raise


def _environment(data: bytes) -> None:
    from tests.fuzz.samples import text_of

    parts = text_of(data).split("\0")
    environ = {"RAILGUN_" + name: value for name, _, value in (part.partition("=") for part in parts)}
    try:
        load_configuration(None, environ)
    except ConfigurationError as error:
        if "\n" not in text_of(data):  # a variable's own name is repeated as it is
            _one_line(error)
        raise


def _network(data: bytes) -> object:
    try:
        network = parse_network(data, "network file")
    except ConfigurationError as error:
        _one_line(error)
        raise
    if parse_network(format_network(network).encode(), "again") != network:
        raise AssertionError("a network that does not settle")
    return network


def _facts(data: bytes) -> object:
    try:
        return _read_kind(_put("profile.toml", data).parent)
    except StoreError as error:
        _one_line(error)
        raise


@functools.cache
def store_image() -> bytes:
    """A small store's file, its log written back."""
    path = _directory() / "made.sqlite"
    store = SqliteStore(path, DATA_KEY, FixedEntropy())
    writes = [
        Write(table, f"key {number}".encode(), bytes([number]) * 50)
        for table in SEALED_TABLES
        if table != "messages"
        for number in range(3)
    ]
    writes += [Write("messages", bytes([number]) * 48, b"message") for number in range(3)]
    store.commit(writes)
    store.close()
    data = path.read_bytes()
    path.unlink()
    return data


def read_store(data: bytes) -> None:
    """Open a file as a store and read all of it."""
    path = _put("store.sqlite", data)
    try:
        store = SqliteStore(path, DATA_KEY, FixedEntropy(), create=False, busy_seconds=0.1)
        try:
            for table in SEALED_TABLES:
                store.load(table)
            store.commit([Write("rooms", b"another", b"value")])
            store.verify()
        finally:
            store.close()
    except StoreError as error:
        _one_line(error)
        raise
    finally:
        for left in _directory().glob("store.sqlite*"):
            left.unlink()


@functools.cache
def files_targets() -> tuple[Target, ...]:
    """All of them."""
    network = format_network(NetworkParameters("garden", NetworkKind.LAN, 20, 4, 600)).encode()
    return (
        Target(
            "configuration",
            _configuration,
            (ConfigurationError,),
            lambda: [CONFIGURATION, *TOML_SEEDS],
            group="files",
        ),
        Target(
            "environment",
            _environment,
            (ConfigurationError,),
            lambda: [b"NODE_PORT=9000\0LOG_LEVEL=info\0NETWORK_BOOTSTRAP=\0PROFILE_DIRECTORY=/x", b"NODE_ROLES=relay"],
            group="files",
        ),
        Target("network_file", _network, (ConfigurationError,), lambda: [network, *TOML_SEEDS], group="files"),
        Target(
            "profile_facts",
            _facts,
            (StoreError,),
            lambda: [b'format = 1\nkind = "member"\n', b'format = 1\nkind = "relay"\n', *TOML_SEEDS],
            group="files",
        ),
        Target(
            "store",
            read_store,
            (StoreError, WrongPassphrase),
            lambda: [store_image()],
            bytes_max=1 << 20,
            group="store",
        ),
    )
