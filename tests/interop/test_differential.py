"""The same input to both languages: the same output, or a refusal with the same code.

`RAILGUN_DIFFERENTIAL_CASES` sets how many cases there are; `make soak` runs 100,000. The cases follow from the run's
seed, which pytest prints.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.fuzz.mutations import mutated
from tests.interop.differential_decoders import Decoder, decoders, outcome
from tests.interop.differential_machines import Machine, machines
from tests.support.node_worker import NodeWorker

CASES = int(os.environ.get("RAILGUN_DIFFERENTIAL_CASES", "2000"))
MACHINE_SHARE = 0.15
VALID_SHARE = 0.45
"""Of a decoder's inputs; the others are spoilt ones, a few of which are still accepted."""
KEPT_SAMPLES = 8


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeWorker]:
    with NodeWorker("test/differential/worker.ts", tmp_path_factory.mktemp("differential")) as started:
        yield started


def _cases(random: Random, count: int, decoder: Decoder) -> Iterator[Any]:
    samples: list[bytes] = []
    for _ in range(count):
        if len(samples) < KEPT_SAMPLES or random.random() < VALID_SHARE:
            data = decoder.sample(random)
            samples = [*samples, data][-KEPT_SAMPLES:]
        else:
            data = mutated(random.choice(samples), random, samples)
        yield data.decode("utf-8", "surrogateescape") if decoder.is_text else data


def _compare(worker: NodeWorker, name: str, given: Any, ours: dict[str, Any]) -> None:
    spelt = given.hex() if isinstance(given, bytes) else given
    theirs = worker.ask(name, [spelt])
    # JSON has lists for tuples, and no other difference that counts.
    assert theirs == json.loads(json.dumps(ours)), f"{name} disagrees on {json.dumps(spelt)}"


def _judge(accepted: Counter[str], asked: Counter[str]) -> None:
    shares = {name: accepted[name] / count for name, count in asked.items()}
    assert min(shares.values()) >= 0.05, f"hardly anything is accepted: {shares}"
    assert accepted.total() / asked.total() >= 0.30


def test_decoders_agree(worker: NodeWorker, request: pytest.FixtureRequest) -> None:
    random = Random(f"decoders {request.config.getoption('--hypothesis-seed')}")
    every = decoders()
    accepted: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for decoder in every:
        for given in _cases(random, max(20, int(CASES * (1 - MACHINE_SHARE)) // len(every)), decoder):
            ours = outcome(decoder.run, given)
            _compare(worker, decoder.name, given, ours)
            asked[decoder.name] += 1
            accepted[decoder.name] += "answer" in ours
    _judge(accepted, asked)


def test_machines_agree(worker: NodeWorker, request: pytest.FixtureRequest) -> None:
    random = Random(f"machines {request.config.getoption('--hypothesis-seed')}")
    every: list[Machine] = machines()
    accepted: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for machine in every:
        for _ in range(max(20, int(CASES * MACHINE_SHARE) // len(every))):
            script = machine.script(random)
            ours = outcome(machine.run, script)
            _compare(worker, machine.name, script, ours)
            asked[machine.name] += 1
            accepted[machine.name] += "answer" in ours and machine.was_accepted(ours["answer"])
    _judge(accepted, asked)


def test_a_disagreement_is_seen(worker: NodeWorker) -> None:
    with pytest.raises(AssertionError, match="cbor disagrees"):
        _compare(worker, "cbor", b"\x01", {"answer": 2})
    with pytest.raises(AssertionError, match="cbor disagrees"):
        _compare(worker, "cbor", b"\x18\x01", {"refused": "wrong_size"})
