"""A `railgun` fixture that runs one command in this process. Must not know: any command."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Commands


@pytest.fixture
def railgun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """Commands with their home, profile and working directory in ``tmp_path``."""
    root, ours = logging.getLogger(), logging.getLogger("railgun")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield Commands(tmp_path, monkeypatch, capsys)
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
