"""What every command starts from: its arguments, the configuration under them, the network, the way out.

Owns: merging flags into the configuration, finding the network and the first relays. Must not know: any command.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from railgun.cli.output import Printer
from railgun.errors import UsageError

if TYPE_CHECKING:
    from railgun.network import NetworkParameters
    from railgun.runtime.config import Configuration

FLAGS: Mapping[str, str] = {
    "profile": "profile.directory",
    "key_file": "profile.key_file",
    "network": "network.file",
    "bootstrap": "network.bootstrap",
    "rendezvous": "rendezvous.servers",
    "host": "node.host",
    "port": "node.port",
    "role": "node.roles",
    "links_max": "node.links_max",
    "listen": "member.listen",
    "log_level": "log.level",
}
"""Which setting a flag overrides."""


@dataclass(frozen=True)
class Context:
    """One run of one command."""

    arguments: argparse.Namespace
    environ: Mapping[str, str] = field(repr=False)
    printer: Printer
    stdin: IO[Any]

    def overrides(self) -> dict[str, object]:
        """Settings that this run's flags name."""
        given = {setting: getattr(self.arguments, flag, None) for flag, setting in FLAGS.items()}
        return {setting: value for setting, value in given.items() if value is not None}

    @property
    def configuration_path(self) -> Path | None:
        return None if self.arguments.config is None else Path(self.arguments.config)

    def configuration(self, *, logs_at_info: bool = False) -> Configuration:
        """Load the configuration and start logging by it. Raises ConfigurationError.

        ``logs_at_info`` False: a command that a person waits for logs warnings only, unless a flag asks for more or
        the configuration for another level than the default.
        """
        import dataclasses

        from railgun.runtime.config import LogLevel, load_configuration
        from railgun.runtime.logs import configure_logging

        loaded = load_configuration(self.configuration_path, self.environ, self.overrides())
        log = loaded.log
        if not logs_at_info and log.level is LogLevel.INFO and self.arguments.log_level is None:
            log = dataclasses.replace(log, level=LogLevel.WARNING)
        configure_logging(log)
        return dataclasses.replace(loaded, log=log)


def network_of(configuration: Configuration) -> NetworkParameters:
    """The network that the configuration names. Raises UsageError without one, ConfigurationError."""
    from railgun.runtime.network_file import load_network

    if configuration.network.file is None:
        raise UsageError(
            "no network: give --network FILE (or network.file in the configuration); `railgun network create` makes one"
        )
    return load_network(configuration.network.file)
