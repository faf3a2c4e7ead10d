"""S7: threats, and what is not protected, are written down; what the page says cannot be done, tests have tried."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security" / "threat-model.md"
ADVERSARIES = ("a relay", "a network observer", "a removed member", "a stolen device", "a bootstrap")


def sections() -> dict[str, str]:
    """Title to text, of the page's second level."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return {title.strip().lower(): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_s7_every_adversary_has_its_can_cannot_and_not_protected() -> None:
    found = sections()
    for adversary in ADVERSARIES:
        text = next((text for title, text in found.items() if title.startswith(adversary)), None)
        assert text is not None, f"nothing about {adversary}"
        assert "**Can**" in text or "can**" in text
        assert "**Cannot**" in text


def test_s7_what_is_not_built_is_said_to_be_missing() -> None:
    """A row of the requirements on safety that is not done may not be promised here: the page has to name it."""
    requirements = (ROOT / "docs" / "requirements.md").read_text()
    rows = re.findall(r"^\| ([AP]\d) \| .+ \| not yet \|", requirements, re.MULTILINE)
    words = {
        "A1": "work",
        "A2": "token",
        "A4": "reputation",
        "P1": "cover",
        "P2": "mixnet",
        "P3": "maximum privacy",
    }
    missing = next(text for title, text in sections().items() if title.startswith("not built")).lower()
    assert rows
    assert not [row for row in rows if row in words and words[row] not in missing]
