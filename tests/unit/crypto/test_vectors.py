"""The shared vectors: what is committed is what the code makes, and every refused case is refused with its code."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate.__main__ import render
from railgun.crypto import epoch, message_ids, sealing
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import content_hash
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError, PeerError, UsageError
from railgun.types import DeviceKey, EnvelopeKind, RoomId, SizeClass
from railgun.wire.envelope import Inner

FILES = ("epoch_keys", "envelopes", "message_ids")
DIRECTORY = Path(__file__).parents[3] / "interop" / "vectors"
PICKLE_KEY = b"\x0b" * 32

Case = dict[str, Any]


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


def _cases(part: str) -> list[Any]:
    return [pytest.param(case, id=f"{name}: {case['name']}") for name in FILES for case in _load(name)[part]]


def _hex(case: Case, key: str) -> bytes:
    return bytes.fromhex(case[key])


def _keys(case: Case) -> EpochKeys:
    return epoch.derive_epoch_keys(_hex(case, "day_secret"), case["generation"], case["start"])


def _derive(case: Case) -> Case:
    keys = _keys(case)
    return {"tag": keys.tag.hex(), "header_key": keys.header_key.hex(), "signing_seed": keys.signing_seed.hex()}


def _day_chain(case: Case) -> Case:
    secret, generation, day = _hex(case, "secret"), case["generation"], case["first_day"]
    secrets = [epoch.first_day_secret(secret, generation, day)]
    for following in range(day + 1, day + len(case["expected"]["day_secrets"])):
        secrets.append(epoch.next_day_secret(secrets[-1], generation, following))
    commitment = epoch.generation_commitment(secret).hex()
    return {"commitment": commitment, "day_secrets": [secret.hex() for secret in secrets]}


def _epoch_start(case: Case) -> Case:
    room, length = RoomId(_hex(case, "room_id")), case["epoch_seconds"]
    start = epoch.epoch_start(case["wall_seconds"], room, length)
    return {"offset_seconds": epoch.epoch_offset_seconds(room, length), "start": start}


def _seal(case: Case) -> bytes:
    if "body_repeated" in case:
        body = _hex(case["body_repeated"], "byte") * case["body_repeated"]["count"]
    else:
        body = _hex(case, "body")
    kind, size_class = EnvelopeKind(case["kind"]), SizeClass(case["size_class"])
    data = sealing.seal_envelope(_keys(case), kind, _hex(case, "hint"), body, size_class, _hex(case, "nonce"))
    assert sealing.open_envelope(_keys(case), data) == Inner(kind, _hex(case, "hint"), body)
    return data


def _seal_check_open(case: Case) -> Case:
    data = _seal(case)
    _, envelope_id = sealing.check_envelope(data)
    named = {"envelope": data.hex(), "envelope_blake2b": content_hash(data).hex(), "envelope_id": envelope_id.hex()}
    return {key: named[key] for key in case["expected"]}


def _message_id(case: Case) -> Case:
    return {"message_id": message_ids.message_id(DeviceKey(_hex(case, "author")), _hex(case, "megolm")).hex()}


def _pairwise_hint(case: Case) -> Case:
    return {"hint": message_ids.pairwise_hint(DeviceKey(_hex(case, "recipient")), case["start"]).hex()}


def _megolm_decrypt(case: Case) -> Case:
    sessions = VodozemacSessions()
    inbound = sessions.megolm_import(_hex(case, "session_key"), PICKLE_KEY)
    opened = sessions.megolm_decrypt(inbound.pickle, PICKLE_KEY, _hex(case, "megolm"))
    return {"session_id": inbound.session_id.hex(), "index": opened.index, "plaintext": opened.plaintext.hex()}


OPERATIONS: dict[str, Callable[[Case], Any]] = {
    "derive_epoch_keys": _derive,
    "day_chain": _day_chain,
    "epoch_start": _epoch_start,
    "seal_envelope": _seal,
    "seal_check_open": _seal_check_open,
    "check_envelope": lambda case: sealing.check_envelope(_hex(case, "envelope")),
    "open_envelope": lambda case: sealing.open_envelope(_keys(case), _hex(case, "envelope")),
    "message_id": _message_id,
    "group_hint": lambda case: {"hint": message_ids.group_hint(_hex(case, "session_id")).hex()},
    "pairwise_hint": _pairwise_hint,
    "megolm_decrypt": _megolm_decrypt,
}


def _outcome(case: Case) -> str:
    try:
        OPERATIONS[case["operation"]](case)
    except PeerError as error:
        return error.code.name.lower()
    except CryptoError:
        return "crypto"
    except UsageError:
        return "clock"
    except ValueError:
        return "invalid_argument"
    return "accepted"


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_what_the_generator_makes(name: str) -> None:
    module = importlib.import_module(f"interop.vectors.generate.{name}")
    assert (DIRECTORY / f"{name}.json").read_text() == render(module.vectors())


@pytest.mark.parametrize("name", FILES)
def test_names_are_unique(name: str) -> None:
    loaded = _load(name)
    names = [case["name"] for case in loaded["accepted"] + loaded["refused"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", _cases("accepted"))
def test_accepted(case: Case) -> None:
    assert OPERATIONS[case["operation"]](case) == case["expected"]


@pytest.mark.parametrize("case", _cases("refused"))
def test_refused(case: Case) -> None:
    assert _outcome(case) == case["code"]
