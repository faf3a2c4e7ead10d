"""A network's parameters as a TOML file that people pass on.

Owns: the file's form, its checks, the one line that explains a mistake. Must not know: who is in the network.

::

    name = "garden"
    kind = "lan"
    epoch_seconds = 600
    overlap_seconds = 120
    ad_lifetime_seconds = 86400
    id = "64 hexadecimal digits"

``name`` is required, the others default to those of `NetworkParameters`. ``id`` is the hash of the parameters
(docs/reference/network-file.md): where it stands it must fit them, so that a changed number is noticed before peers
refuse each other.
"""

from __future__ import annotations

import dataclasses
import difflib
import hmac
import json
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from railgun.crypto.network_ids import network_id
from railgun.errors import ConfigurationError, StoreError, UsageError
from railgun.limits import CONFIGURATION_BYTES_MAX
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.config import printable
from railgun.storage.files import explained, open_regular, sync_directory

ID_KEY: Final = "id"
FILE_MODE: Final = 0o644
"""Nothing in it is secret; everyone in the network has it."""
_FIELDS: Final = {field.name: field for field in dataclasses.fields(NetworkParameters)}


def load_network(path: Path) -> NetworkParameters:
    """The network that ``path`` describes.

    Raises:
        ConfigurationError: one line with the file, what is wrong in it and what to write instead.
    """
    try:
        with open_regular(path) as file:
            data = file.read(CONFIGURATION_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(
            f"network file {path}: {error.strerror}: correct the path, or make one with `railgun network create`"
        ) from error
    if len(data) > CONFIGURATION_BYTES_MAX:
        raise ConfigurationError(f"network file {path}: over {CONFIGURATION_BYTES_MAX} bytes: this is something else")
    return parse_network(data, f"network file {path}")


def parse_network(data: bytes, source: str) -> NetworkParameters:
    """As `load_network`, from the file's bytes; ``source`` begins the error's text."""
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise ConfigurationError(f"{source}: not valid TOML: {str(error).partition(chr(10))[0]}") from error
    claimed = document.pop(ID_KEY, None)
    for key in document:
        if key not in _FIELDS:
            raise ConfigurationError(f"{source}: {printable(key)}: unknown key; {_suggestion(key)}")
    if "name" not in document:
        raise ConfigurationError(f'{source}: name: missing; write name = "..." in it')
    try:
        network = NetworkParameters(**{key: _value(key, value) for key, value in document.items()})
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    if claimed is not None:
        _check_id(claimed, network, source)
    return network


def format_network(network: NetworkParameters) -> str:
    """The file's content, the id included."""
    lines = [
        "# A Rail Gun network. All its peers need these very values: a change of one makes another network.",
        *(f"{key} = {_literal(getattr(network, key))}" for key in _FIELDS),
        f"{ID_KEY} = {_literal(network_id(network).hex())}",
    ]
    return "\n".join(lines) + "\n"


def save_network(path: Path, network: NetworkParameters) -> None:
    """Write a new file; on return it is on the disk.

    Raises:
        UsageError: there is a file already.
        StoreError: the disk refused; nothing is left behind.
    """
    path = path.absolute()
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} is no directory: make it, or give another path")
    with explained(path, makes=True):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
        except FileExistsError as error:
            raise UsageError(f"{path} exists already: give another path, or remove it first") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(format_network(network).encode())
                file.flush()
                os.fsync(file.fileno())
            sync_directory(path.parent)
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _value(key: str, value: object) -> Any:
    default = _FIELDS[key].default
    if key == "name":
        if not isinstance(value, str):
            raise ConfigurationError("name: expected text")
        return value
    if isinstance(default, NetworkKind):
        if not isinstance(value, str) or value not in list(NetworkKind):
            raise ConfigurationError(f"{key}: expected {' or '.join(NetworkKind)}")
        return NetworkKind(value)
    if type(value) is not int:
        raise ConfigurationError(f"{key}: expected a whole number")
    return value


def _literal(value: object) -> str:
    # A JSON string is a TOML basic string too, but for surrogate pairs: characters beyond ASCII stand as they are.
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    return str(value)


def _check_id(claimed: object, network: NetworkParameters, source: str) -> None:
    found = network_id(network).hex()
    if not isinstance(claimed, str) or not hmac.compare_digest(claimed.lower().encode(), found.encode()):
        raise ConfigurationError(
            f"{source}: id: does not fit the parameters, whose id is {found}: "
            "get the file again from whoever made the network, or remove the id if you mean to change it"
        )


def _suggestion(key: str) -> str:
    known = [*_FIELDS, ID_KEY]
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else f"known are {', '.join(known)}"
