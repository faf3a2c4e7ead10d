"""Write the vector files: all, or those whose names are given."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def render(vectors: dict[str, Any]) -> str:
    """The file's text: stable, one key a line, so that a change shows in a diff."""
    return json.dumps(vectors, indent=1, ensure_ascii=True) + "\n"


def main(names: list[str]) -> int:
    known = sorted(module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.name.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no such vectors: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        module = importlib.import_module(f"interop.vectors.generate.{name}")
        (HERE.parent / f"{name}.json").write_text(render(module.vectors()), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
