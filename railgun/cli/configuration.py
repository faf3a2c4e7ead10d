"""``railgun config check``: read all settings and say in one line what is wrong.

Owns: its output. Must not know: any setting's meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_group, add_network_options
from railgun.cli.failures import Exit

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.output import Json


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    group = add_group(subparsers, "config", "The settings of file, environment and flags.")
    check = add_command(
        group,
        "check",
        run_check,
        "Read the configuration file, the environment and the flags, look at the files that they name, and print the "
        "settings that hold. Starts nothing and writes nothing.",
    )
    add_network_options(check)


def run_check(context: Context) -> int:
    """``config check``."""
    from railgun.runtime.config import check_configuration, setting_names

    configuration = check_configuration(context.configuration_path, context.environ, context.overrides())
    if configuration.network.file is not None:
        from railgun.runtime.network_file import load_network

        load_network(configuration.network.file)
    settings: dict[str, Json] = {}
    for name in setting_names():
        section, _, key = name.partition(".")
        settings[name] = _plain(getattr(getattr(configuration, section), key))
    lines = ["The configuration is in order.", *(f"{name} = {_typed(value)}" for name, value in settings.items())]
    context.printer.result({"settings": settings}, "\n".join(lines))
    return Exit.KEPT


def _plain(value: Any) -> Json:
    """A setting as it would be typed."""
    import enum

    from railgun.types import Address, RelayContact, Role
    from railgun.wire.contacts import format_contact

    match value:
        case None | bool():
            return value
        case Role():
            return [str(role.name).lower() for role in Role if role in value]
        case enum.Enum():
            return str(value.value)
        case int() | str():
            return value
        case RelayContact():
            return format_contact(value)
        case Address():
            return str(value)
        case tuple():
            return [_plain(item) for item in value]
    return str(value)


def _typed(value: Json) -> str:
    if value is None:
        return "(not set)"
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
