"""Rail Gun: a peer-to-peer messaging network. This module is the public API, nothing else.

::

    import asyncio, railgun

    async def main():
        async with railgun.connect("alice") as peer:
            room = await peer.create_room("ops")
            print(room.invite(uses=5))
            await room.send("hello")
            async for message in room.messages():
                print(message.author_name, message.text)

    asyncio.run(main())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from railgun.core.cover import CoverOptions
    from railgun.core.reputation import BlacklistedRelay
    from railgun.core.room_refusals import RoomRefusals
    from railgun.errors import (
        ConfigurationError,
        DiscoveryError,
        LocalError,
        MalformedInput,
        NotMember,
        PeerError,
        RailGunError,
        StoreError,
        UsageError,
        WrongPassphrase,
    )
    from railgun.network import NetworkKind, NetworkParameters
    from railgun.runtime.api import connect
    from railgun.runtime.peer import Peer
    from railgun.runtime.room import Room
    from railgun.runtime.room_mail import MessageReader
    from railgun.runtime.room_views import MemberView, Message, Receipt, SettingsView, Typing
    from railgun.runtime.status import CoverView, PeerStatus, RoomStatusView
    from railgun.runtime.traversal import TraversalServers
    from railgun.types import Address, RelayContact, ServiceMode, SizeClass
    from railgun.wire.roster import Cover

__all__ = [
    "Address",
    "BlacklistedRelay",
    "ConfigurationError",
    "Cover",
    "CoverOptions",
    "CoverView",
    "DiscoveryError",
    "LocalError",
    "MalformedInput",
    "MemberView",
    "Message",
    "MessageReader",
    "NetworkKind",
    "NetworkParameters",
    "NotMember",
    "Peer",
    "PeerError",
    "PeerStatus",
    "RailGunError",
    "Receipt",
    "RelayContact",
    "Room",
    "RoomRefusals",
    "RoomStatusView",
    "ServiceMode",
    "SettingsView",
    "SizeClass",
    "StoreError",
    "TraversalServers",
    "Typing",
    "UsageError",
    "WrongPassphrase",
    "__version__",
    "connect",
]

_HOMES = {
    "connect": "railgun.runtime.api",
    "Peer": "railgun.runtime.peer",
    "MemberView": "railgun.runtime.room_views",
    "Message": "railgun.runtime.room_views",
    "Receipt": "railgun.runtime.room_views",
    "Room": "railgun.runtime.room",
    "MessageReader": "railgun.runtime.room_mail",
    "SettingsView": "railgun.runtime.room_views",
    "Typing": "railgun.runtime.room_views",
    "Cover": "railgun.wire.roster",
    "CoverOptions": "railgun.core.cover",
    "BlacklistedRelay": "railgun.core.reputation",
    "CoverView": "railgun.runtime.status",
    "PeerStatus": "railgun.runtime.status",
    "RoomRefusals": "railgun.core.room_refusals",
    "RoomStatusView": "railgun.runtime.status",
    "TraversalServers": "railgun.runtime.traversal",
    "NetworkKind": "railgun.network",
    "NetworkParameters": "railgun.network",
    "Address": "railgun.types",
    "RelayContact": "railgun.types",
    "ServiceMode": "railgun.types",
    "SizeClass": "railgun.types",
}


def __getattr__(name: str) -> Any:
    """Load the parts of the API when they are asked for: the shell brings WebRTC along, which takes its time."""
    if name not in __all__:
        raise AttributeError(f"module 'railgun' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "railgun.errors")), name)
