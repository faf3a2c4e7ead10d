"""The shared vectors of pairwise bodies: what is committed is what the code makes, and refused is refused."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate.__main__ import render
from railgun.core.roster_entries import prekey_is_genuine
from railgun.crypto.message_ids import pairwise_hint
from railgun.crypto.signing import verify
from railgun.errors import MalformedInput
from railgun.types import DeviceKey
from railgun.wire.pairwise import PAIRWISE_BODIES, PAIRWISE_LABEL, SHARED_KEYS
from railgun.wire.roster import PREKEYS
from railgun.wire.schema import Codec
from railgun.wire.sealed import KEY_REQUEST_LABEL, SEALED_BODIES, KeyRequest

FILE = Path(__file__).parents[3] / "interop" / "vectors" / "pairwise.json"
CODECS: dict[str, Codec[Any]] = {"body": PAIRWISE_BODIES, "shared_keys": SHARED_KEYS, "bundle": PREKEYS}


def cases(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="ascii"))[kind]
    return found


def test_the_file_is_what_the_code_makes() -> None:
    made = importlib.import_module("interop.vectors.generate.pairwise").vectors()
    assert FILE.read_text(encoding="ascii") == render(made)


@pytest.mark.parametrize("case", cases("accepted"), ids=lambda case: case["name"])
def test_accepted(case: dict[str, Any]) -> None:
    match case["operation"]:
        case "hint":
            assert pairwise_hint(DeviceKey(bytes.fromhex(case["recipient"])), case["made"]).hex() == case["expected"]
        case "body":
            body = PAIRWISE_BODIES.decode(bytes.fromhex(case["encoded"]))
            assert verify(body.author, PAIRWISE_LABEL, bytes.fromhex(case["signed"]), body.signature)
        case "bundle":
            assert prekey_is_genuine(PREKEYS.decode(bytes.fromhex(case["encoded"])))
        case "sealed_body":
            request = SEALED_BODIES.decode(bytes.fromhex(case["encoded"]))
            assert isinstance(request, KeyRequest)
            assert verify(request.author, KEY_REQUEST_LABEL, bytes.fromhex(case["signed"]), request.signature)
        case "shared_keys":
            assert SHARED_KEYS.decode(bytes.fromhex(case["expected"])).made == case["made"]
        case operation:
            assert operation == "info"


@pytest.mark.parametrize("case", cases("refused"), ids=lambda case: case["name"])
def test_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        CODECS[case["operation"]].decode(bytes.fromhex(case["encoded"]))
