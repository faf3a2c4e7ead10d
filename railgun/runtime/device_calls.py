"""What a peer does for commands about people and their devices: linking, listing, revoking, verifying.

Owns: these calls' names, arguments and answers. Must not know: whether the command runs in this process.
Part of `railgun.runtime.peer_service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from railgun.errors import MalformedInput, NotMember, UsageError
from railgun.limits import DEVICE_LINK_SECONDS
from railgun.runtime.peer import Peer
from railgun.runtime.room import Room
from railgun.types import DeviceKey, RelayContact, RoomId
from railgun.wire.device_link import parse_device_link

Answer: TypeAlias = dict[str, Any]

DIGITS_MIN: Final = 8
SETTLE_SECONDS: Final = 10.0
MARKS: Final = ("confirm", "undo")


class Given(Protocol):
    """A call's arguments, checked as they are taken."""

    def has(self, name: str) -> bool: ...

    def text(self, name: str) -> str: ...


class Around(Protocol):
    """What these calls need of the service around them."""

    def find_room(self, given: Given) -> Room: ...

    def find_device(self, room: Room, text: str) -> DeviceKey: ...

    async def reach(self, contacts: tuple[RelayContact, ...]) -> None: ...


class DeviceCalls:
    """See the module."""

    def __init__(self, peer: Peer, around: Around) -> None:
        self._peer = peer
        self._around = around

    def calls(self) -> Mapping[str, Callable[[Any], Awaitable[Answer]]]:
        """By name."""
        return {
            "device_add": self._add,
            "device_join": self._join,
            "device_code": self._code,
            "device_confirm": self._confirm,
            "device_refuse": self._refuse,
            "devices": self._list,
            "device_revoke": self._revoke,
            "verify": self._verify,
            "name": self._name,
        }

    async def _name(self, given: Given) -> Answer:
        if given.has("name"):
            self._peer.people.set_own_name(given.text("name"))
        return {"name": self._peer.people.own_name}

    # --- linking ----------------------------------------------------------------------------------

    async def _add(self, _: Given) -> Answer:
        await self._around.reach(())
        return {"link": self._peer.devices.start_link(), "seconds": int(DEVICE_LINK_SECONDS)}

    async def _join(self, given: Given) -> Answer:
        try:
            contacts = parse_device_link(given.text("link")).contacts
        except MalformedInput as error:
            raise UsageError(error.detail) from error
        self._peer.devices.start_join(given.text("link"))
        await self._around.reach(contacts)
        return {}

    async def _code(self, _: Given) -> Answer:
        code = await self._peer.devices.code()
        return {"code": list(code.numbers), "name": code.name}

    async def _confirm(self, _: Given) -> Answer:
        result = await self._peer.devices.confirm()
        name = next((one.name for one in self._peer.devices.all() if one.device_key == result.device), "")
        return {
            "device": result.device.hex(),
            "name": name,
            "root": self._peer.devices.root_key.hex(),
            "rooms": self._named(result.rooms),
            "missing": [room_id.hex() for room_id in result.missing],
        }

    async def _refuse(self, _: Given) -> Answer:
        self._peer.devices.refuse()
        return {}

    def _named(self, rooms: tuple[RoomId, ...]) -> list[Answer]:
        names = {room.room_id: room.name for room in self._peer.rooms()}
        return [{"id": room_id.hex(), "name": names[room_id]} for room_id in rooms if room_id in names]

    # --- looking, revoking ------------------------------------------------------------------------

    async def _list(self, _: Given) -> Answer:
        devices = self._peer.devices
        return {
            "root": devices.root_key.hex(),
            "holds_root": devices.holds_root,
            "devices": [
                {"device": one.device_key.hex(), "name": one.name, "is_self": one.is_self, "rooms": one.rooms}
                for one in devices.all()
            ],
        }

    async def _revoke(self, given: Given) -> Answer:
        peer = self._peer
        device = self._own_device(given.text("device"))
        await self._around.reach(())
        done = peer.devices.revoke(device)
        machines = [peer.member_room(one.room_id) for one in done]
        told = await peer.wait_until(
            lambda: not any(len(machine.conversation.outbox) for machine in machines), SETTLE_SECONDS
        )
        names = {room.room_id: room.name for room in peer.rooms()}
        return {
            "device": device.hex(),
            "is_told": told,
            "rooms": [
                {
                    "id": one.room_id.hex(),
                    "name": names[one.room_id],
                    "is_revoked": one.reason is None,
                    "reason": one.reason,
                }
                for one in done
                if one.room_id in names
            ],
        }

    def _own_device(self, text: str) -> DeviceKey:
        devices = self._peer.devices.all()
        # Keys first: a device that is to be revoked may have taken the start of another's key for its name.
        fits = []
        if len(text) >= DIGITS_MIN:
            fits = [one for one in devices if one.device_key.hex().startswith(text.lower())]
        fits = fits or [one for one in devices if text and one.name == text]
        if not fits:
            raise NotMember(f"none of your devices fits {text!r}: `railgun device list` shows them")
        if len(fits) > 1:
            raise UsageError(f"{len(fits)} of your devices fit {text!r}: give more digits of the key")
        return fits[0].device_key

    # --- verifying --------------------------------------------------------------------------------

    async def _verify(self, given: Given) -> Answer:
        room, people = self._around.find_room(given), self._peer.people
        device = self._around.find_device(room, given.text("member"))
        member = next(member for member in room.members() if member.device_key == device)
        if member.root_key == self._peer.identity.root_key:
            raise UsageError("this is a device of yours: safety numbers are for two people")
        mark = given.text("mark") if given.has("mark") else None
        if mark not in (None, *MARKS):
            raise UsageError(f"mark is one of {', '.join(MARKS)}")
        if mark == "confirm":
            people.mark(member.root_key)
        elif mark == "undo":
            people.unmark(member.root_key)
        at = people.verified_at(member.root_key)
        return {
            "room": room.name,
            "id": room.room_id.hex(),
            "device": device.hex(),
            "root": member.root_key.hex(),
            "name": member.name,
            "safety_number": people.safety_number(member.root_key),
            "is_verified": at is not None,
            "verified_at": at,
        }
