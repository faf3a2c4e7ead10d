"""The shared vectors of Olm, Megolm and short codes: what is committed is what the session library writes and reads."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate.__main__ import render
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError

DIRECTORY = Path(__file__).parents[3] / "interop" / "vectors"
FILES = ("olm", "megolm", "short_codes")
KEY = b"\x0b" * 32


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_what_the_library_does(name: str) -> None:
    module = importlib.import_module(f"interop.vectors.generate.{name}")
    assert (DIRECTORY / f"{name}.json").read_text() == render(module.vectors())


@pytest.mark.parametrize("name", FILES)
def test_names_are_unique_and_both_outcomes_are_there(name: str) -> None:
    loaded = _load(name)
    names = [case["name"] for case in loaded["accepted"] + loaded["refused"]]
    assert len(names) == len(set(names))
    assert len(loaded["accepted"]) >= 3
    assert len(loaded["refused"]) >= 4


@pytest.mark.parametrize("case", _load("short_codes")["refused"], ids=lambda case: case["name"])
def test_a_key_that_is_none_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(CryptoError):
        VodozemacSessions().sas_new().establish(bytes.fromhex(case["their_key"]))


@pytest.mark.parametrize(
    "case",
    [case for case in _load("megolm")["refused"] if case["operation"] == "decrypt"],
    ids=lambda case: case["name"],
)
def test_a_refused_group_message_is_refused(case: dict[str, Any]) -> None:
    sessions = VodozemacSessions()
    inbound = sessions.megolm_restore(bytes.fromhex(case["exported"]), KEY)
    with pytest.raises(CryptoError):
        sessions.megolm_decrypt(inbound.pickle, KEY, bytes.fromhex(case["message"]))
