"""The shared vectors of invites, rosters and content: committed is what the code makes, and refused is refused."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate.__main__ import render
from interop.vectors.generate._packed import unpacked
from interop.vectors.generate.content import fields_of
from interop.vectors.generate.roster import summary
from railgun.core.lobby import lobby_secret
from railgun.core.roster import Roster
from railgun.core.roster_entries import open_entry
from railgun.crypto.epoch import derive_lobby_keys
from railgun.crypto.identity import invite_key_seed
from railgun.crypto.signing import public_key_of
from railgun.errors import PeerError
from railgun.types import RoomId
from railgun.wire.content import decode_content, encode_content
from railgun.wire.invites import format_invite, parse_invite

DIRECTORY = Path(__file__).parents[3] / "interop" / "vectors"
FILES = ("content", "invites", "roster")

Case = dict[str, Any]


def cases(part: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{name}: {case['name']}")
        for name in FILES
        for case in json.loads((DIRECTORY / f"{name}.json").read_text())[part]
    ]


def run(case: Case) -> Case:
    match case["operation"]:
        case "parse_invite":
            invite = parse_invite(case["link"])
            contacts = [
                {
                    "node_key": contact.node_key.hex(),
                    "certificate_hash": contact.certificate_hash.hex(),
                    "addresses": [str(address) for address in contact.addresses],
                }
                for contact in invite.contacts
            ]
            names = {"network": invite.network, "room": invite.room, "seed": invite.seed}
            return {
                **{name: value.hex() for name, value in names.items()},
                "contacts": contacts,
                "rendezvous": list(invite.rendezvous),
                "link": format_invite(invite),
            }
        case "derive_invite":
            seed = bytes.fromhex(case["seed"])
            keys = derive_lobby_keys(lobby_secret(seed), case["start"])
            return {
                "invite_key": public_key_of(invite_key_seed(seed)).hex(),
                "lobby_secret": lobby_secret(seed).hex(),
                "lobby_tag": keys.tag.hex(),
                "lobby_header_key": keys.header_key.hex(),
            }
        case "open_entry":
            stored = open_entry(bytes.fromhex(case["bytes"]))
            return {"author": stored.author.hex(), "number": stored.number, "hash": stored.hash.hex()}
        case "decode_content":
            content = decode_content(unpacked(case["bytes"]))
            assert encode_content(content) == unpacked(case["bytes"])
            return fields_of(content)
        case "resolve":
            entries = [bytes.fromhex(text) for text in case["entries"]]
            random.Random(len(entries)).shuffle(entries)
            roster = Roster(RoomId(bytes.fromhex(case["room"])))
            roster.insert_all(entries)
            return summary(roster.state(case["day"]))
    raise AssertionError(case["operation"])


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_generators_make(name: str) -> None:
    module = importlib.import_module(f"interop.vectors.generate.{name}")
    assert (DIRECTORY / f"{name}.json").read_text() == render(module.vectors())


@pytest.mark.parametrize("case", cases("accepted"))
def test_accepted(case: Case) -> None:
    assert run(case) == case["expected"]


@pytest.mark.parametrize("case", cases("refused"))
def test_refused(case: Case) -> None:
    with pytest.raises(PeerError) as caught:
        run(case)
    assert caught.value.code.name.lower() == case["code"]
