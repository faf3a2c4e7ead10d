"""The whole grammar: every command, in the order in which help and reference list them.

Owns: that order. Must not know: what any command does.
"""

from __future__ import annotations

import argparse

from railgun.cli import (
    backups,
    benchmarks,
    committee,
    configuration,
    demonstration,
    devices,
    files,
    initialise,
    messages,
    naming,
    networks,
    node,
    rooms,
    simulations,
    status,
)
from railgun.cli.arguments import Parser, add_global_options, add_subparsers
from railgun.cli.chat import command as chat

DESCRIPTION = "Rail Gun: rooms whose messages travel through rotating committees of relays."


class VersionAsked(Exception):
    """``--version`` stands where no command is needed."""


class _AskVersion(argparse.Action):
    def __call__(self, *_: object) -> None:
        raise VersionAsked


def build_parser() -> Parser:
    """The parser of ``railgun``. Its `parse` raises `railgun.cli.failures.Grammar`, a UsageError."""
    parser = Parser(prog="railgun", description=DESCRIPTION)
    parser.add_argument("--version", action=_AskVersion, nargs=0, help="print the version and leave")
    add_global_options(parser, is_root=True)
    commands = add_subparsers(parser)
    for module in (
        initialise,
        rooms,
        messages,
        files,
        chat,
        devices,
        naming,
        backups,
        status,
        committee,
        networks,
        node,
        configuration,
        demonstration,
        benchmarks,
        simulations,
    ):
        module.add(commands)
    return parser
