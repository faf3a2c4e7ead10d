"""What this peer holds against relays: points with a reason, and a blacklist.

Owns: points, how they fade, who is blacklisted since when and until when, how that is kept.
Must not know: what relays did, links, committees. Spec: docs/spec/delivery.md, "Liars".

All of it is this peer's own opinion. It steers to whom the peer attaches, and nothing else: no committee changes by it,
nobody is told.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.core.effects import Effects, PenalisePeer, Persist
from railgun.core.persistence import Write
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import REPUTATION_DETAIL_BYTES_MAX, REPUTATION_RELAYS_MAX, REPUTATION_REPORTS_MAX
from railgun.types import NodeKey, PeerKey
from railgun.wire.schema import Codec, Text, Uint

TABLE: Final = "settings"
KEY_PREFIX: Final = b"reputation/"
POINTS_MAX: Final = 200
POINTS_FORGIVEN_PER_HOUR: Final = 10
PENALISED_POINTS: Final = 10
"""From here on others are preferred."""
BLACKLIST_POINTS: Final = 40
BLACKLIST_SECONDS: Final = 86_400


class Standing(enum.IntEnum):
    """The smaller, the better."""

    GOOD = 0
    PENALISED = 1
    BLACKLISTED = 2


@dataclass(frozen=True, slots=True)
class BlacklistedRelay:
    """A relay that this peer avoids. ``since`` and ``until`` are Unix seconds; ``reason`` is a code's name, and
    ``detail`` says what the last fault was."""

    node_key: NodeKey
    reason: str
    detail: str
    since: int
    until: int
    points: int


@dataclass(frozen=True)
class _Row:
    points: Annotated[int, Uint(POINTS_MAX)]
    """As of ``updated``, Unix seconds."""
    updated: Annotated[int, Uint()]
    code: Annotated[RefusalCode, Uint(255, RefusalCode)]
    detail: Annotated[str, Text(REPUTATION_DETAIL_BYTES_MAX)]
    since: Annotated[int, Uint()]
    """Blacklisted since; 0: not."""
    until: Annotated[int, Uint()]

    def points_at(self, wall: float) -> int:
        forgiven = int(max(0.0, wall - self.updated) * POINTS_FORGIVEN_PER_HOUR / 3600)
        return max(0, self.points - forgiven)

    def is_blacklisted(self, wall: float) -> bool:
        return wall < self.until


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=512)


class Reputation:
    """Points and blacklist of one client, at most REPUTATION_RELAYS_MAX relays; who has fewest points is forgotten."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]] | None = None) -> None:
        """``rows``: what `settle` wanted kept, (key, value); None for an account that is not to be kept.

        Raises ValueError where a row is none of ours.
        """
        self._is_kept = rows is not None
        self._rows: dict[NodeKey, _Row] = {}
        self.reports: list[PenalisePeer] = []
        """What `settle` has still to count."""
        for key, value in rows or ():
            try:
                self._rows[NodeKey(key.removeprefix(KEY_PREFIX))] = _ROWS.decode(value)
            except MalformedInput as error:
                raise ValueError(f"a damaged row of reputations: {error.detail}") from error

    def __len__(self) -> int:
        return len(self._rows)

    # --- what is held against whom ------------------------------------------------------------

    def points(self, node: NodeKey, wall: float) -> int:
        """0 to POINTS_MAX; they fade by POINTS_FORGIVEN_PER_HOUR."""
        row = self._rows.get(node)
        return 0 if row is None else row.points_at(wall)

    def standing(self, node: NodeKey, wall: float) -> Standing:
        """Whether others are to be preferred to it."""
        row = self._rows.get(node)
        if row is None:
            return Standing.GOOD
        if row.is_blacklisted(wall):
            return Standing.BLACKLISTED
        return Standing.PENALISED if row.points_at(wall) >= PENALISED_POINTS else Standing.GOOD

    def blacklist(self, wall: float) -> tuple[BlacklistedRelay, ...]:
        """Who is blacklisted at ``wall``, ascending by key."""
        return tuple(
            BlacklistedRelay(node, row.code.name.lower(), row.detail, row.since, row.until, row.points_at(wall))
            for node, row in sorted(self._rows.items())
            if row.is_blacklisted(wall)
        )

    # --- faults -------------------------------------------------------------------------------

    def report(self, peer: PeerKey | NodeKey, code: RefusalCode, detail: str, points: int) -> None:
        """Somebody did what no honest relay does; it counts at the next `settle`."""
        if points > 0 and len(self.reports) < REPUTATION_REPORTS_MAX:
            self.reports.append(PenalisePeer(PeerKey(peer), code, detail, points))

    def settle(self, is_relay: Callable[[NodeKey], bool], wall: float, out: Effects) -> bool:
        """Count what was reported, tell of it, and keep it. Returns whether anyone's standing has changed.

        ``is_relay`` tells a relay's key; others are keys of one connection, and nothing is remembered of them.
        """
        reports, self.reports = self.reports, []
        changed = False
        writes: dict[NodeKey, Write] = {}
        for report in reports:
            node = NodeKey(report.peer)
            if not is_relay(node):
                continue
            before = self.standing(node, wall)
            writes[node] = self._count(node, report, wall)
            changed = changed or self.standing(node, wall) is not before
        while len(self._rows) > REPUTATION_RELAYS_MAX:
            least = min(self._rows, key=lambda node: (self._rows[node].until, self.points(node, wall), node))
            del self._rows[least]
            writes[least] = Write(TABLE, KEY_PREFIX + least, None)
        if writes and self._is_kept:
            out.append(Persist(tuple(writes.values()), survives_power_loss=False))
        out.extend(reports)
        return changed

    def _count(self, node: NodeKey, report: PenalisePeer, wall: float) -> Write:
        held = self._rows.get(node)
        points = min(POINTS_MAX, self.points(node, wall) + report.points)
        was_listed = held is not None and held.is_blacklisted(wall)
        since = held.since if held is not None and was_listed else 0
        until = held.until if held is not None else 0
        if was_listed or points >= BLACKLIST_POINTS:
            since, until = since or int(wall), int(wall) + BLACKLIST_SECONDS
        detail = report.detail.encode()[:REPUTATION_DETAIL_BYTES_MAX].decode(errors="ignore")
        row = self._rows[node] = _Row(points, max(0, int(wall)), report.code, detail, since, until)
        return Write(TABLE, KEY_PREFIX + node, _ROWS.encode(row))
