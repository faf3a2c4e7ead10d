"""The TypeScript peer's bounds and refusal codes are the Python side's, name by name."""

from __future__ import annotations

import re
from pathlib import Path

from railgun import limits
from railgun.errors import RefusalCode
from railgun.wire import certificates, direct_contacts, frames, roster

BROWSER = Path(__file__).resolve().parents[2] / "interop" / "browser" / "src"
ELSEWHERE = {
    "U32_MAX": frames.U32_MAX,
    "PREKEY_BYTES": certificates.PREKEY_BYTES,
    "SECONDS_PER_DAY": roster.SECONDS_PER_DAY,
    "DIRECT_ADDRESSES_MAX": direct_contacts.DIRECT_ADDRESSES_MAX,
    "DIRECT_CONTACT_BYTES_MAX": direct_contacts.DIRECT_CONTACT_BYTES_MAX,
}


def test_bounds_are_the_same() -> None:
    text = (BROWSER / "limits.ts").read_text()
    written = re.findall(r"^export const ([A-Z0-9_]+) = ([0-9_.]+);$", text, re.MULTILINE)
    assert len(written) == text.count("export const") > 40
    differing = {
        name: value
        for name, value in written
        if float(value.replace("_", "")) != float(ELSEWHERE.get(name, getattr(limits, name, -1)))
    }
    assert not differing


def test_refusal_codes_are_the_same() -> None:
    block = re.search(r"export const RefusalCode = \{(.*?)\}", (BROWSER / "errors.ts").read_text(), re.DOTALL)
    assert block is not None
    written = {name: int(number) for name, number in re.findall(r"(\w+): (\d+)", block[1])}
    assert written == {code.name: code.value for code in RefusalCode}
