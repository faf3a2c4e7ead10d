"""Machines that both languages have: scripts for them, and what each step gives as plain JSON.

Owns: the Python half of interop/browser/test/differential/machines.ts. Must not know: how the other half is run.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from railgun.core.committee import order_relays
from railgun.core.directory import Directory
from railgun.core.fragments import FragmentAssembly, cut
from railgun.core.reconciliation import answer_ids, answer_ranges, answer_request, open_comparison
from railgun.crypto.records import compose_obituary, sign_ad, sign_testimony
from railgun.errors import PeerError
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Address, EnvelopeKind, NodeKey, Role, RoomId, Tag
from railgun.wire.directory_frames import AdsRequest, DirectoryIds, DirectoryRange, DirectoryRanges, IdRange
from railgun.wire.frames import FRAMES
from railgun.wire.records import Ad
from railgun.wire.sealed import SEALED_BODIES, Fragment
from tests.fuzz.mutations import mutated
from tests.interop.differential_decoders import ISSUED, Json, code_of, plain
from tests.interop.differential_rosters import roster_run, roster_script, was_anything_filed
from tests.interop.differential_sending import (
    clock_run,
    clock_script,
    publisher_run,
    publisher_script,
    pull_run,
    pull_script,
    was_receipted,
)
from tests.support.ads import host_of, seed_of

NODES = 12
LIFETIME = 86_400


@dataclass(frozen=True)
class Machine:
    """``run`` takes a script and gives plain JSON; ``was_accepted`` says whether anything in it was."""

    name: str
    run: Callable[[Any], Json]
    script: Callable[[Random], Json]
    was_accepted: Callable[[Json], bool]


def _code_or(run: Callable[[], Json]) -> Json:
    try:
        return run()
    except PeerError as error:
        return code_of(error)


# --- directories -----------------------------------------------------------------------------------


def _directory(script: Any) -> Json:
    network = NetworkParameters("vectors", NetworkKind(script["network_kind"]))
    held = Directory(network, ads_max=script["ads_max"])
    outcomes: list[Json] = []
    for name, *values in script["steps"]:
        wall = values[-1]
        if name == "insert":
            data = bytes.fromhex(values[0])
            outcomes.append(_code_or(functools.partial(_insert, held, data, wall)))
        elif name == "forget":
            outcomes.append(held.forget_expired(wall))
        else:
            tag, start, size = values[:3]
            committee = held.committee(Tag(bytes.fromhex(tag)), start, size, wall)
            outcomes.append([[ad.node_key.hex() for ad in held.counted(start, wall)], committee.seats_hash.hex()])
    return [outcomes, len(held), [item.hex() for item in held.hashes], held.digest.hex()]


def _insert(held: Directory, data: bytes, wall: int) -> bool:
    return held.insert(data, wall) is not None


@functools.cache
def _records() -> tuple[bytes, ...]:
    """Ads and obituaries of a few nodes, at times that matter for each other."""
    random = Random(1)
    made = []
    for index in range(NODES):
        for _ in range(6):
            issued = ISSUED + random.choice((0, 300, 600, 601, 1_200, 90_000))
            host = host_of(index, crowded=random.random() < 0.3) if random.random() < 0.8 else "20.0.7.1"
            signed = sign_ad(
                seed_of(index),
                address=Address(host if random.random() < 0.95 else "10.0.0.1", random.randint(1, 65_535)),
                certificate_hash=bytes(32),
                roles=Role(random.choice((1, 1, 1, 2, 3, 0, 4))),
                issued=issued,
                expires=issued + random.choice((0, 600, LIFETIME, LIFETIME, LIFETIME, LIFETIME + 1)),
            )
            made.append(signed.encoded)
        dead = NodeKey(signed.ad.node_key)
        for count in (1, 2, 3, 3, 5):
            signers = random.sample([other for other in range(NODES) if other != index], count)
            dates = [ISSUED + random.choice((0, 600, 1_200, 90_100)) for _ in signers]
            pairs = zip(signers, dates, strict=True)
            words = tuple(sign_testimony(seed_of(signer), dead, dated) for signer, dated in pairs)
            made.append(compose_obituary(dead, words).encoded)
    return tuple(made)


def _directory_script(random: Random) -> Json:
    pool = _records()
    steps: list[Json] = []
    for _ in range(random.randint(3, 40)):
        wall = ISSUED + random.choice((0, 500, 1_300, 2_000, 90_200, 180_000))
        match random.randrange(10):
            case 0:
                steps.append(["forget", wall])
            case 1 | 2:
                start = ISSUED + 600 * random.choice((0, 1, 2, 3, 151, 300))
                steps.append(["count", random.randbytes(32).hex(), start, random.randint(3, 7), wall])
            case 3:
                steps.append(["insert", mutated(random.choice(pool), random, pool).hex(), wall])
            case _:
                steps.append(["insert", random.choice(pool).hex(), wall])
    kind = random.choice(("public", "lan"))
    return {"network_kind": kind, "ads_max": random.choice((3, 6, 20_000)), "steps": steps}


# --- reconciliation --------------------------------------------------------------------------------


def _reconciliation(script: Any) -> Json:
    hashes = [bytes.fromhex(item) for item in script["hashes"]]
    frame = FRAMES.decode(bytes.fromhex(script["frame"]))
    size = script["record_bytes"]
    match frame:
        case DirectoryRanges():
            answers = answer_ranges(hashes, frame)
        case DirectoryIds():
            answers = answer_ids(hashes, frame, lambda record_hash: record_hash[:1] * size, push=script["push"])
        case AdsRequest():
            answers = answer_request(frame, lambda record_hash: record_hash[:1] * size)
        case _:
            answers = [open_comparison(hashes)]
    return [FRAMES.encode(answer).hex() for answer in answers]


def _reconciliation_script(random: Random) -> Json:
    everything = sorted(random.randbytes(32) for _ in range(random.choice((0, 1, 20, 100, 400))))
    ours = [item for item in everything if random.random() < random.choice((0.5, 0.99))]
    theirs = [item for item in everything if random.random() < 0.9]
    return {
        "hashes": [item.hex() for item in ours],
        "frame": _frame(random, ours, theirs).hex(),
        "record_bytes": random.choice((1, 300, 700)),
        "push": random.random() < 0.7,
    }


def _frame(random: Random, ours: list[bytes], theirs: list[bytes]) -> bytes:
    opened = open_comparison(theirs)
    match random.randrange(4):
        case 0:
            return FRAMES.encode(opened)
        case 1:
            wanted = [*random.sample(ours, min(len(ours), 40)), random.randbytes(32)]
            return FRAMES.encode(AdsRequest(tuple(wanted)))
        case 2:
            cuts = sorted({random.randbytes(random.randint(1, 3)) for _ in range(5)})
            pairs = itertools.pairwise(cuts)
            ranges = (IdRange(low, high, tuple(i for i in theirs if low <= i < high)[:32]) for low, high in pairs)
            return FRAMES.encode(DirectoryIds(tuple(ranges)))
        case _:
            answers = answer_ranges(theirs, DirectoryRanges((DirectoryRange(b"", b"", 9, bytes(16)),)))
            return FRAMES.encode(random.choice(answers))


# --- fragments and committees ----------------------------------------------------------------------


def _fragments(script: Any) -> Json:
    assembly = FragmentAssembly(RoomId(bytes(32)))
    return [_code_or(functools.partial(_add_fragment, assembly, bytes.fromhex(item))) for item in script]


def _add_fragment(assembly: FragmentAssembly, data: bytes) -> Json:
    body = SEALED_BODIES.decode(data)
    if not isinstance(body, Fragment):
        return "other"
    whole, _ = assembly.add(body)
    return None if whole is None else plain(whole)


def _has_whole(answer: Json) -> bool:
    return any(isinstance(one, list) for one in answer)


def _fragments_script(random: Random) -> Json:
    script: list[bytes] = []
    for _ in range(random.randint(1, 2)):
        kind = random.choice((EnvelopeKind.GROUP, EnvelopeKind.PAIRWISE, EnvelopeKind.SEALED, EnvelopeKind.COVER))
        hint = bytes(8) if kind is EnvelopeKind.SEALED and random.random() < 0.7 else random.randbytes(8)
        script += cut(kind, hint, random.randbytes(random.randint(3_956, 12_000)))
    random.shuffle(script)
    if random.random() < 0.5:
        script.append(mutated(random.choice(script), random, script))
        random.shuffle(script)
    return [item.hex() for item in script + script[:2]]


def _committee(script: Any) -> Json:
    network = NetworkParameters("vectors", NetworkKind(script["network_kind"]))
    relays = [
        Ad(NodeKey(bytes.fromhex(one["node_key"])), Address(one["host"], one["port"]), bytes(32), Role(one["roles"]),
           0, 0, None, bytes(64))
        for one in script["relays"]
    ]  # fmt: skip
    committee = order_relays(Tag(bytes.fromhex(script["tag"])), relays, network, script["committee_size"])
    parts = {"seats": committee.seats, "standbys": committee.standbys, "fallbacks": committee.fallbacks}
    return {
        **{name: [ad.node_key.hex() for ad in some] for name, some in parts.items()},
        "majority": committee.majority,
        "seats_hash": committee.seats_hash.hex(),
    }


def _committee_script(random: Random) -> Json:
    count = random.choice((0, 1, 3, 10, 40))
    hosts = [host_of(random.randrange(3_000), crowded=random.random() < 0.3) for _ in range(count)]
    hosts = [host if random.random() < 0.8 else f"2a00:{random.randrange(2**16):x}::1" for host in hosts]
    keys = [random.randbytes(32) for _ in hosts]
    if keys and random.random() < 0.1:
        keys[-1] = keys[0]
    return {
        "network_kind": random.choice(("public", "lan")),
        "tag": random.randbytes(32).hex(),
        "committee_size": random.choice((2, 3, 4, 5, 5, 6, 7, 8)),
        "relays": [
            {"node_key": key.hex(), "host": host, "port": 9_000, "roles": random.choice((0, 1, 1, 1, 2, 3, 5))}
            for key, host in zip(keys, hosts, strict=True)
        ],
    }


def machines() -> list[Machine]:
    """All of them."""
    return [
        Machine("directory", _directory, _directory_script, lambda answer: any(one is True for one in answer[0])),
        Machine("reconciliation", _reconciliation, _reconciliation_script, bool),
        Machine("fragments", _fragments, _fragments_script, _has_whole),
        Machine("roster", roster_run, roster_script, was_anything_filed),
        Machine("publisher", publisher_run, publisher_script, was_receipted),
        Machine("pull_windows", pull_run, pull_script, bool),
        Machine("clock", clock_run, clock_script, bool),
        Machine("committee", _committee, _committee_script, bool),
    ]
