"""The public API is whole, documented, and docs/reference/api.md says what its docstrings say."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import railgun
from tools import api_reference

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_docstrings_say() -> None:
    assert api_reference.PAGE.read_text() == api_reference.page(), "run tools/api_reference.py"


def test_every_public_name_and_member_is_documented() -> None:
    for name in api_reference.names():
        thing = getattr(railgun, name)
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing) and thing.__module__.startswith("railgun.runtime"):
            for member, value in api_reference.members_of(thing):
                function = value.fget if isinstance(value, property) else value
                assert (function.__doc__ or "").strip(), f"{name}.{member}"


def test_every_type_that_the_api_hands_out_can_be_imported_from_it() -> None:
    for name in railgun.__all__:
        assert getattr(railgun, name) is not None
    assert set(api_reference.FIRST) <= set(railgun.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        railgun.nothing  # noqa: B018


def test_asking_for_the_version_loads_no_webrtc() -> None:
    code = "import sys, railgun; railgun.__version__; assert not {'aiortc', 'asyncio'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_what_is_kept_private_stays_off_the_page() -> None:
    page = api_reference.page()
    assert "member_room" not in page
    assert "`await send(" in page
    assert " at 0x" not in page
