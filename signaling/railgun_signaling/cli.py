"""``railgun-signaling``: the command.

Owns: its grammar, signals, exit codes, what the operator reads. Must not know: what the server does.

Exit codes: 0 done, or ended by SIGTERM after draining; 2 a mistake in flags or settings; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from railgun_signaling import __version__
from railgun_signaling.configuration import Configuration, load_configuration, setting_names
from railgun_signaling.errors import ConfigurationError
from railgun_signaling.logs import configure_logging
from railgun_signaling.server import PATH, Server

FLAGS: Final[Mapping[str, str]] = {
    "host": "server.hosts",
    "port": "server.port",
    "tls_cert": "server.tls_cert",
    "tls_key": "server.tls_key",
    "trusted_proxy": "server.trusted_proxies",
    "drain_seconds": "server.drain_seconds",
    "connections_max": "limits.connections_max",
    "network": "relays.networks",
    "relay": "relays.static",
    "relay_addresses": "relays.address_check",
    "nats": "nats.url",
    "nats_credentials": "nats.credentials",
    "log_level": "log.level",
    "log_format": "log.format",
}
"""Which setting a flag overrides."""
DESCRIPTION: Final = (
    "The blind rendezvous server of Rail Gun. It hands out relays to start from and forwards sealed blobs between "
    "fresh mailboxes, for first contact where no relay can be dialled; it remembers nothing."
)
EPILOGUE: Final = (
    "Each setting is also a key of the TOML file and a variable: server.port is RAILGUN_SIGNALING_SERVER_PORT. "
    "Flags win over variables, variables over the file."
)


def main(words: Sequence[str] | None = None) -> int:
    """The command's exit code."""
    arguments = _parser().parse_args(words)
    try:
        return int(arguments.run(arguments, os.environ))
    except ConfigurationError as error:
        print(f"railgun-signaling: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="railgun-signaling", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"railgun-signaling {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve", help="serve in the foreground until told to stop", description=DESCRIPTION, epilog=EPILOGUE
    )
    _add_options(serve)
    serve.add_argument("--json", action="store_true", help="print one JSON object on standard output once it listens")
    serve.set_defaults(run=_serve)
    config = commands.add_parser("config", help="look at the settings", description="Look at the settings.")
    below = config.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = below.add_parser(
        "check",
        help="read all settings and say what is wrong, or print what holds",
        description="Read the file, the environment and the flags as `serve` would, and print what holds as JSON.",
        epilog=EPILOGUE,
    )
    _add_options(check)
    check.set_defaults(run=_check)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", metavar="FILE", help="a TOML file with settings")
    add("--host", metavar="ADDRESS", action="append", help="address to listen on, default 0.0.0.0; may be repeated")
    add("--port", metavar="PORT", help="TCP port, 0 for any free one, default 8443")
    add("--tls-cert", metavar="FILE", help="the certificate's chain, PEM; without it the server speaks plain ws://")
    add("--tls-key", metavar="FILE", help="its private key, PEM")
    add(
        "--trusted-proxy",
        metavar="NETWORK",
        action="append",
        help="a proxy (address or network) whose X-Forwarded-For is believed; may be repeated",
    )
    add("--drain-seconds", metavar="SECONDS", help="how long clients have to leave on SIGTERM, default 10")
    add("--connections-max", metavar="COUNT", help="connections served at once, default 4096")
    add("--network", metavar="ID", action="append", help="serve this network only (64 hex digits); may be repeated")
    add(
        "--relay",
        metavar="'ID CONTACT'",
        action="append",
        help="a relay to hand out that does not register: its network's id, a space, its contact; may be repeated",
    )
    add(
        "--relay-addresses",
        metavar="CHECK",
        help="which relays may register: `source` (default), whose ad names the address they come from, or `any`",
    )
    add("--nats", metavar="URL", help="share presence with other instances: nats://HOST:PORT or tls://HOST:PORT")
    add("--nats-credentials", metavar="FILE", help="NATS credentials file")
    add("--log-level", metavar="LEVEL", help="debug, info (default), warning or error")
    add("--log-format", metavar="FORMAT", help="text (default) or json")


def _configuration(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Configuration:
    flags = {setting: getattr(arguments, flag) for flag, setting in FLAGS.items()}
    return load_configuration(None if arguments.config is None else Path(arguments.config), environ, flags)


def _check(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    loaded = _configuration(arguments, environ)
    shown: dict[str, dict[str, Any]] = {}
    for setting in setting_names():
        section, _, key = setting.partition(".")
        shown.setdefault(section, {})[key] = _shown(setting, getattr(getattr(loaded, section), key))
    print(json.dumps(shown, indent=2))
    return 0


def _shown(setting: str, value: Any) -> Any:
    if setting == "nats.url" and value is not None:
        return value.partition("://")[0] + "://" + value.rpartition("@")[2].removeprefix(value.partition("://")[0] + "://")
    if isinstance(value, tuple):
        return [_shown(setting, item) for item in value]
    if dataclasses.is_dataclass(value):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (int, float, type(None))) else str(value)


def _serve(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    loaded = _configuration(arguments, environ)
    configure_logging(loaded.log.level, loaded.log.format)
    _raise_descriptor_limit()
    return asyncio.run(_run(loaded, as_json=arguments.json))


async def _run(loaded: Configuration, *, as_json: bool) -> int:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not told.done():
            told.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop, number)
    server = await Server.start(loaded)
    failed = loop.create_task(server.wait(), name="failure")
    try:
        _print_start(loaded, server.port, as_json=as_json)
        both: set[asyncio.Future[Any]] = {told, failed}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
            raise RuntimeError("the server ended by itself")
        await server.drain()
        return 130 if told.result() == signal.SIGINT else 0
    finally:
        failed.cancel()
        await asyncio.gather(failed, return_exceptions=True)
        await server.aclose()


def _print_start(loaded: Configuration, port: int, *, as_json: bool) -> None:
    scheme = "ws" if loaded.server.tls_cert is None else "wss"
    hosts = [f"[{host}]" if ":" in host else host for host in loaded.server.hosts]
    if as_json:
        print(json.dumps({"url": f"{scheme}://{hosts[0]}:{port}", "port": port, "pid": os.getpid()}), flush=True)
        return
    where = ", ".join(f"{scheme}://{host}:{port}{PATH}" for host in hosts)
    print(f"Listening at {where}; /health and /metrics beside it. Ctrl-C or SIGTERM ends it.", flush=True)


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
