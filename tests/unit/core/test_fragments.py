"""Bodies in pieces, and back."""

from __future__ import annotations

import importlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate.__main__ import render
from railgun.core.fragments import TABLE, FragmentAssembly, _hash, cut
from railgun.errors import MalformedInput
from railgun.limits import FRAGMENT_ASSEMBLIES_MAX, FRAGMENTS_MAX
from railgun.types import EnvelopeKind, RoomId, SizeClass
from railgun.wire.envelope import body_bytes_max
from railgun.wire.sealed import SEALED_BODIES, Fragment

ROOM = RoomId(b"r" * 32)
HINT = b"12345678"
LARGEST = body_bytes_max(SizeClass.LARGE)
MEDIUM = body_bytes_max(SizeClass.MEDIUM)


def fragments(body: bytes) -> list[Fragment]:
    found = [SEALED_BODIES.decode(data) for data in cut(EnvelopeKind.GROUP, HINT, body)]
    assert all(isinstance(item, Fragment) for item in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("size", [MEDIUM + 1, 7_200, 7_201, LARGEST])
def test_a_body_comes_back_whole_whatever_the_order(size: int) -> None:
    body = random.Random(size).randbytes(size)
    pieces = cut(EnvelopeKind.GROUP, HINT, body)
    assert len(pieces) <= FRAGMENTS_MAX
    assert all(len(piece) <= MEDIUM for piece in pieces)
    assert pieces == cut(EnvelopeKind.GROUP, HINT, body)
    for seed in range(3):
        shuffled = fragments(body)
        random.Random(seed).shuffle(shuffled)
        assembly = FragmentAssembly(ROOM)
        results = [assembly.add(fragment)[0] for fragment in shuffled]
        assert results[:-1] == [None] * (len(pieces) - 1)
        whole = results[-1]
        assert whole is not None
        assert (whole.kind, whole.hint, whole.body) == (EnvelopeKind.GROUP, HINT, body)
        assert len(assembly) == 0
        assert [assembly.add(fragment) for fragment in shuffled] == [(None, ())] * len(pieces)  # sent once more
        assert len(assembly) == 0


def test_a_body_longer_than_any_envelope_is_not_cut() -> None:
    with pytest.raises(ValueError):
        cut(EnvelopeKind.GROUP, HINT, bytes(20 * 3_600))


def test_nobody_can_slip_in_a_false_piece() -> None:
    one, two, _ = fragments(random.Random(1).randbytes(9_000))
    assembly = FragmentAssembly(ROOM)
    for forged in (
        replace(two, data=b"x" * len(two.data)),
        replace(two, index=0),
        replace(two, kind=EnvelopeKind.SEALED),
        replace(two, hint=bytes(8)),
    ):
        with pytest.raises(MalformedInput):
            assembly.add(forged)
    assembly.add(one)
    other = replace(two, hashes=(two.hashes[0], two.hashes[1], bytes(16)))  # another set, which never gets whole
    assert assembly.add(other)[0] is None
    assert len(assembly) == 2


def hostile(pieces: list[tuple[EnvelopeKind, bytes, bytes]]) -> list[Fragment]:
    """A set of pieces that fit their hashes, and that only a hostile member makes."""
    hashes = tuple(_hash(kind, hint, index, data) for index, (kind, hint, data) in enumerate(pieces))
    return [Fragment(kind, hint, hashes, index, data) for index, (kind, hint, data) in enumerate(pieces)]


def test_what_no_envelope_could_have_brought_whole_is_dropped() -> None:
    too_long = [(EnvelopeKind.GROUP, HINT, bytes(3_600))] * FRAGMENTS_MAX
    mixed = [(EnvelopeKind.GROUP, HINT, b"a"), (EnvelopeKind.PAIRWISE, HINT, b"b")]
    for pieces in (too_long, mixed, [*reversed(mixed)]):
        assembly, kept = FragmentAssembly(ROOM), 0
        for fragment in hostile(pieces):
            whole, writes = assembly.add(fragment)
            assert whole is None
            kept += sum(1 if write.value is not None else -1 for write in writes)
        assert (len(assembly), kept) == (0, 0)
    for kind, hint in ((EnvelopeKind.COVER, bytes(8)), (EnvelopeKind.COVER, HINT), (EnvelopeKind.SEALED, HINT)):
        with pytest.raises(MalformedInput):
            FragmentAssembly(ROOM).add(hostile([(kind, hint, b"a"), (kind, hint, b"b")])[0])


def test_a_restart_goes_on_with_the_pieces_that_had_come() -> None:
    rows: dict[bytes, bytes] = {}
    body = random.Random(2).randbytes(20_000)
    pieces = fragments(body)
    whole = None
    for fragment in pieces:
        assembly = FragmentAssembly(ROOM)
        assembly.load(rows.items())
        whole, writes = assembly.add(fragment)
        for write in writes:
            assert write.table == TABLE
            if write.value is None:
                del rows[write.key]
            else:
                rows[write.key] = write.value
    assert whole is not None
    assert whole.body == body
    assert rows == {}
    with pytest.raises(MalformedInput):
        FragmentAssembly(ROOM).load([(ROOM + b"f" + bytes(17), b"\x00")])


def test_what_never_gets_whole_gives_way() -> None:
    assembly, kept = FragmentAssembly(ROOM), 0
    for seed in range(3 * FRAGMENT_ASSEMBLIES_MAX):
        _, writes = assembly.add(fragments(random.Random(seed).randbytes(5_000))[0])
        kept += sum(1 if write.value is not None else -1 for write in writes)
    assert len(assembly) == kept == FRAGMENT_ASSEMBLIES_MAX


VECTORS = json.loads((Path(__file__).parents[3] / "interop" / "vectors" / "fragments.json").read_text())


def test_the_vectors_are_what_the_code_makes() -> None:
    module = importlib.import_module("interop.vectors.generate.fragments")
    path = Path(__file__).parents[3] / "interop" / "vectors" / "fragments.json"
    assert path.read_text() == render(module.vectors())


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["name"])
def test_pieces_of_the_vectors_make_their_body(case: dict[str, Any]) -> None:
    body = bytes(index % 251 for index in range(case["body_bytes"]))
    pieces = cut(EnvelopeKind(case["kind"]), bytes.fromhex(case["hint"]), body)
    assert [piece.hex() for piece in pieces] == case["expected"]["pieces"]
    assembly, whole = FragmentAssembly(ROOM), None
    for data in case["expected"]["pieces"]:
        fragment = SEALED_BODIES.decode(bytes.fromhex(data))
        assert isinstance(fragment, Fragment)
        whole, _ = assembly.add(fragment)
    assert whole is not None
    assert (whole.kind, whole.hint.hex(), whole.body) == (case["kind"], case["hint"], body)


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["name"])
def test_refused_pieces_of_the_vectors_are_refused(case: dict[str, Any]) -> None:
    fragment = SEALED_BODIES.decode(bytes.fromhex(case["data"]))
    assert isinstance(fragment, Fragment)
    with pytest.raises(MalformedInput) as refused:
        FragmentAssembly(ROOM).add(fragment)
    assert refused.value.code.name == case["code"]
