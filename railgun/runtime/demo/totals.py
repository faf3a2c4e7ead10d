"""From the processes' accounts to the result.

Owns: the arithmetic. Must not know: processes, files, whether the accounts are fresh or read back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from railgun.runtime.demo.evidence import MEMBER, RELAY, Record
from railgun.runtime.demo.fault_figures import fault_figures
from railgun.runtime.demo.options import BOOTSTRAPS, DemoOptions
from railgun.runtime.demo.resources import resource_figures
from railgun.runtime.demo.result import CoverFigures, DemoResult, DhtFigures, Latencies, Receipts
from railgun.runtime.percentiles import percentile
from railgun.runtime.status import peer_mode
from railgun.types import ENVELOPE_SIZES_BYTES, ServiceMode

DECIMALS: Final = 3


def totals(options: DemoOptions, accounts: Sequence[Sequence[Record]], seconds: float | None) -> DemoResult:
    """What the accounts of all processes add up to; relays in their start order."""
    relays = [account for account in accounts if account[0]["role"] == RELAY]
    members = [account for account in accounts if account[0]["role"] == MEMBER]
    calls: dict[str, Record] = {}
    for account in members:
        for record in account:
            if record["kind"] == "sending":
                calls.setdefault(record["number"], record)  # a call that was cut is made again, and counts once
    sent = len(calls)
    expected = sent * (options.members - 1)
    pairs = Counter[tuple[str, int]]()
    for index, account in enumerate(members):
        pairs.update({(number, index): count for number, count in _had(account).items() if number in calls})
    deliveries = [_grown(account, "deliveries", "ended") for account in relays]
    return DemoResult(
        relays=options.relays,
        members=options.members,
        sent=sent,
        expected=expected,
        delivered=len(pairs),
        lost=expected - len(pairs),
        duplicated=pairs.total() - len(pairs),
        wrong_size_on_wire=_summed([_added(account, "wrong_size_on_wire") for account in relays]),
        rotations=_least([_rotations(account) for account in members]),
        seats_changed=_seats_changed(members),
        receipts=Receipts(
            needed=options.receipts_needed,
            of=options.seats,
            complete=len({record["number"] for account in members for record in account if record["kind"] == "sent"}),
        ),
        latency_ms=_latencies(calls, members, ENVELOPE_SIZES_BYTES),
        latency_ms_by_size={str(size): _latencies(calls, members, (size,)) for size in ENVELOPE_SIZES_BYTES},
        per_relay_deliveries=deliveries,
        load_max_over_mean=_max_over_mean(deliveries),
        mode=_mode(members),
        cover=CoverFigures(
            mode=options.cover,
            decoys_sent=_summed([_added(account, "decoys_sent") for account in members]),
            wait_p95_seconds=max(
                (wait for account in members if (wait := _at(account, "ended", "wait_p95_seconds")) is not None),
                default=None,
            ),
        ),
        bootstrap=BOOTSTRAPS,
        dht=_dht(relays),
        faults=fault_figures(accounts),
        resources=resource_figures(
            (life for account in (*relays, *members) for life in _lives(account)), options.duration_seconds
        ),
        seconds=None if seconds is None else round(seconds, DECIMALS),
    )


def _dht(relays: Sequence[Sequence[Record]]) -> DhtFigures:
    """As each relay told last."""
    told = [
        next((record.get("dht") for record in account[::-1] if record["kind"] == "ended"), None) for account in relays
    ]
    found = [one for one in told if one is not None]
    if not found or len(found) < len(told):
        return DhtFigures(None, None, None)
    return DhtFigures(
        contacts_min=min(one["contacts"] for one in found),
        records=sum(one["records"] for one in found),
        lookups=sum(one["lookups"] for one in found),
    )


def _had(account: Sequence[Record]) -> Counter[str]:
    """How often a member got each message: by its store where it has told what that holds, else by its application."""
    stored = [record["numbers"] for record in account if record["kind"] == "stored"]
    if not stored:
        return Counter(record["number"] for record in account if record["kind"] == "received")
    counts: Counter[str] = Counter()
    for numbers in stored:
        counts.update(numbers)
    return counts


def _lives(account: Sequence[Record]) -> list[list[Record]]:
    """The account of each life of a process."""
    lives: list[list[Record]] = []
    for record in account:
        if record["kind"] == "process":
            lives.append([])
        lives[-1].append(record)
    return lives


def _rotations(account: Sequence[Record]) -> int | None:
    """Boundaries that a member crossed within the duration."""
    if len(_lives(account)) == 1:
        return _grown(account, "epochs_seen", "over")
    start: int | None = None
    crossed, began = 0, False
    for record in account:
        match record["kind"]:
            case "began":
                began = True
            case "epoch":
                crossed += began and start is not None and record["start"] > start
                start = record["start"] if start is None else max(start, record["start"])
            case "over":
                return crossed
            case _:
                pass
    return None


def _added(account: Sequence[Record], field: str) -> int | None:
    """A count at the end, over all lives; None where one is missing."""
    return _summed([_at(life, "ended", field) for life in _lives(account)])


def _mode(members: Sequence[Sequence[Record]]) -> str | None:
    """What the members said at the duration's end, the one furthest from volunteers first."""
    told = {_at(account, "over", "mode") for account in members}
    return peer_mode(mode for mode in ServiceMode if mode in told)


def _latencies(calls: dict[str, Record], members: Sequence[Sequence[Record]], sizes: Iterable[int]) -> Latencies:
    """Of the first delivery of each message at each recipient."""
    wanted = frozenset(sizes)
    found: list[float] = []
    for account in members:
        seen: set[str] = set()
        for record in account:
            if record["kind"] != "received" or record["number"] in seen:
                continue
            seen.add(record["number"])
            call = calls.get(record["number"])
            if call is not None and call["size"] in wanted:
                found.append(1000 * (record["at"] - call["at"]))
    found.sort()
    return Latencies(*(_rounded(percentile(found, percent)) for percent in (50, 95, 99)))


def _seats_changed(members: Sequence[Sequence[Record]]) -> int | None:
    """Seats new to a committee, over the boundaries crossed within the duration, as the first member saw it."""
    if not members:
        return None
    before: set[str] | None = None
    changed = 0
    began = False
    for record in members[0]:
        match record["kind"]:
            case "began":
                began = True
            case "over":
                return changed
            case "epoch":
                seats = set(record["seats"])
                if began and before is not None:
                    changed += len(seats - before)
                before = seats
    return None


def _grown(account: Sequence[Record], field: str, until: str) -> int | None:
    """How far a count grew since the duration began, over all lives; None if a record is missing."""
    grown: list[int | None] = []
    for life in _lives(account):
        before, after = _at(life, "began", field), _at(life, until, field)
        grown.append(None if before is None or after is None else after - before)
    return _summed(grown)


def _at(account: Sequence[Record], kind: str, field: str) -> Any:
    return next((record[field] for record in account if record["kind"] == kind), None)


def _measured(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _least(values: Sequence[int | None]) -> int | None:
    """None as soon as one is missing."""
    measured = _measured(values)
    return min(measured) if measured and len(measured) == len(values) else None


def _summed(values: Sequence[int | None]) -> int | None:
    """None as soon as one is missing: the sum of the others would hide it."""
    measured = _measured(values)
    return sum(measured) if measured and len(measured) == len(values) else None


def _max_over_mean(values: Sequence[int | None]) -> float | None:
    total = _summed(values)
    if not total:
        return None
    return round(max(_measured(values)) * len(values) / total, DECIMALS)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
