"""docs/requirements.md claims no more than it links, and the front page shows what it says."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| ([A-Z]\d+) \| (.+) \| (not yet|partly|done) \| (.*) ?\|$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)")
MEASURED = ("tools/bench_limits.toml", "tests/simulation/")


def rows() -> list[tuple[str, str, str, list[str]]]:
    """(id, state, proof, files linked from it, from the root)."""
    found = []
    for match in ROW.finditer((ROOT / "docs" / "requirements.md").read_text()):
        targets = [(ROOT / "docs" / link).resolve() for link in LINK.findall(match[4])]
        found.append((match[1], match[3], match[4], [str(target.relative_to(ROOT)) for target in targets]))
    assert found
    return found


def test_a_row_that_is_done_has_a_test_of_its_name_and_a_page_for_users() -> None:
    for row, state, _, files in rows():
        if state == "done":
            if row.startswith("T"):
                assert any(file.startswith(MEASURED) for file in files), f"{row}: nothing measures it"
            else:
                own = [file for file in files if file.startswith(f"tests/requirements/test_{row}_")]
                assert own, f"{row}: no test of its name"
                functions = re.findall(r"^(?:async )?def (test_\w+)", (ROOT / own[0]).read_text(), re.MULTILINE)
                assert functions
                assert all(name.startswith(f"test_{row.lower()}_") for name in functions), own[0]
            assert any(file.startswith("docs/") for file in files), f"{row}: no page tells a user about it"
        assert all((ROOT / file).exists() for file in files), f"{row}: a link leads nowhere"


def test_a_row_that_is_partly_done_says_what_is_missing() -> None:
    for row, state, proof, _ in rows():
        assert ("Missing: " in proof) == (state == "partly"), f"{row}: {state}, {proof}"


def test_every_proof_is_linked_from_its_row() -> None:
    linked = {file for _, _, _, files in rows() for file in files}
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "requirements").glob("test_[A-Z]*.py")}
    assert tests
    assert tests <= linked


def test_the_front_page_has_a_picture_that_fetches_nothing_and_exactly_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert [line for block in blocks for line in block.splitlines()] == ["make demo", "make test"]
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    drawing = (ROOT / picture).read_text()
    root = ElementTree.fromstring(drawing)
    assert root.tag.endswith("svg")
    elsewhere = [address for address in re.findall(r"\w+://[^\"'\s)<]+", drawing) if "www.w3.org" not in address]
    assert not elsewhere
    assert "@import" not in drawing
    assert all(target.startswith("url(#") for target in re.findall(r"url\([^)]*", drawing))
    words = " ".join("".join(root.itertext()).replace("\N{NO-BREAK SPACE}", " ").split())
    assert "nothing was lost, nothing came twice" in words
    assert "All promises kept." in words
