"""The public API's way in: `connect`.

Owns: the object that may be awaited or entered. Must not know: anything else.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from railgun.core.cover import CoverOptions
from railgun.limits import FILE_BYTES_DEFAULT_MAX
from railgun.network import NetworkParameters
from railgun.runtime.peer import Peer, open_peer
from railgun.types import Address, RelayContact
from railgun.wire.contacts import parse_address, parse_contact


class Connecting:
    """What `connect` returns: ``await`` it for a `Peer`, or enter it with ``async with``."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = arguments
        self._peer: Peer | None = None

    def __await__(self) -> Generator[Any, None, Peer]:
        return open_peer(**self._arguments).__await__()

    async def __aenter__(self) -> Peer:
        self._peer = await open_peer(**self._arguments)
        return self._peer

    async def __aexit__(self, *_: object) -> None:
        if self._peer is not None:
            await self._peer.aclose()


def connect(  # noqa: PLR0913  # all by keyword, each a part of its own
    profile: str | Path,
    *,
    passphrase: str | None = None,
    key_file: Path | None = None,
    network: NetworkParameters | None = None,
    bootstrap: Sequence[RelayContact | str] = (),
    cover: CoverOptions | None = None,
    file_bytes_max: int = FILE_BYTES_DEFAULT_MAX,
    listen: bool | None = None,
    stun: Sequence[Address | str] = (),
    turn: Sequence[Address | str] = (),
    rendezvous: Sequence[str] = (),
) -> Connecting:
    """Open a member's profile and go online.

    Args:
        profile: the directory that `railgun init` made.
        passphrase, key_file: what opens it, if it was made with one.
        network: the network to be in; remembered by the profile, so needed once.
        bootstrap: relays to start from (`RelayContact`, or the text that ``railgun node`` prints); remembered too.
        file_bytes_max: larger files are neither sent nor collected; at most 32 MiB.
        listen: whether this device and other members of its rooms may link directly when no relay can be reached. They
            then know each other's addresses, which the device leaves for them, sealed, beforehand. None: in ``lan``
            networks only. Never in rooms under strict cover.
        stun, turn: servers by which peers behind NAT reach each other, at most 8 of each (``192.0.2.1:3478``); named to
            the members of this device's rooms.
        rendezvous: servers (``wss://...``), at most 4, that are asked for relays while none can be dialled, and at no
            other time; invites that this peer makes name the first two.
        cover: decoys, if others than usual: the mode of rooms that this peer creates, its rate in strict ones.

    Raises, when awaited or entered:
        UsageError: no profile, in use by another process, or no network named yet.
        WrongPassphrase, StoreError, MalformedInput.
    """
    contacts = [parse_contact(item) if isinstance(item, str) else item for item in bootstrap]
    return Connecting(
        {
            "profile": profile,
            "passphrase": passphrase,
            "key_file": key_file,
            "network": network,
            "bootstrap": contacts,
            "cover": cover,
            "file_bytes_max": file_bytes_max,
            "listen": listen,
            "stun": [parse_address(item) if isinstance(item, str) else item for item in stun],
            "rendezvous": tuple(rendezvous),
            "turn": [parse_address(item) if isinstance(item, str) else item for item in turn],
        }
    )
