"""Rewrites constraints.txt: all that `railgun[dev,soak]` and `railgun-signaling` need, as installed here.

Owns: the file's form (sorted, ``name==version``, nothing else). Must not know: where packages come from.
"""

from __future__ import annotations

from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

HEADER = "# The tested set, names and versions only: made by `make constraints` once the tests have passed.\n"
OURS = ("railgun", "railgun-signaling")
ROOT = Path(__file__).resolve().parent.parent


def needed() -> dict[str, str]:
    """Name to installed version of everything that the project requires, directly or not."""
    found: dict[str, str] = {}
    waiting: list[tuple[Distribution, frozenset[str]]] = [
        (distribution("railgun"), frozenset({"dev", "soak"})),
        (distribution("railgun-signaling"), frozenset()),
    ]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        package, extras = waiting.pop()
        name = package.metadata["Name"]
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in OURS:
            found[name] = package.version
        for line in package.requires or ():
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in sorted(extras | {""})]
            if requirement.marker is None or any(requirement.marker.evaluate(one) for one in environments):
                waiting.append((distribution(requirement.name), frozenset(requirement.extras)))
    return found


def main() -> None:
    lines = [f"{name}=={version}\n" for name, version in sorted(needed().items(), key=lambda pair: pair[0].lower())]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(lines))
    print(f"constraints.txt: {len(lines)} packages")


if __name__ == "__main__":
    main()
