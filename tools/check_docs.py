"""Checks that what the documentation points at is there: links, anchors, `make` targets, pages named in code.

Owns: the check behind `make docs`. Must not know: what any page says. Links to other hosts are not followed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
MAKE = re.compile(r"`make ([a-z]+)")
PAGE = re.compile(r"\bdocs/[\w/.-]+\.(?:md|json)\b")


def project_files(*suffixes: str) -> list[Path]:
    """Files with these suffixes that are, or are about to be, under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=30).stdout
    paths = (ROOT / name for name in sorted(set(listing.decode().split("\0"))) if name)
    return [path for path in paths if path.suffix in suffixes and path.is_file()]


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be reached by."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text())):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = next(n for n in range(1000) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken_links(page: Path) -> list[str]:
    """What one page points at and is not there."""
    problems = []
    text = FENCE.sub("", page.read_text())
    for target in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, fragment = unquote(target).partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            problems.append(f"{target}: no such file")
        elif fragment and file.suffix == ".md" and fragment not in anchors(file):
            problems.append(f"{target}: no such heading")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    problems += [f"`make {name}`: no such target" for name in MAKE.findall(text) if name not in targets]
    return problems


def main() -> int:
    pages = project_files(".md")
    problems = [f"{page.relative_to(ROOT)}: {problem}" for page in pages for problem in broken_links(page)]
    for source in project_files(".py", ".ts", ".toml"):
        absent = [name for name in sorted(set(PAGE.findall(source.read_text()))) if not (ROOT / name).exists()]
        problems += [f"{source.relative_to(ROOT)}: {name}: no such page" for name in absent]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"docs: {len(pages)} pages, {len(problems)} broken references")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
