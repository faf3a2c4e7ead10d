"""``railgun status``: what this device's peer is doing.

Owns: its output. Must not know: how it is gathered.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, whole_number
from railgun.cli.failures import Exit
from railgun.cli.output import one_line, table
from railgun.cli.rooms import add_peer_options, ask, changes_words, membership_word, removed_words

if TYPE_CHECKING:
    from railgun.cli.context import Context


_MODES = {
    "volunteers": "volunteers: they hold all seats",
    "hybrid": "hybrid: volunteers are few, and fallback relays serve in their place",
    "direct": "direct: no relay can be reached, members are linked to each other",
    None: "waiting: no room is served by anybody now",
}

_REFUSED = {
    "devices_out": "messages of devices that are out",
    "bundles_forged": "forged key bundles",
    "roster_entries": "entries of rosters",
    "session_keys": "session keys that are not their author's",
    "messages": "malformed messages",
    "requests": "requests that are forged or no member's",
    "roster_forks": "forks of rosters",
    "records_poisoned": "poisoned records",
    "records_malformed": "malformed records",
    "contacts_forged": "forged contacts",
    "servers_unfit": "servers that cannot be asked",
    "frames_malformed": "malformed frames",
    "envelopes_unopenable": "envelopes that do not open",
}


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    parser = add_command(
        subparsers,
        "status",
        run,
        "Show this device's network, links, clock and rooms, who serves each room now, and relays that it avoids; on "
        "the profile of a relay that runs, its links and its part of the DHT.",
    )
    parser.add_argument(
        "--wait-seconds",
        metavar="SECONDS",
        type=whole_number(0, 60),
        default=5,
        help="wait so long at most until links stand and rooms are attached",
    )
    add_peer_options(parser)


def run(context: Context) -> int:
    """``status``."""
    found = ask(context, "status", wait_seconds=context.arguments.wait_seconds)
    if "node" in found:
        context.printer.result(found, _relay(found))
        return Exit.KEPT
    rows = [
        [
            room["id"][:8],
            room["members"] if room["is_member"] else membership_word(room),
            f"{len(room['attached'])} of {len(room['seats'])}",
            room["mode"] or "waiting",
            f"{room['epoch_ends_in_seconds']:.0f} s",
            _cover(room["cover"]),
            room["name"],
        ]
        for room in found["rooms"]
    ]
    lines = [
        f"device   {found['device'][:16]}",
        f"network  {one_line(found['network'])} (id {found['network_id'][:16]})",
        f"mode     {_MODES[found['mode']]}",
        f"relays   {found['relays_linked']} linked of {found['relays_known']} known",
        f"clock    {found['clock_correction_seconds']:+.1f} s corrected",
        f"dht      {found['dht']['asks']} asked of relays{_refused(found['dht'])}",
        *refused_words(found["refused"]),
        *_server_words(found["servers"]),
        *rendezvous_words(found["rendezvous"]),
        table(["room", "members", "attached to", "mode", "epoch ends in", "cover", "name"], rows)
        if rows
        else "no rooms yet",
        *removed_words(found["rooms"]),
        *changes_words(found["rooms"]),
        *_out_words(found["rooms"]),
        *fork_words(found["rooms"]),
        *_blacklist_words(found["blacklist"]),
    ]
    context.printer.result(found, "\n".join(lines))
    return Exit.KEPT


def refused_words(refused: dict[str, int]) -> list[str]:
    """What was refused, by kind; nothing while nothing was."""
    counts = [f"{count} {_REFUSED[kind]}" for kind, count in refused.items() if count]
    return [f"refused  {', '.join(counts)}"] if counts else []


def _server_words(servers: dict[str, list[str]]) -> list[str]:
    """Nothing where nobody has named any."""
    named = [f"{kind.upper()} {', '.join(addresses)}" for kind, addresses in servers.items() if addresses]
    return [f"servers  {'; '.join(named)}"] if named else []


def rendezvous_words(found: dict[str, Any]) -> list[str]:
    """Whether a rendezvous server was needed, and what came of it; nothing where none is named."""
    if found["last_asked_at"] is None:
        return ["contact  no rendezvous server was needed"] if found["servers"] else []
    came = found["problem"] or f"{found['relays_given']} relays named"
    return [f"contact  a rendezvous server was asked at {_utc(found['last_asked_at'])}: {one_line(came)}"]


def registration_words(registrations: list[dict[str, Any]]) -> list[str]:
    """A line for each rendezvous server that a relay was told of."""
    state = [one["problem"] or "not yet registered" for one in registrations]
    shown = ["registered" if one["is_registered"] else why for one, why in zip(registrations, state, strict=True)]
    return [f"contact  {one['server']}: {why}" for one, why in zip(registrations, shown, strict=True)]


def _out_words(rooms: list[dict[str, Any]]) -> list[str]:
    """A line for each room in which somebody who is out went on to speak."""
    return [
        f"{room['refused']['devices_out']} messages refused in {one_line(str(room['name']))}: by devices that were "
        "removed or revoked"
        for room in rooms
        if room["refused"]["devices_out"]
    ]


def fork_words(rooms: list[dict[str, Any]]) -> list[str]:
    """A line for each device that told a room's members different things of who is in it."""
    return [
        f"{device[:16]} said different things about {one_line(str(room['name']))} under one number: "
        "its keys are copied, or it cheats; one of them counts, the same for everyone"
        for room in rooms
        for device in room["forked"]
    ]


def _blacklist_words(blacklist: list[dict[str, Any]]) -> list[str]:
    """Nothing where nobody is blacklisted."""
    rows = [
        [item["relay"][:16], item["reason"], _utc(item["since"]), _utc(item["until"]), item["detail"]]
        for item in blacklist
    ]
    return ["", "relays avoided", table(["relay", "reason", "since", "until", "last fault"], rows)] if rows else []


def _utc(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%MZ")


def _relay(found: dict[str, Any]) -> str:
    """A running relay, to its operator."""
    dht = found["dht"]
    return "\n".join(
        [
            f"relay    {found['node'][:16]} at {found['address']}, UDP",
            f"network  {one_line(found['network'])} (id {found['network_id'][:16]})",
            f"relays   {found['relays_linked']} linked of {found['relays_known']} known",
            f"clients  {found['clients_linked']} linked, {found['tags']} tags served",
            f"clock    {found['clock_correction_seconds']:+.1f} s corrected",
            f"dht      {dht['contacts']} contacts, {dht['records']} records, {dht['lookups']} lookups, "
            f"{dht['client_asks']} asked by clients{_refused(dht)}",
            *registration_words(found["rendezvous"]),
        ]
    )


def _refused(dht: dict[str, Any]) -> str:
    """What was refused, by reason; nothing while nothing was."""
    counts = [f"{count} {reason.replace('_', ' ')}" for reason, count in dht["refused"].items() if count]
    return f"; refused: {', '.join(counts)}" if counts else ""


def _cover(cover: dict[str, Any]) -> str:
    """In strict rooms people are told what it costs them."""
    if cover["wait_p95_seconds"] is None:
        return str(cover["mode"])
    return f"{cover['mode']}, waits up to {cover['wait_p95_seconds']:.1f} s (95 %), {cover['waiting']} waiting"
