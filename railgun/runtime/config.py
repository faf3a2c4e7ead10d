"""Configuration: a TOML file, the environment over it, flags over both.

Owns: every setting's name, default, bounds and the one line that explains a mistake.
Must not know: what the settings do.

A setting ``node.port`` is key ``port`` of table ``[node]``, variable ``RAILGUN_NODE_PORT``, or whatever flag
the command line maps to ``node.port``. Relative paths count from the file that names them, else from the
working directory. Reference: docs/reference/configuration.md.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import ipaddress
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

from railgun.errors import ConfigurationError, MalformedInput
from railgun.limits import (
    BOOTSTRAP_MAX,
    CONFIGURATION_BYTES_MAX,
    FILE_BYTES_DEFAULT_MAX,
    FILE_BYTES_MAX,
    LINKS_MAX,
    RENDEZVOUS_SERVERS_MAX,
    TRAVERSAL_SERVERS_MAX,
)
from railgun.storage.files import open_regular
from railgun.types import Address, RelayContact, Role
from railgun.wire.contacts import parse_address, parse_contact
from railgun.wire.rendezvous import check_rendezvous_url

ENVIRONMENT_PREFIX: Final = "RAILGUN_"
PORT_DEFAULT: Final = 9000
NAME_LENGTH_MAX: Final = 64
SIMILARITY_MIN: Final = 0.8
"""How alike a stray variable must be to a known one to be called a typing mistake."""
ALL_INTERFACES: Final = "0.0.0.0"


class LogLevel(enum.StrEnum):
    """The least serious record that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """``text`` for people, ``json`` for machines: one object a line."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class _Context:
    """Where a value came from, which decides how relative paths and ``~`` are read."""

    directory: Path
    home: Path


_Parse = Callable[[object, _Context], Any]
_Enum = TypeVar("_Enum", bound=enum.StrEnum)


def _text(value: object, _: _Context) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def _name(value: object, context: _Context) -> str:
    text = _text(value, context)
    if len(text) > NAME_LENGTH_MAX or not text.isprintable():
        raise ValueError(f"expected at most {NAME_LENGTH_MAX} printable characters")
    return text


def _path(value: object, context: _Context) -> Path:
    text = _text(value, context)
    if not text or "\0" in text:
        raise ValueError("expected a path")
    if text == "~" or text.startswith("~/"):
        return context.home / text[2:]
    return context.directory / text


def _integer(least: int, most: int) -> _Parse:
    def parse(value: object, _: _Context) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(most)):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return value

    return parse


def _choice(kind: type[_Enum]) -> _Parse:
    def parse(value: object, _: _Context) -> _Enum:
        if not isinstance(value, str) or value not in list(kind):
            raise ValueError(f"expected one of {', '.join(kind)}")
        return kind(value)

    return parse


def _switch(value: object, _: _Context) -> bool:
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _host(value: object, context: _Context) -> str:
    try:
        return str(ipaddress.ip_address(_text(value, context)))
    except ValueError:
        raise ValueError("expected an IP address to listen on, such as 0.0.0.0, :: or 192.0.2.7") from None


def _list(value: object) -> list[str]:
    """A TOML array of text, or text with commas (environment and flags)."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return list(value)
    raise ValueError("expected a list of texts")


def _roles(value: object, _: _Context) -> Role:
    roles = Role(0)
    for item in _list(value):
        named = {str(role.name).lower(): role for role in Role}
        if item not in named:
            raise ValueError(f"expected roles among {', '.join(named)}")
        roles |= named[item]
    return roles


def _contacts(value: object, _: _Context) -> tuple[RelayContact, ...]:
    items = _list(value)
    if len(items) > BOOTSTRAP_MAX:
        raise ValueError(f"expected at most {BOOTSTRAP_MAX} contacts")
    try:
        return tuple(parse_contact(item) for item in items)
    except MalformedInput as error:
        raise ValueError(f"{error.detail} (`railgun node` prints a relay's contact)") from None


def _servers(value: object, _: _Context) -> tuple[Address, ...]:
    items = _list(value)
    if len(items) > TRAVERSAL_SERVERS_MAX:
        raise ValueError(f"expected at most {TRAVERSAL_SERVERS_MAX} servers")
    try:
        return tuple(parse_address(item) for item in items)
    except MalformedInput as error:
        raise ValueError(error.detail) from None


def _rendezvous(value: object, _: _Context) -> tuple[str, ...]:
    items = _list(value)
    if len(items) > RENDEZVOUS_SERVERS_MAX:
        raise ValueError(f"expected at most {RENDEZVOUS_SERVERS_MAX} servers")
    try:
        return tuple(check_rendezvous_url(item) for item in items)
    except MalformedInput as error:
        raise ValueError(error.detail) from None


@dataclass(frozen=True, slots=True)
class ProfileConfiguration:
    """Where this device keeps its state, and the key file (instead of a passphrase) that opens it."""

    directory: Annotated[Path, _path]
    key_file: Annotated[Path | None, _path] = None


@dataclass(frozen=True, slots=True)
class NetworkConfiguration:
    """The network's parameter file, the relays to try first, and servers that help peers behind NAT."""

    file: Annotated[Path | None, _path] = None
    bootstrap: Annotated[tuple[RelayContact, ...], _contacts] = ()
    stun: Annotated[tuple[Address, ...], _servers] = ()
    turn: Annotated[tuple[Address, ...], _servers] = ()


@dataclass(frozen=True, slots=True)
class RendezvousConfiguration:
    """Servers that are asked for relays while none can be dialled, and that a relay registers with."""

    servers: Annotated[tuple[str, ...], _rendezvous] = ()


@dataclass(frozen=True, slots=True)
class NodeConfiguration:
    """A relay: the address to listen on (port 0: any free one), what it offers, and its bounds."""

    host: Annotated[str, _host] = ALL_INTERFACES
    port: Annotated[int, _integer(0, 65_535)] = PORT_DEFAULT
    roles: Annotated[Role, _roles] = Role.RELAY
    name: Annotated[str, _name] = ""
    links_max: Annotated[int, _integer(1, LINKS_MAX)] = LINKS_MAX


@dataclass(frozen=True, slots=True)
class MemberConfiguration:
    """Whether members of a room and this device may link directly when no relay is left; None: in lan networks."""

    listen: Annotated[bool | None, _switch] = None


@dataclass(frozen=True, slots=True)
class FilesConfiguration:
    """Files in rooms: larger ones are neither sent nor collected."""

    bytes_max: Annotated[int, _integer(0, FILE_BYTES_MAX)] = FILE_BYTES_DEFAULT_MAX


@dataclass(frozen=True, slots=True)
class LogConfiguration:
    """What is logged, and how."""

    level: Annotated[LogLevel, _choice(LogLevel)] = LogLevel.INFO
    format: Annotated[LogFormat, _choice(LogFormat)] = LogFormat.TEXT


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings, checked."""

    profile: ProfileConfiguration
    network: NetworkConfiguration
    rendezvous: RendezvousConfiguration
    node: NodeConfiguration
    member: MemberConfiguration
    files: FilesConfiguration
    log: LogConfiguration


_SECTIONS: Final[Mapping[str, type]] = {
    "profile": ProfileConfiguration,
    "network": NetworkConfiguration,
    "rendezvous": RendezvousConfiguration,
    "node": NodeConfiguration,
    "member": MemberConfiguration,
    "files": FilesConfiguration,
    "log": LogConfiguration,
}


def setting_names() -> tuple[str, ...]:
    """Every setting as ``section.key``, in the order of the reference."""
    return tuple(f"{section}.{field.name}" for section, cls in _SECTIONS.items() for field in dataclasses.fields(cls))


def environment_name(setting: str) -> str:
    """The variable that carries ``setting``: ``node.port`` is ``RAILGUN_NODE_PORT``."""
    return ENVIRONMENT_PREFIX + setting.replace(".", "_").upper()


def load_configuration(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Configuration:
    """Read, merge and check all settings; touches no file but ``path``.

    Args:
        path: the TOML file; None for none.
        environ: the process's environment.
        overrides: ``section.key`` to value, from the command line; None values count as absent.

    Raises:
        ConfigurationError: one line with the source, the setting, and what to write instead.
    """
    home = Path(environ.get("HOME") or "/")
    here = _Context(Path.cwd(), home)
    data_home = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    values: dict[str, Any] = {"profile.directory": data_home / "railgun"}
    if path is not None:
        context = _Context(path.absolute().parent, home)
        for setting, value in _flatten(_read(path), str(path)).items():
            values[setting] = _parse(setting, value, context, str(path))
    for setting, value in _from_environment(environ).items():
        values[setting] = _parse(setting, value, here, environment_name(setting))
    for setting, value in (overrides or {}).items():
        if value is not None:
            known = _known(setting, "command line")
            values[known] = _parse(known, value, here, "command line")
    return Configuration(**{section: _build(section, values) for section in _SECTIONS})


def check_configuration(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Configuration:
    """`load_configuration`, then look whether the files that it names are there and safe (``railgun config check``).

    Raises:
        ConfigurationError: as above; or a named file is missing, or others may read the key file.
    """
    configuration = load_configuration(path, environ, overrides)
    key_file = configuration.profile.key_file
    for setting, file in (("profile.key_file", key_file), ("network.file", configuration.network.file)):
        if file is not None and not file.is_file():
            raise ConfigurationError(f"{setting}: {file}: no such file; correct the path or make the file")
        if file is not None and not os.access(file, os.R_OK):
            raise ConfigurationError(f"{setting}: {file}: not readable by this user; run `chmod u+r {file}`")
    if key_file is not None and key_file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"profile.key_file: {key_file}: others may read it; run `chmod 600 {key_file}`")
    directory = configuration.profile.directory
    if directory.exists() and not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        raise ConfigurationError(f"profile.directory: {directory}: not a directory that this user can write to")
    return configuration


def _read(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            data = file.read(CONFIGURATION_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; name another file or leave --config out") from error
    if len(data) > CONFIGURATION_BYTES_MAX:
        raise ConfigurationError(f"{path}: over {CONFIGURATION_BYTES_MAX} bytes; this is no configuration")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or a number of thousands of digits
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"{path}: not valid TOML: {reason}") from error


def _flatten(document: Mapping[str, Any], source: str) -> dict[str, object]:
    flat: dict[str, object] = {}
    for section, table in document.items():
        if section not in _SECTIONS:
            raise ConfigurationError(
                f"{source}: [{printable(section)}]: unknown section; {_nearest(section, _SECTIONS)}"
            )
        if not isinstance(table, dict):
            raise ConfigurationError(f"{source}: {section}: expected a table; write [{section}] on a line of its own")
        for key, value in table.items():
            flat[_known(f"{section}.{key}", source)] = value
    return flat


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    names = {environment_name(setting): setting for setting in setting_names()}
    found: dict[str, str] = {}
    for variable, value in sorted(environ.items()):
        if variable in names:
            found[names[variable]] = value
        elif variable.startswith(tuple(f"{ENVIRONMENT_PREFIX}{section.upper()}_" for section in _SECTIONS)) or (
            variable.startswith(ENVIRONMENT_PREFIX)
            and difflib.get_close_matches(variable, names, n=1, cutoff=SIMILARITY_MIN)
        ):
            raise ConfigurationError(f"environment: {variable}: unknown setting; {_nearest(variable, names)}")
    return found


def _known(setting: str, source: str) -> str:
    names = setting_names()
    if setting not in names:
        raise ConfigurationError(f"{source}: {printable(setting)}: unknown key; {_nearest(setting, names)}")
    return setting


def printable(name: str) -> str:
    """A name out of a file as one line shows it: TOML's quoted keys may hold line breaks and escape sequences."""
    shown = name if len(name) <= NAME_LENGTH_MAX else name[:NAME_LENGTH_MAX] + "..."
    return shown if shown.isprintable() else ascii(shown)


def _nearest(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]}?" if matches else f"known are {', '.join(known)}"


def _parse(setting: str, value: object, context: _Context, source: str) -> Any:
    section, _, key = setting.partition(".")
    hint = get_type_hints(_SECTIONS[section], include_extras=True)[key]
    parse: _Parse = hint.__metadata__[0]
    try:
        return parse(value, context)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {setting}: {error}") from error


def _build(section: str, values: Mapping[str, Any]) -> Any:
    cls = _SECTIONS[section]
    names = (field.name for field in dataclasses.fields(cls))
    return cls(**{name: values[f"{section}.{name}"] for name in names if f"{section}.{name}" in values})
