"""Running `railgun` commands in tests: in this process, with everything that they print.

Must not know: any command.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from railgun.cli.main import main

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"


@dataclass(frozen=True)
class Ran:
    """One finished command."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The one object of ``--json``; fails where standard output holds anything else."""
        assert self.out.endswith("}\n"), self.out + self.err
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def checked(self, schema: str) -> dict[str, Any]:
        """The object, held against docs/reference/schemas."""
        assert schema == "error" or "error" not in self.result, self.out + self.err
        check_schema(schema, self.result)
        return self.result

    @property
    def complaint(self) -> str:
        """What a failed command said: exactly one line on standard error, under its name."""
        assert self.status == 2, self.out + self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("railgun: ")
        assert "Traceback" not in self.err
        return lines[0].removeprefix("railgun: ")


class Commands:
    """Runs `main` with a home of its own."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in [name for name in os.environ if name.startswith(("RAILGUN_", "XDG_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.chdir(home)

    def __call__(self, *words: str | Path, stdin: bytes | None = None) -> Ran:
        if stdin is not None:
            self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as left:  # --help
            status = int(left.code or 0)
        printed = self._capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    def set(self, name: str, value: str) -> None:
        """Set an environment variable for the rest of the test."""
        self._monkeypatch.setenv(name, value)


@cache
def _validator(schema: str) -> Any:
    document = json.loads((SCHEMAS / f"{schema}.json").read_text())
    checker = jsonschema.Draft202012Validator
    checker.check_schema(document)
    return checker(document)


def check_schema(schema: str, found: object) -> None:
    """Raise jsonschema.ValidationError unless ``found`` is what docs/reference/schemas says."""
    _validator(schema).validate(found)
