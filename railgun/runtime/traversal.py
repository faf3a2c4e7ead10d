"""Which STUN and TURN servers this device may ask: those it was given, and those that members of its rooms name.

Owns: checking, holding and bounding them. Must not know: records, when they are looked for, how a server is asked.

Spec: docs/spec/dht.md, under a tag. Whoever dials through a NAT takes them from here (`TraversalBook.servers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from railgun.dht.contacts import can_be_asked, pack_address, unpack_address
from railgun.errors import MalformedInput, UsageError
from railgun.limits import ROOMS_MAX, TRAVERSAL_SERVERS_HELD_MAX, TRAVERSAL_SERVERS_MAX
from railgun.types import Address, RoomId
from railgun.wire.tag_payloads import TraversalHints


@dataclass(frozen=True, slots=True)
class TraversalServers:
    """Addresses of servers, those to ask first in front; of each kind no address twice."""

    stun: tuple[Address, ...] = ()
    turn: tuple[Address, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stun or self.turn)

    @property
    def hints(self) -> TraversalHints:
        """As members name them to each other."""
        return TraversalHints(tuple(map(pack_address, self.stun)), tuple(map(pack_address, self.turn)))


def given_servers(stun: Sequence[Address], turn: Sequence[Address], *, is_lan: bool) -> TraversalServers:
    """What an owner names. Raises UsageError: more than 8 of a kind, or one that nobody could ask in this network."""
    for kind, addresses in (("stun", stun), ("turn", turn)):
        if len(addresses) > TRAVERSAL_SERVERS_MAX:
            raise UsageError(f"network.{kind}: name at most {TRAVERSAL_SERVERS_MAX} servers")
        for address in addresses:
            if not can_be_asked(address, is_lan=is_lan):
                where = "this network" if is_lan else "a public network, which takes global addresses only"
                raise UsageError(f"network.{kind}: {address} cannot be asked in {where}: name another server")
    return TraversalServers(tuple(dict.fromkeys(stun)), tuple(dict.fromkeys(turn)))


def _in_turns(records: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    """One of each record that has any left, until none has."""
    for place in range(max(map(len, records), default=0)):
        yield from (record[place] for record in records if place < len(record))


class TraversalBook:
    """See the module."""

    def __init__(self, own: TraversalServers, *, is_lan: bool) -> None:
        self.own = own
        """What this device was given, and names to the members of its rooms."""
        self.refused = 0
        """Servers that members named and that may not be sent to: private or impossible addresses."""
        self._is_lan = is_lan
        self._named: dict[RoomId, tuple[float, TraversalServers]] = {}

    def heed(self, room_id: RoomId, named: Iterable[TraversalHints], until: float) -> None:
        """Take what a room's members name, the newest first, for all that they named before.

        ``until``: Unix seconds, after which it no longer counts. 8 of each kind are kept: each record's first, then
        each one's second and so on, so that none takes the places of all others.
        """
        found = list(named)
        stun = self._fit(_in_turns([hints.stun for hints in found]))
        turn = self._fit(_in_turns([hints.turn for hints in found]))
        if room_id in self._named or len(self._named) < ROOMS_MAX:
            self._named[room_id] = (until, TraversalServers(stun, turn))

    def forget(self, room_id: RoomId) -> None:
        """The room was left."""
        self._named.pop(room_id, None)

    def servers(self, wall: float) -> TraversalServers:
        """Own ones first, then those that members named and that count at ``wall`` (Unix seconds)."""
        for room_id in [room_id for room_id, (until, _) in self._named.items() if until <= wall]:
            del self._named[room_id]
        all_of = [self.own, *(servers for _, (_, servers) in sorted(self._named.items()))]
        stun = dict.fromkeys(address for servers in all_of for address in servers.stun)
        turn = dict.fromkeys(address for servers in all_of for address in servers.turn)
        most = TRAVERSAL_SERVERS_HELD_MAX
        return TraversalServers(tuple(stun)[:most], tuple(turn)[:most])

    def _fit(self, packed: Iterable[bytes]) -> tuple[Address, ...]:
        fit: dict[Address, None] = {}
        for raw in packed:
            address = self._read(raw)
            if address is None:
                self.refused += 1
            elif len(fit) < TRAVERSAL_SERVERS_MAX:
                fit[address] = None
        return tuple(fit)

    def _read(self, raw: bytes) -> Address | None:
        try:
            address = unpack_address(raw)
        except MalformedInput:
            return None
        return address if can_be_asked(address, is_lan=self._is_lan) else None
