"""Settings: a TOML file, the environment over it, flags over both.

Owns: every setting's name, default, bounds and the one line that explains a mistake. Must not know: what they do.

A setting ``server.port`` is key ``port`` of table ``[server]``, variable ``RAILGUN_SIGNALING_SERVER_PORT``, or whatever
flag the command line maps to it. Reference: signaling/README.md.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import difflib
import enum
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

from railgun_signaling.errors import ConfigurationError
from railgun_signaling.frames import RelayAddress
from railgun_signaling.limits import CONFIGURATION_BYTES_MAX
from railgun_signaling.logs import LogFormat, LogLevel
from railgun_signaling.relays import StaticRelay
from railgun_signaling.sources import Network

ENVIRONMENT_PREFIX: Final = "RAILGUN_SIGNALING_"
CONTACT_SCHEME: Final = "railgun-relay:"
LIST_MAX: Final = 64
_SUBJECT = re.compile(r"[A-Za-z0-9_-]{1,32}(\.[A-Za-z0-9_-]{1,32}){0,3}")
_NATS_URL = re.compile(r"(nats|tls)://[^\s/]+")

_Parse: TypeAlias = Callable[[object, Path], Any]


class AddressCheck(enum.StrEnum):
    """Which relays may register: those whose ad names the address that they come from, or all."""

    SOURCE = "source"
    ANY = "any"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("expected text")
    return value


def _list(value: object) -> list[str]:
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise ValueError("expected a list of texts")
    if len(value) > LIST_MAX:
        raise ValueError(f"expected at most {LIST_MAX}")
    return list(value)


def _path(value: object, directory: Path) -> Path:
    return directory / Path(_text(value)).expanduser()


def _whole(least: int, most: int) -> _Parse:
    def parse(value: object, _: Path) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(most)):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return value

    return parse


def _number(least: float, most: float) -> _Parse:
    def parse(value: object, _: Path) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(f"expected a number from {least:g} to {most:g}")
        try:
            found = float(value)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            raise ValueError(f"expected a number from {least:g} to {most:g}")
        return found

    return parse


def _choice(kind: type[enum.StrEnum]) -> _Parse:
    def parse(value: object, _: Path) -> enum.StrEnum:
        if not isinstance(value, str) or value not in list(kind):
            raise ValueError(f"expected one of {', '.join(kind)}")
        return kind(value)

    return parse


def _hosts(value: object, _: Path) -> tuple[str, ...]:
    hosts = _list(value)
    try:
        found = tuple(str(ipaddress.ip_address(host)) for host in hosts)
    except ValueError:
        raise ValueError("expected IP addresses to listen on, such as 0.0.0.0 or ::") from None
    if not found:
        raise ValueError("expected at least one address")
    return found


def _proxies(value: object, _: Path) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(item) for item in _list(value))
    except ValueError:
        raise ValueError("expected addresses or networks of proxies, such as 127.0.0.1 or 10.0.0.0/8") from None


def _networks(value: object, _: Path) -> tuple[bytes, ...]:
    return tuple(_network_id(item) for item in _list(value))


def _network_id(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise ValueError("expected a network's id, 64 hexadecimal digits (the id in its network file)")
    return bytes.fromhex(text)


def _static(value: object, _: Path) -> tuple[StaticRelay, ...]:
    found = []
    for item in _list(value):
        network, _space, contact = item.partition(" ")
        found.append(StaticRelay(_network_id(network), _relay(contact.strip())))
    return tuple(found)


def _relay(text: str) -> RelayAddress:
    """A relay's contact (spec: contacts). Raises ValueError."""
    wrong = ValueError("expected `NETWORK-ID railgun-relay:KEYS@ADDRESS:PORT` (`railgun node` prints the contact)")
    keys, at, address = text.removeprefix(CONTACT_SCHEME).partition("@")
    host, colon, port = address.rpartition(":")
    if not (text.startswith(CONTACT_SCHEME) and at and colon and re.fullmatch(r"[1-9][0-9]{0,4}", port)):
        raise wrong
    try:
        raw = base64.b64decode(keys + "==", altchars=b"-_", validate=True)
        packed = ipaddress.ip_address(host.strip("[]")).packed + int(port).to_bytes(2, "big")
    except (binascii.Error, ValueError, OverflowError):
        raise wrong from None
    if len(raw) != 64:
        raise wrong
    return RelayAddress(raw[:32], raw[32:], (packed,))


def _nats_url(value: object, _: Path) -> str:
    text = _text(value)
    if _NATS_URL.fullmatch(text) is None:
        raise ValueError("expected nats://HOST:PORT or tls://HOST:PORT")
    return text


def _subject(value: object, _: Path) -> str:
    text = _text(value)
    if _SUBJECT.fullmatch(text) is None:
        raise ValueError("expected 1 to 4 words of letters, digits, - and _, with dots between")
    return text


@dataclass(frozen=True, slots=True)
class ServerConfiguration:
    """The listener. ``port`` 0: any free one. ``trusted_proxies``: whose X-Forwarded-For is believed."""

    hosts: Annotated[tuple[str, ...], _hosts] = ("0.0.0.0",)
    port: Annotated[int, _whole(0, 65_535)] = 8_443
    tls_cert: Annotated[Path | None, _path] = None
    tls_key: Annotated[Path | None, _path] = None
    trusted_proxies: Annotated[tuple[Network, ...], _proxies] = ()
    drain_seconds: Annotated[float, _number(0.0, 300.0)] = 10.0


@dataclass(frozen=True, slots=True)
class LimitsConfiguration:
    """What the server, and one source (an IPv4 address, an IPv6 /64; its /24 or /48 eight times that), may do."""

    connections_max: Annotated[int, _whole(1, 65_535)] = 4_096
    connections_per_source: Annotated[int, _whole(1, 65_535)] = 16
    arrivals_per_second: Annotated[float, _number(0.01, 10_000.0)] = 2.0
    arrivals_burst: Annotated[int, _whole(1, 100_000)] = 20
    frames_per_second: Annotated[float, _number(0.01, 10_000.0)] = 10.0
    frames_burst: Annotated[int, _whole(1, 100_000)] = 60


@dataclass(frozen=True, slots=True)
class RelaysConfiguration:
    """Which relays are handed out. ``networks``: those served (none: all). ``static``: relays that do not register."""

    networks: Annotated[tuple[bytes, ...], _networks] = ()
    static: Annotated[tuple[StaticRelay, ...], _static] = ()
    address_check: Annotated[AddressCheck, _choice(AddressCheck)] = AddressCheck.SOURCE


@dataclass(frozen=True, slots=True)
class NatsConfiguration:
    """Presence shared with other instances; without a URL this one is alone."""

    url: Annotated[str | None, _nats_url] = field(default=None, repr=False)
    credentials: Annotated[Path | None, _path] = None
    subject: Annotated[str, _subject] = "railgun.signaling.v1"


@dataclass(frozen=True, slots=True)
class LogConfiguration:
    """What is logged, and how."""

    level: Annotated[LogLevel, _choice(LogLevel)] = LogLevel.INFO
    format: Annotated[LogFormat, _choice(LogFormat)] = LogFormat.TEXT


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings, checked."""

    server: ServerConfiguration = ServerConfiguration()
    limits: LimitsConfiguration = LimitsConfiguration()
    relays: RelaysConfiguration = RelaysConfiguration()
    nats: NatsConfiguration = NatsConfiguration()
    log: LogConfiguration = LogConfiguration()


_SECTIONS: Final[Mapping[str, type]] = {
    "server": ServerConfiguration,
    "limits": LimitsConfiguration,
    "relays": RelaysConfiguration,
    "nats": NatsConfiguration,
    "log": LogConfiguration,
}


def setting_names() -> tuple[str, ...]:
    """Every setting as ``section.key``."""
    return tuple(f"{section}.{one.name}" for section, cls in _SECTIONS.items() for one in dataclasses.fields(cls))


def environment_name(setting: str) -> str:
    """The variable that carries ``setting``."""
    return ENVIRONMENT_PREFIX + setting.replace(".", "_").upper()


def load_configuration(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object] | None = None
) -> Configuration:
    """Read, merge and check all settings, and look whether the files that they name are there.

    Raises:
        ConfigurationError: one line with the source, the setting, and what to write instead.
    """
    values: dict[str, Any] = {}
    if path is not None:
        for setting, value in _flatten(_read(path), str(path)).items():
            values[setting] = _parsed(setting, value, path.absolute().parent, str(path))
    names = {environment_name(setting): setting for setting in setting_names()}
    for variable, value in sorted(environ.items()):
        if variable in names:
            values[names[variable]] = _parsed(names[variable], value, Path.cwd(), variable)
        elif variable.startswith(ENVIRONMENT_PREFIX):
            raise ConfigurationError(f"environment: {variable}: unknown setting; {_nearest(variable, names)}")
    for setting, value in (flags or {}).items():
        if value is not None:
            values[setting] = _parsed(setting, value, Path.cwd(), "command line")
    loaded = Configuration(**{section: _build(section, values) for section in _SECTIONS})
    _check_files(loaded)
    return loaded


def _check_files(loaded: Configuration) -> None:
    server = loaded.server
    if (server.tls_cert is None) != (server.tls_key is None):
        raise ConfigurationError("server.tls_cert and server.tls_key go together: give both, or neither behind a proxy")
    named = {"server.tls_cert": server.tls_cert, "server.tls_key": server.tls_key}
    for setting, file in {**named, "nats.credentials": loaded.nats.credentials}.items():
        if file is not None and not file.is_file():
            raise ConfigurationError(f"{setting}: {file}: no such file; correct the path or make the file")
        if file is not None and not os.access(file, os.R_OK):
            raise ConfigurationError(f"{setting}: {file}: not readable by this user; run `chmod u+r {file}`")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(CONFIGURATION_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; name another file or leave --config out") from error
    if len(data) > CONFIGURATION_BYTES_MAX:
        raise ConfigurationError(f"{path}: over {CONFIGURATION_BYTES_MAX} bytes; this is no configuration")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {str(error).partition(chr(10))[0]}") from error


def _flatten(document: Mapping[str, Any], source: str) -> dict[str, object]:
    flat: dict[str, object] = {}
    for section, table in document.items():
        if section not in _SECTIONS:
            raise ConfigurationError(f"{source}: [{section!a}]: unknown section; {_nearest(section, _SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigurationError(f"{source}: {section}: expected a table; write [{section}] on a line of its own")
        for key, value in table.items():
            setting = f"{section}.{key}"
            if setting not in setting_names():
                raise ConfigurationError(f"{source}: {setting!a}: unknown key; {_nearest(setting, setting_names())}")
            flat[setting] = value
    return flat


def _nearest(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]}?" if matches else f"known are {', '.join(known)}"


def _parsed(setting: str, value: object, directory: Path, source: str) -> Any:
    section, _, key = setting.partition(".")
    hint = get_type_hints(_SECTIONS[section], include_extras=True)[key]
    parse: _Parse = hint.__metadata__[0]
    try:
        return parse(value, directory)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {setting}: {error}") from error


def _build(section: str, values: Mapping[str, Any]) -> Any:
    cls = _SECTIONS[section]
    names = (one.name for one in dataclasses.fields(cls))
    return cls(**{name: values[f"{section}.{name}"] for name in names if f"{section}.{name}" in values})
