"""Vectors of invite links: their text, what follows from the seed, and every way in which a link is refused."""

from __future__ import annotations

import base64
from typing import Any

from railgun.core.lobby import lobby_secret
from railgun.crypto.epoch import derive_lobby_keys
from railgun.crypto.identity import invite_key_seed
from railgun.crypto.signing import public_key_of
from railgun.types import Address, NetworkId, NodeKey, RelayContact, RoomId
from railgun.wire import cbor
from railgun.wire.invites import LINK_PREFIX, Invite, _checksum, format_invite

SEED = bytes(range(32))
START = 1_700_000_400


def _contact(number: int, *addresses: Address) -> RelayContact:
    return RelayContact(NodeKey(bytes([number]) * 32), addresses, bytes([number + 1]) * 32)


def _invite(*contacts: RelayContact, rendezvous: tuple[str, ...] = ()) -> Invite:
    return Invite(NetworkId(b"\xa1" * 32), RoomId(b"\xb2" * 32), SEED, contacts, rendezvous)


def _accepted(name: str, invite: Invite, link: str) -> dict[str, Any]:
    contacts = [
        {
            "node_key": contact.node_key.hex(),
            "certificate_hash": contact.certificate_hash.hex(),
            "addresses": [str(address) for address in contact.addresses],
        }
        for contact in invite.contacts
    ]
    expected = {
        "network": invite.network.hex(),
        "room": invite.room.hex(),
        "seed": invite.seed.hex(),
        "contacts": contacts,
        "rendezvous": list(invite.rendezvous),
        "link": format_invite(invite),
    }
    return {"name": name, "operation": "parse_invite", "link": link, "expected": expected}


def _derived() -> dict[str, Any]:
    keys = derive_lobby_keys(lobby_secret(SEED), START)
    return {
        "name": "what follows from the seed",
        "operation": "derive_invite",
        "seed": SEED.hex(),
        "start": START,
        "expected": {
            "invite_key": public_key_of(invite_key_seed(SEED)).hex(),
            "lobby_secret": lobby_secret(SEED).hex(),
            "lobby_tag": keys.tag.hex(),
            "lobby_header_key": keys.header_key.hex(),
        },
    }


def _whole(data: bytes) -> str:
    """A link around any bytes, with the right checksum."""
    return LINK_PREFIX + base64.urlsafe_b64encode(data + _checksum(data)).rstrip(b"=").decode()


def _refused(name: str, link: str) -> dict[str, Any]:
    return {"name": name, "operation": "parse_invite", "link": link, "code": "malformed"}


def vectors() -> dict[str, Any]:
    """The file."""
    four, six = Address("192.0.2.7", 9000), Address("2001:db8::7", 65_535)
    plain, full = _invite(_contact(1, four)), _invite(_contact(1, four, six), _contact(5, six))
    link = format_invite(plain)
    text = link.removeprefix(LINK_PREFIX)
    served = _invite(_contact(1, four), rendezvous=("wss://rendezvous.example",))
    both = _invite(rendezvous=("wss://[2001:db8::7]:8443/a", "ws://192.0.2.7:80"))
    swapped = text[:20] + text[21] + text[20] + text[22:]
    return {
        "description": "Invite links (docs/spec/rooms.md).",
        "accepted": [
            _accepted("no contact", _invite(), format_invite(_invite())),
            _accepted("one contact", plain, link),
            _accepted("two contacts, two kinds of address", full, format_invite(full)),
            _accepted("white space around it", plain, f"  {link}\n"),
            _accepted("as a web link", plain, format_invite(plain, "https://chat.example/join")),
            _accepted("a rendezvous server", served, format_invite(served)),
            _accepted("two rendezvous servers and no relay", both, format_invite(both)),
            _derived(),
        ],
        "refused": [
            _refused("nothing", ""),
            _refused("no link", "hello"),
            _refused("plain http", f"http://chat.example/#{text}"),
            _refused("a web link without a fragment", "https://chat.example/join"),
            _refused("cut short", link[:-1]),
            _refused("one letter changed", link[:-9] + ("A" if link[-9] != "A" else "B") + link[-8:]),
            _refused("two letters swapped", LINK_PREFIX + swapped),
            _refused("padded", link + "=="),
            _refused("a letter outside base64url", link[:-1] + "+"),
            _refused("too long", LINK_PREFIX + "A" * 5_000),
            _refused("whole, of another kind", _whole(b"\xa1\x00\x02")),
            _refused("whole, no CBOR", _whole(b"\xff")),
            _refused("whole, empty", _whole(b"")),
            _refused("whole, a seed too short", _whole(_cut_seed(plain))),
            *(_refused(f"whole, {name}", _whole(_served(*servers))) for name, servers in WRONG_SERVERS.items()),
        ],
    }


WRONG_SERVERS: dict[str, tuple[str, ...]] = {
    "no rendezvous server in the list": (),
    "three rendezvous servers": ("wss://a", "wss://b", "wss://c"),
    "an empty rendezvous server": ("",),
    "a rendezvous server of another kind": ("https://a.example",),
    "a rendezvous server with a slash at its end": ("wss://a.example/",),
    "a rendezvous server with a user": ("wss://u:p@a.example",),
    "a rendezvous server that is too long": ("wss://" + "a" * 123,),
    "a rendezvous server with a port too great": ("wss://a.example:65536",),
}


def _served(*servers: str) -> bytes:
    return cbor.encode({0: 1, 1: b"\xa1" * 32, 2: b"\xb2" * 32, 3: SEED, 4: [], 5: list(servers)})


def _cut_seed(invite: Invite) -> bytes:
    text = format_invite(invite).removeprefix(LINK_PREFIX)
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-4]
    return data.replace(b"\x58\x20" + SEED, b"\x58\x1f" + SEED[:-1])
