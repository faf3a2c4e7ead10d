"""What a peer does for a command: named calls that take and return plain values.

Owns: the calls' names, arguments and answers, which are the objects that commands print with ``--json``.
Must not know: whether the command runs in this process or asks over the control socket.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar

from railgun.core.committee import Committee
from railgun.core.room_port import TagPurpose
from railgun.crypto.epoch import epoch_start
from railgun.errors import DiscoveryError, MalformedInput, NotMember, UsageError
from railgun.limits import BOOTSTRAP_MAX, HISTORY_PAGE_MAX, INVITE_USES_MAX
from railgun.runtime.device_calls import DeviceCalls, Given
from railgun.runtime.dht_status import member_dht_status
from railgun.runtime.file_calls import FileCalls
from railgun.runtime.peer import Peer
from railgun.runtime.room import Room
from railgun.runtime.room_views import Message, SettingsView
from railgun.runtime.searching import search_history
from railgun.runtime.tasks import running
from railgun.types import DeviceKey, RelayContact, RoomId
from railgun.wire.invites import parse_invite
from railgun.wire.records import Ad

Answer: TypeAlias = dict[str, Any]
Result = TypeVar("Result")

CONNECT_SECONDS: Final = 10.0
RENDEZVOUS_CONNECT_SECONDS: Final = 20.0
"""All known relays have to fail first, and what a rendezvous server names is dialled then."""
LOOK_SECONDS: Final = 0.02
SETTLE_SECONDS: Final = 10.0
AGREE_SECONDS: Final = 3.0
"""A directory that changes all the time is never quite in step."""
MEMBER_DIGITS_MIN: Final = 8
SECONDS_MAX: Final = 10 * 365 * 86_400


class PeerService:
    """The calls of one `Peer`."""

    def __init__(self, peer: Peer, read_elsewhere: Iterable[RoomId] = ()) -> None:
        """``read_elsewhere``: rooms whose messages something else of this process takes over, a chat for one."""
        self._peer = peer
        self._read = set(read_elsewhere)
        self._calls: Mapping[str, Callable[[_Arguments], Awaitable[Answer]]] = {
            "rooms": self._rooms,
            "create_room": self._create_room,
            "set_room": self._set_room,
            "invite": self._invite,
            "members": self._members,
            "remove": self._remove,
            "leave": self._leave,
            "join": self._join,
            "send": self._send,
            "search": self._search,
            "status": self._status,
            "committee": self._committee,
            **DeviceCalls(peer, self).calls(),
            **FileCalls(self).calls(),
        }

    async def call(self, name: str, arguments: Mapping[str, object]) -> Answer:
        """Carry out one call.

        Raises:
            UsageError: there is no such call, or an argument does not fit.
            RailGunError: whatever the call itself raises.
        """
        call = self._calls.get(name)
        if call is None:
            raise UsageError(f"no such call: {name}")
        return await call(_Arguments(arguments))

    async def tail(self, arguments: Mapping[str, object]) -> AsyncIterator[Answer]:
        """The last ``history`` messages of a room, then new ones of others as they come.

        Ends when this device is out of the room. What was yielded counts as delivered once the next is asked for; but
        where another command, or a chat, reads the room already, what it reads is shown here too, and it alone counts.
        """
        given = _Arguments(arguments)
        room = self._room(given)
        history = given.integer("history", 0, 0, HISTORY_PAGE_MAX)
        if room.room_id in self._read:
            async for item in _followed(room, history):
                yield item
            return
        self._read.add(room.room_id)
        try:
            shown = set()
            for message in room.history(history) if history else ():
                shown.add(message.message_id)
                yield _message(message)
            async for message in room.messages():
                if message.message_id not in shown:
                    yield _message(message)
        finally:
            self._read.discard(room.room_id)

    # --- rooms ----------------------------------------------------------------------------------

    async def _rooms(self, _: _Arguments) -> Answer:
        status = self._peer.status()
        return {
            "rooms": [
                {
                    "id": room.room_id.hex(),
                    "name": room.name,
                    "is_member": room.is_member,
                    "members": room.members if room.is_member else None,
                    "mode": room.mode,
                    "settings": _settings(room.settings),
                    "next_settings": _settings(room.next_settings),
                }
                for room in status.rooms
            ]
        }

    async def _create_room(self, given: _Arguments) -> Answer:
        closed = given.flag("closed")
        size = given.integer("committee_size", 5, 3, 7)
        cover = given.text("cover") if given.has("cover") else None
        room = await self._peer.create_room(given.text("name"), committee_size=size, closed=closed, cover=cover)
        view = next(view for view in self._peer.status().rooms if view.room_id == room.room_id)
        return {**_name(room), "committee_size": size, "closed": closed, "cover": view.cover.mode}

    async def _set_room(self, given: _Arguments) -> Answer:
        room = self._room(given)
        made = await room.change_settings(
            cover=given.text("cover") if given.has("cover") else None,
            committee_size=given.integer("committee_size", 5, 3, 7) if given.has("committee_size") else None,
            from_day=given.integer("from_day", 0, 0, 2**32 - 1) if given.has("from_day") else None,
        )
        await self.settle(room)
        return {**_name(room), "settings": _settings(room.settings), "next_settings": _settings(made)}

    async def _invite(self, given: _Arguments) -> Answer:
        room = self._room(given)
        uses = given.integer("uses", 1, 1, INVITE_USES_MAX)
        seconds = given.integer("expires_in_seconds", 7 * 86_400, 1, SECONDS_MAX)
        link = room.invite(uses, seconds)
        await self.settle(room)
        return {**_name(room), "link": link, "uses": uses, "expires_at": int(self._peer.wall()) + seconds}

    async def _members(self, given: _Arguments) -> Answer:
        room = self._room(given)
        return {
            **_name(room),
            "members": [
                {
                    "device": member.device_key.hex(),
                    "root": member.root_key.hex(),
                    "name": member.name,
                    "is_admin": member.is_admin,
                    "is_self": member.is_self,
                    "is_verified": member.is_verified,
                }
                for member in room.members()
            ],
        }

    async def _remove(self, given: _Arguments) -> Answer:
        room = self._room(given)
        device = self._device(room, given.text("member"))
        await room.remove(device)
        await self.settle(room)
        return {**_name(room), "removed": device.hex()}

    async def _leave(self, given: _Arguments) -> Answer:
        room = self._room(given)
        named = _name(room)
        if len(room.members()) > 1:
            await self._reach(self._bootstrap())
        await room.leave()
        return named

    async def _join(self, given: _Arguments) -> Answer:
        link = given.text("link")
        try:
            invite = parse_invite(link)
        except MalformedInput as error:
            raise UsageError(error.detail) from error
        seconds = given.integer("timeout_seconds", 60, 1, 86_400)
        joining = self._peer.join(link, timeout=seconds)
        room = await self._while_reaching(joining, (*invite.contacts, *self._bootstrap()))
        return {**_name(room), "members": len(room.members())}

    # --- messages -------------------------------------------------------------------------------

    async def _send(self, given: _Arguments) -> Answer:
        room = self._room(given)
        text = given.text("text")
        seconds = given.integer("timeout_seconds", 30, 1, 86_400)
        began = monotonic()
        try:
            await self._reach(self._bootstrap(), min(self._patience_seconds(), seconds))
        except DiscoveryError as error:
            raise DiscoveryError(f"nothing was sent or kept: {error}") from error
        try:
            left = max(1.0, seconds - (monotonic() - began))
            receipt = await room.send(text, key=given.text("key") if given.has("key") else None, timeout=left)
        except DiscoveryError:  # kept, and on its way without us: the promise is broken, but nothing is lost
            return {**_name(room), "message_id": None, "receipts": None, "of": None, "latency_ms": None}
        return {
            **_name(room),
            "message_id": receipt.message_id.hex(),
            "receipts": receipt.receipts,
            "of": receipt.of,
            "latency_ms": round(receipt.latency_ms, 3),
        }

    async def _search(self, given: _Arguments) -> Answer:
        room = self._room(given)
        limit = given.integer("limit", 20, 1, HISTORY_PAGE_MAX)
        found = await search_history(room, given.text("text"), limit)
        return {
            **_name(room),
            "messages": [_message(message) for message in found.messages],
            "searched": found.searched,
            "is_complete": found.is_complete,
        }

    # --- looking --------------------------------------------------------------------------------

    async def _status(self, given: _Arguments) -> Answer:
        seconds = given.integer("wait_seconds", 0, 0, 60)
        if seconds:  # a peer that has just started is not yet where it will be in a moment
            await self._peer.wait_until(self._is_settled, seconds)
        status = self._peer.status()
        return {
            "device": status.device_key.hex(),
            "network": status.network_name,
            "network_id": self._peer.network_id.hex(),
            "mode": status.mode,
            "relays_known": status.relays_known,
            "relays_linked": status.relays_linked,
            "clock_correction_seconds": round(status.clock_correction_seconds, 3),
            "refused": self._peer.refusals(),
            "rendezvous": dataclasses.asdict(self._peer.rendezvous.status()),
            "dht": member_dht_status(self._peer.shared.dht),
            "servers": {
                "stun": [str(address) for address in status.servers.stun],
                "turn": [str(address) for address in status.servers.turn],
            },
            "rooms": [
                {
                    "id": room.room_id.hex(),
                    "name": room.name,
                    "is_member": room.is_member,
                    "members": room.members if room.is_member else None,
                    "epoch_start": room.epoch_start,
                    "epoch_ends_in_seconds": round(room.epoch_ends_in_seconds, 1),
                    "seats": [seat.hex() for seat in room.seats],
                    "attached": [seat.hex() for seat in room.attached],
                    "refused": dataclasses.asdict(room.refused),
                    "forked": [device.hex() for device in room.forked],
                    "mode": room.mode,
                    "cover": dataclasses.asdict(room.cover),
                    "settings": _settings(room.settings),
                    "next_settings": _settings(room.next_settings),
                }
                for room in status.rooms
            ],
            "blacklist": [
                {
                    "relay": item.node_key.hex(),
                    "reason": item.reason,
                    "detail": item.detail,
                    "since": item.since,
                    "until": item.until,
                    "points": item.points,
                }
                for item in status.blacklist
            ],
        }

    async def _committee(self, given: _Arguments) -> Answer:
        room = self._room(given)
        peer = self._peer
        await self._reach(self._bootstrap())
        directory = peer.machine.directory
        await peer.wait_until(self._is_settled, CONNECT_SECONDS)
        await peer.wait_until(lambda: len(directory.agreeing) >= min(2, directory.relays_known), AGREE_SECONDS)
        wall = peer.wall()
        start = epoch_start(wall, room.room_id, peer.network.epoch_seconds)
        found = []
        for begins in (start, start + peer.network.epoch_seconds):
            plans = peer.member_room(room.room_id).tag_plans(begins, wall)
            # With several live generations the room has several tags; any member's next message is under one of them.
            for plan in plans:
                if plan.purpose is TagPurpose.ROOM and plan.keys.start == begins:
                    committee = directory.committee(plan.keys.tag, begins, plan.committee_size, wall)
                    found.append(describe_committee(committee, begins))
        return {
            "room": room.name,
            "committees": found,
            "relays_known": directory.relays_known,
            "relays_agreeing": len(directory.agreeing),
        }

    # --- for the calls about devices ------------------------------------------------------------

    def find_room(self, given: Given) -> Room:
        """The room that ``given`` names. Raises UsageError, NotMember."""
        return self._peer.room(given.text("room"))

    def find_device(self, room: Room, text: str) -> DeviceKey:
        """A member by name or digits. Raises UsageError, NotMember."""
        return self._device(room, text)

    async def reach(self, contacts: tuple[RelayContact, ...]) -> None:
        """Wait until a relay is linked. Raises UsageError, DiscoveryError."""
        await self._reach((*contacts, *self._bootstrap()))

    async def settle(self, room: Room, seconds: float = SETTLE_SECONDS) -> None:
        """Give what the room has to tell the others a moment to leave, if there is anyone to tell."""
        machine = self._peer.member_room(room.room_id)
        if len(room.members()) > 1:
            await self._peer.wait_until(lambda: not len(machine.conversation.outbox), seconds)

    # --- inside ---------------------------------------------------------------------------------

    def _room(self, given: _Arguments) -> Room:
        return self._peer.room(given.text("room"))

    def _device(self, room: Room, text: str) -> DeviceKey:
        # Keys first: anybody may choose a name, and one that is the start of somebody's key must not stand for it.
        members, fits = room.members(), []
        if len(text) >= MEMBER_DIGITS_MIN:
            fits = [member for member in members if member.device_key.hex().startswith(text.lower())]
        fits = fits or [member for member in members if member.name == text]
        if not fits:
            raise NotMember(
                f"nobody in {room.name} fits {text!r}: give the name that `railgun room members` shows, or "
                f"{MEMBER_DIGITS_MIN} digits or more of the device's key"
            )
        if len(fits) > 1:
            raise UsageError(f"{len(fits)} members fit {text!r}: give more digits of the device's key")
        return fits[0].device_key

    def _bootstrap(self) -> tuple[RelayContact, ...]:
        return tuple(self._peer.known_contacts()[:BOOTSTRAP_MAX])

    def _is_settled(self) -> bool:
        """Whether links stand and every room is attached."""
        status = self._peer.status()
        members = [room for room in status.rooms if room.is_member]
        return status.relays_linked > 0 and all(room.attached for room in members)

    def _patience_seconds(self) -> float:
        """How long a first link may take: longer where a rendezvous server can still help."""
        return RENDEZVOUS_CONNECT_SECONDS if self._peer.rendezvous.servers else CONNECT_SECONDS

    async def _reach(self, contacts: tuple[RelayContact, ...], seconds: float | None = None) -> None:
        """Wait until a relay is linked. Raises UsageError where none is known, DiscoveryError where none answers."""
        if not contacts and not self._peer.rendezvous.servers:
            raise UsageError(
                "no relay to start from: give --bootstrap CONTACT (`railgun node` prints a relay's contact)"
            )
        seconds = self._patience_seconds() if seconds is None else seconds
        deadline = monotonic() + seconds
        while not self._peer.machine.connector.relays:
            if monotonic() > deadline:
                addresses = dict.fromkeys(str(address) for contact in contacts for address in contact.addresses)
                raise DiscoveryError(
                    f"no relay answered within {seconds:g} s, tried {', '.join(addresses) or 'none'}{self._asked()}: "
                    "look at the network connection, or give --bootstrap CONTACT of a relay that runs"
                )
            await asyncio.sleep(LOOK_SECONDS)

    def _asked(self) -> str:
        """What a rendezvous server said, if one was asked."""
        status = self._peer.rendezvous.status()
        if status.last_asked_at is None:
            return ""
        return f" and what a rendezvous server named ({status.problem or f'{status.relays_given} relays'})"

    async def _while_reaching(self, work: Coroutine[Any, Any, Result], contacts: tuple[RelayContact, ...]) -> Result:
        """Do ``work``, but give up when no relay can be reached at all. Raises as `_reach` and as ``work``."""
        async with running(working=work, reaching=self._reach(contacts)) as (working, reaching):
            await asyncio.wait((working, reaching), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await reaching
            result: Result = await working
            return result


class _Arguments:
    """Arguments as they came, each checked when it is taken. Raises UsageError, all methods."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str):
            raise UsageError(f"{name}: expected text")
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._values.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise UsageError(f"{name}: expected a whole number from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise UsageError(f"{name}: expected true or false")
        return value


def describe_committee(committee: Committee, start: int) -> Answer:
    """A committee with its epoch, as commands print it."""
    return {
        "tag": committee.tag.hex(),
        "start": start,
        "size": committee.committee_size,
        "n": committee.n,
        "majority": committee.majority,
        "seats_hash": committee.seats_hash.hex(),
        "seats": [_relay(ad) for ad in committee.seats],
        "standbys": [_relay(ad) for ad in committee.standbys],
        "fallbacks": [_relay(ad) for ad in committee.fallbacks],
    }


def _relay(ad: Ad) -> Answer:
    return {"node": ad.node_key.hex(), "address": str(ad.address)}


def _settings(view: SettingsView | None) -> Answer | None:
    if view is None:
        return None
    return {"committee_size": view.committee_size, "cover": view.cover, "closed": view.closed, "from": view.date}


def _name(room: Room) -> Answer:
    return {"room": room.name, "id": room.room_id.hex()}


def _message(message: Message) -> Answer:
    return {
        "message_id": message.message_id.hex(),
        "author": message.author.hex(),
        "author_name": message.author_name,
        "kind": message.kind,
        "text": message.text,
        "target": None if message.target is None else message.target.hex(),
        "received_at": message.received_at,
        "is_after_gap": message.is_after_gap,
    }


async def _followed(room: Room, history: int) -> AsyncIterator[Answer]:
    """As a tail shows it: from the history on, then what others say."""
    follower = room.follow()
    for message in room.history(history) if history else ():
        yield _message(message)
    async for message in follower:
        if not message.is_own:
            yield _message(message)
