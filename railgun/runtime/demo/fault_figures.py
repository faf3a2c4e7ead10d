"""How a demo took its faults: from the processes' accounts to the figures.

Owns: the arithmetic. Must not know: processes, files, how a fault is planted.

- *failover*: from a fault until a member that was subscribed at a relay which it hit holds acknowledged subscriptions
  at two relays that live. One sample a fault and member.
- *delivery gap*: from send to the recipient's application, for messages sent within 10 s after a fault, where neither
  sender nor recipient was itself down or cut off meanwhile.
- *recovery*: from the death of all seats until the next message of a member has reached all others. One a member.
- *heal*: from a partition's end until all that was said before has reached everyone. One a partition.

What did not happen until the accounts end counts with the time until then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from railgun.runtime.demo.evidence import FAULTS, MEMBER, Record
from railgun.runtime.demo.faults import FaultKind
from railgun.runtime.percentiles import percentile

AFTER_FAULT_SECONDS: Final = 10.0
SEATS_WANTED: Final = 2
DECIMALS: Final = 3
_DOWN: Final = frozenset({FaultKind.KILL, FaultKind.RESTART, FaultKind.PAUSE, FaultKind.ROLLING_RESTART}) | {
    FaultKind.KILL_COMMITTEE,
    FaultKind.CHURN,
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds; None where there was nothing to measure."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Middle:
    """As `Spread`, of few samples."""

    p50: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class FaultFigures:
    """What was done, and how long it showed. ``partition_by``: what cut the halves apart, None without a partition."""

    kills: int = 0
    restarts: int = 0
    pauses: int = 0
    partitions: int = 0
    partition_by: str | None = None
    failover_ms: Spread = field(default_factory=Spread)
    delivery_gap_ms: Spread = field(default_factory=Spread)
    recovery_ms: Middle = field(default_factory=Middle)
    heal_ms: Middle = field(default_factory=Middle)


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: FaultKind
    begin: float
    end: float
    """Infinity for what does not come back."""
    processes: frozenset[str]
    nodes: frozenset[str]
    halves: tuple[frozenset[str], ...] = ()
    """Of a partition: the processes and nodes of each half."""


@dataclass(slots=True)
class _Member:
    name: str
    attached: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    sent: list[tuple[float, str]] = field(default_factory=list)
    received: dict[str, float] = field(default_factory=dict)


def fault_figures(accounts: Sequence[Sequence[Record]]) -> FaultFigures:
    """What the accounts say; all zero and None for a demo without faults."""
    faults = _faults(accounts)
    if not faults:
        return FaultFigures()
    members = [_member(account) for account in accounts if account and account[0]["role"] == MEMBER]
    end = max((at for account in accounts for record in account if (at := record.get("at")) is not None), default=0.0)
    count = {kind: sum(fault.kind is kind for fault in faults) for kind in FaultKind}
    found = _Accounts(members, faults, end)
    return FaultFigures(
        kills=sum(len(fault.nodes) for fault in faults if fault.kind in (FaultKind.KILL, FaultKind.KILL_COMMITTEE)),
        restarts=count[FaultKind.RESTART] + count[FaultKind.ROLLING_RESTART],
        pauses=count[FaultKind.PAUSE],
        partitions=count[FaultKind.PARTITION],
        partition_by="nftables" if count[FaultKind.PARTITION] else None,
        failover_ms=_spread(found.failovers()),
        delivery_gap_ms=_spread(found.gaps()),
        recovery_ms=_middle(found.recoveries()),
        heal_ms=_middle(found.heals()),
    )


class _Accounts:
    """All accounts together, seen by time. Seconds of the shared monotonic clock throughout."""

    def __init__(self, members: list[_Member], faults: list[_Fault], end: float) -> None:
        self._members = members
        self._faults = faults
        self._end = end
        self._sent = {number: (at, member) for member in members for at, number in member.sent}

    def failovers(self) -> Iterable[float]:
        for fault in self._faults:
            for member in self._members:
                hit = {node for node in _attached_at(member, fault.begin) if self._is_away(node, member, fault.begin)}
                if not hit & self._nodes_of(fault):
                    continue
                after = self._attached_again(member, fault.begin)
                if not self._was_down(member.name, fault.begin, after):
                    yield after - fault.begin

    def _attached_again(self, member: _Member, begin: float) -> float:
        """The first moment from ``begin`` on at which enough of its subscriptions are at relays that live."""
        moments = {begin}
        moments.update(at for at, _ in member.attached if at > begin)
        moments.update(fault.end for fault in self._faults if begin < fault.end < math.inf)
        for at in sorted(moments):
            live = [node for node in _attached_at(member, at) if not self._is_away(node, member, at)]
            if len(live) >= SEATS_WANTED:
                return at
        return self._end

    def gaps(self) -> Iterable[float]:
        for number, (sent_at, sender) in self._sent.items():
            if not any(fault.begin <= sent_at <= fault.begin + AFTER_FAULT_SECONDS for fault in self._faults):
                continue
            for member in self._members:
                if member is sender:
                    continue
                received_at = member.received.get(number, self._end)
                away = self._was_down(member.name, sent_at, received_at) or self._was_down(
                    sender.name, sent_at, received_at
                )
                if not away and not self._were_apart(sender.name, member.name, sent_at):
                    yield received_at - sent_at

    def recoveries(self) -> Iterable[float]:
        for fault in self._faults:
            if fault.kind is not FaultKind.KILL_COMMITTEE:
                continue
            for member in self._members:
                following = min(((at, number) for at, number in member.sent if at >= fault.begin), default=None)
                if following is not None:
                    yield self._everywhere_at(following[1], member) - fault.begin

    def heals(self) -> Iterable[float]:
        for fault in self._faults:
            if fault.kind is FaultKind.PARTITION and fault.end < math.inf:
                before = [
                    self._everywhere_at(number, sender)
                    for number, (sent_at, sender) in self._sent.items()
                    if sent_at < fault.end
                ]
                yield max(0.0, max(before, default=fault.end) - fault.end)

    def _everywhere_at(self, number: str, sender: _Member) -> float:
        return max(
            (member.received.get(number, self._end) for member in self._members if member is not sender),
            default=self._end,
        )

    def _is_away(self, node: str, member: _Member, at: float) -> bool:
        """Whether a relay is down, or on the other side, at that moment."""
        return any(
            fault.begin <= at < fault.end
            and (
                (fault.kind in _DOWN and node in fault.nodes)
                or any(node in half and member.name not in half for half in fault.halves)
            )
            for fault in self._faults
        )

    def _nodes_of(self, fault: _Fault) -> frozenset[str]:
        return frozenset().union(*fault.halves) if fault.halves else fault.nodes

    def _was_down(self, name: str, begin: float, end: float) -> bool:
        return any(
            fault.kind in _DOWN and name in fault.processes and fault.begin <= end and begin <= fault.end
            for fault in self._faults
        )

    def _were_apart(self, name: str, other: str, sent_at: float) -> bool:
        return any(
            fault.begin - AFTER_FAULT_SECONDS <= sent_at <= fault.end
            and any((name in half) != (other in half) for half in fault.halves)
            for fault in self._faults
        )


def _faults(accounts: Sequence[Sequence[Record]]) -> list[_Fault]:
    records = [record for account in accounts if account and account[0]["role"] == FAULTS for record in account]
    ends: dict[tuple[str, int, tuple[str, ...]], float] = {}
    for record in records:
        if record["kind"] == "mended":
            ends.setdefault((record["fault"], record["number"], tuple(record["processes"])), record["at"])
    return [
        _Fault(
            FaultKind(record["fault"]),
            record["at"],
            ends.get((record["fault"], record["number"], tuple(record["processes"])), math.inf),
            frozenset(record["processes"]),
            frozenset(record["nodes"]),
            tuple(frozenset(half) for half in record.get("halves", ())),
        )
        for record in records
        if record["kind"] == "fault"
    ]


def _member(account: Sequence[Record]) -> _Member:
    member = _Member(account[0]["name"])
    seen: set[str] = set()
    for record in account:
        match record["kind"]:
            case "attached":
                member.attached.append((record["at"], frozenset(record["nodes"])))
            case "sending" if record["number"] not in seen:
                seen.add(record["number"])
                member.sent.append((record["at"], record["number"]))
            case "received":
                member.received.setdefault(record["number"], record["at"])
            case _:
                pass
    return member


def _attached_at(member: _Member, at: float) -> frozenset[str]:
    return next((nodes for since, nodes in reversed(member.attached) if since <= at), frozenset())


def _spread(seconds: Iterable[float]) -> Spread:
    found = sorted(1000 * value for value in seconds)
    return Spread(*(_rounded(percentile(found, percent)) for percent in (50, 99, 100)))


def _middle(seconds: Iterable[float]) -> Middle:
    found = sorted(1000 * value for value in seconds)
    return Middle(*(_rounded(percentile(found, percent)) for percent in (50, 100)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
