"""How atheris feeds targets: one input, whose first byte picks the target when a program has several.

Owns: instrumentation, seeds, the mix of libFuzzer's mutations and ours. Must not know: any decoder.

A program is ``tests/fuzz/fuzz_<name>.py``, run by `tools/soak.py` as ``python -m tests.fuzz.fuzz_<name> [libFuzzer's
options] CORPUS``. Nothing of the package may be imported before `main` is called, or it is not instrumented.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from random import Random

import atheris

from tests.fuzz import program


def main(name: str) -> None:
    """Fuzz the targets of program ``name`` until libFuzzer's options say stop; ends the process."""
    with atheris.instrument_imports(include=["railgun"]):
        targets = program.targets_of(name)
    others = [seed for target in targets for seed in target.seed_inputs]

    def one_input(data: bytes) -> None:
        if data:
            targets[data[0] % len(targets)].check(data[1:])

    def mutate(data: bytes, bytes_max: int, seed: int) -> bytes:
        random = Random(seed)
        if not data or random.random() < 0.5:
            return bytes(atheris.Mutate(data, bytes_max))
        from tests.fuzz.mutations import mutated

        return data[:1] + mutated(data[1:], random, others)[: max(0, bytes_max - 1)]

    directories = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for number, target in enumerate(targets):
        for seed in target.seed_inputs:
            _keep(directories, bytes([number]) + seed)
    atheris.Setup(sys.argv, one_input, custom_mutator=mutate)
    atheris.Fuzz()


def _keep(directories: list[Path], data: bytes) -> None:
    """Put a seed where libFuzzer looks for inputs (not where a finding is to be repeated)."""
    if directories and directories[0].is_dir():
        (directories[0] / f"seed-{hashlib.blake2b(data, digest_size=8).hexdigest()}").write_bytes(data)
