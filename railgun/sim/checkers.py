"""What must hold after any simulated run, whatever went wrong in it.

Owns: the ledger of messages and the checks on it, on committees and on state. Must not know: how messages travel.
Spec: design, simulation.

Every check returns the violations it found, as text; `require` turns them into an error.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from railgun.sim.world import World

SHOWN_MAX: Final = 20
"""Violations that an error's text shows."""


class CheckFailed(Exception):
    """A run broke a promise."""


def require(violations: Iterable[str]) -> None:
    """Raise CheckFailed with the violations, if there are any."""
    found = list(violations)
    if found:
        more = f"\n... and {len(found) - SHOWN_MAX} more" if len(found) > SHOWN_MAX else ""
        raise CheckFailed("\n".join(found[:SHOWN_MAX]) + more)


@dataclass(slots=True)
class _Entry:
    sent_at: float
    owed_to: frozenset[str]
    acknowledged: bool = False


class DeliveryLedger:
    """Which messages were sent, acknowledged and delivered, by logical number."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._deliveries: dict[tuple[int, str], int] = {}
        self._unknown: list[str] = []
        self.latencies_seconds: list[float] = []

    def sent(self, number: int, recipients: Collection[str], now: float) -> None:
        """A message was handed to its sender's machine for ``recipients`` (the sender is none). Once a number."""
        if number in self._entries:
            raise ValueError(f"message {number} was sent before")
        self._entries[number] = _Entry(now, frozenset(recipients))

    def acknowledged(self, number: int) -> None:
        """The sender's application was told that enough seats hold it."""
        self._entries[number].acknowledged = True

    def delivered(self, number: int, recipient: str, now: float) -> None:
        """A recipient's application got it."""
        entry = self._entries.get(number)
        if entry is None or recipient not in entry.owed_to:
            self._unknown.append(f"{recipient} got message {number}, which nobody sent to it")
            return
        key = (number, recipient)
        count = self._deliveries.get(key, 0)
        self._deliveries[key] = count + 1
        if count == 0:
            self.latencies_seconds.append(now - entry.sent_at)

    @property
    def sent_count(self) -> int:
        return len(self._entries)

    @property
    def acknowledged_count(self) -> int:
        return sum(entry.acknowledged for entry in self._entries.values())

    @property
    def expected(self) -> int:
        """Pairs of message and recipient."""
        return sum(len(entry.owed_to) for entry in self._entries.values())

    @property
    def delivered_count(self) -> int:
        """Distinct pairs of message and recipient that came about."""
        return len(self._deliveries)

    @property
    def duplicated(self) -> int:
        """Deliveries beyond the first of their pair."""
        return sum(self._deliveries.values()) - len(self._deliveries)

    def missing(self, *, acknowledged_only: bool) -> list[tuple[int, str]]:
        """Pairs that did not come about, by number and name."""
        return [
            (number, recipient)
            for number, entry in self._entries.items()
            if entry.acknowledged or not acknowledged_only
            for recipient in sorted(entry.owed_to)
            if (number, recipient) not in self._deliveries
        ]

    def check_nothing_acknowledged_is_lost(self) -> list[str]:
        """Every message whose sender was told that it is safe reached all."""
        return [
            f"message {number}, sent at {self._entries[number].sent_at:.3f} s and acknowledged, never reached {name}"
            for number, name in self.missing(acknowledged_only=True)
        ]

    def check_nothing_is_delivered_twice(self) -> list[str]:
        """No application saw a message twice, or one that was not for it."""
        twice = [
            f"{name} got message {number} {count} times"
            for (number, name), count in self._deliveries.items()
            if count > 1
        ]
        return twice + self._unknown


@dataclass(frozen=True, slots=True)
class CommitteeView:
    """What one peer computed: ``seats`` in order, from the directory with this digest."""

    peer: str
    directory_digest: bytes
    tag: bytes
    seats: Sequence[Hashable]


def check_committees_agree(views: Iterable[CommitteeView]) -> list[str]:
    """Peers with the same directory agree on every committee, seat for seat."""
    first: dict[tuple[bytes, bytes], CommitteeView] = {}
    violations = []
    for view in views:
        other = first.setdefault((view.directory_digest, view.tag), view)
        if tuple(other.seats) != tuple(view.seats):
            violations.append(
                f"{view.peer} and {other.peer} have one directory and two committees for tag {view.tag.hex()[:16]}"
            )
    return violations


StateSizes = Mapping[str, Mapping[str, int]]


def state_sizes(world: World) -> dict[str, dict[str, int]]:
    """Node to collection to entries, of the machines that tell (``state_sizes()``)."""
    sizes = {}
    for name, machine in world.machines():
        tell = getattr(machine, "state_sizes", None)
        if tell is not None:
            sizes[name] = dict(tell())
    return sizes


def check_state_is_back(before: StateSizes, after: StateSizes, allowed: Mapping[str, int] | None = None) -> list[str]:
    """After churn no collection holds more than before it, but for what ``allowed`` grants it by name.

    A node that is gone is no violation; one that is new must hold no more than the greatest did before.
    """
    grants = allowed or {}
    greatest: dict[str, int] = {}
    for sizes in before.values():
        for collection, size in sizes.items():
            greatest[collection] = max(size, greatest.get(collection, 0))
    violations = []
    for name, sizes in after.items():
        base = before.get(name, greatest)
        for collection, size in sizes.items():
            bound = base.get(collection, 0) + grants.get(collection, 0)
            if size > bound:
                violations.append(f"{name}: {collection} holds {size}, at most {bound} expected")
    return violations
