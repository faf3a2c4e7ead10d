"""The house rules that no other tool holds: sizes, headers, the architecture's diagram, what no file may contain."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

from railgun import limits

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
HEADER_LENGTH_MIN = 20
BINARY_SUFFIXES = {".png", ".jpg", ".ico", ".woff2", ".gz", ".db"}
BROAD = {"Exception", "BaseException"}
EDGE = re.compile(r"^\s*(\w+) --> (\w+)\s*$")


@cache
def project_files() -> tuple[Path, ...]:
    """All files that are, or are about to be, under version control."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, timeout=30,
    ).stdout  # fmt: skip
    paths = (ROOT / name for name in sorted(set(listing.decode().split("\0"))) if name)
    return tuple(path for path in paths if path.is_file())


def python_files(*tops: str) -> list[Path]:
    chosen = [p for p in project_files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in tops]
    assert chosen, "no files: this check would pass for nothing"
    return chosen


def trees(*tops: str) -> Iterator[tuple[str, ast.Module, str]]:
    for path in python_files(*tops):
        source = path.read_text()
        yield str(path.relative_to(ROOT)), ast.parse(source), source


ALL_CODE = ("railgun", "signaling", "tests", "tools", "interop", "docs")


def test_modules_are_short() -> None:
    long = {name: source.count("\n") for name, _, source in trees(*ALL_CODE) if source.count("\n") > MODULE_LINES_MAX}
    assert not long, f"over {MODULE_LINES_MAX} lines: {long}"


def test_functions_are_short() -> None:
    long = {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree, _ in trees(*ALL_CODE)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert not long, f"over {FUNCTION_LINES_MAX} lines: {long}"


def test_every_module_says_what_it_is() -> None:
    silent = [name for name, tree, _ in trees(*ALL_CODE) if len(ast.get_docstring(tree) or "") < HEADER_LENGTH_MIN]
    assert not silent, f"no header docstring: {silent}"


def test_every_module_of_the_package_says_what_it_owns_and_must_not_know() -> None:
    vague = [
        name
        for name, tree, _ in trees("railgun")
        if not name.endswith("__init__.py")
        and not all(words in (ast.get_docstring(tree) or "") for words in ("Owns", "Must not know"))
    ]
    assert not vague, f"header without 'Owns' and 'Must not know': {vague}"


def _is_broad(node: ast.expr | None) -> bool:
    if node is None:
        return True
    if isinstance(node, ast.Tuple):
        return any(_is_broad(item) for item in node.elts)
    return isinstance(node, ast.Name) and node.id in BROAD


def _does_nothing(body: list[ast.stmt]) -> bool:
    idle = (ast.Pass, ast.Continue, ast.Break)
    return all(isinstance(getattr(one, "value", None), ast.Constant) or isinstance(one, idle) for one in body)


def test_no_exception_is_swallowed_whole() -> None:
    found: list[str] = []
    for name, tree, _ in trees(*ALL_CODE):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and _does_nothing(node.body):
                found.append(f"{name}:{node.lineno}")
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                found.extend(f"{name}:{node.lineno}" for argument in node.args if _is_broad(argument))
    assert not found, f"swallowed: {found}"


def test_no_task_is_without_an_owner() -> None:
    """`running` and `Supervisor` end their tasks and lose no error; `ensure_future` leaves both to chance."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree, _ in trees("railgun", "signaling")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ensure_future")
    ]
    assert not found, f"tasks without an owner: {found}"


def test_the_check_for_swallowed_exceptions_can_fail() -> None:
    handler = ast.parse("try:\n    f()\nexcept (ValueError, Exception):\n    pass").body[0]
    assert isinstance(handler, ast.Try)
    assert _is_broad(handler.handlers[0].type)
    assert _does_nothing(handler.handlers[0].body)


def test_nothing_waits_by_what_may_swallow_a_cancellation() -> None:
    """`asyncio.wait_for` of Python 3.11 returns instead of being cancelled where both come at once."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree, _ in trees("railgun", "signaling")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "wait_for"
    ]
    assert not found, f"use asyncio.timeout: {found}"


def test_no_test_is_skipped_or_rerun_or_sleeps() -> None:
    words = re.compile(
        r"pytest\.mark\.(?:skip|skipif|xfail|flaky)|pytest\.(?:skip|xfail|importorskip)\(|unittest\.skip"
        r"|\btime\.sleep\(|asyncio\.sleep\((?!0\))|\b(?:it|test|describe)\.(?:skip|only)\("
    )
    mine = Path(__file__).relative_to(ROOT)
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in project_files()
        if path.suffix in {".py", ".ts"} and "tests" in path.parts and path.relative_to(ROOT) != mine
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert not found, f"tests that skip, rerun or sleep: {found}"


# Spelt in two halves, or this file would find itself.
FORBIDDEN = [
    "/wo" + "rk/", "/ro" + "ot/", "/tm" + "p/rg", "pypi" + ".org", "python" + "hosted.org", "npm" + "js.org",
    "npm" + "js.com", "yarn" + "pkg.com", "deb.deb" + "ian.org", "archive.ubu" + "ntu.com", "cra" + "tes.io",
    "docker" + ".io", "ghc" + "r.io",
]  # fmt: skip


def test_no_file_names_a_machine_or_a_registry() -> None:
    found: list[str] = []
    for path in project_files():
        if path.suffix in BINARY_SUFFIXES:
            continue
        text = path.read_text(errors="replace")
        found.extend(f"{path.relative_to(ROOT)}: {word}" for word in FORBIDDEN if word in text)
    assert not found, f"forbidden words: {found}"


def test_lock_files_carry_no_addresses() -> None:
    lock = re.compile(r"(lock|constraints|requirements)[^/]*\.(json|txt|toml|ya?ml)$|\.lock$")
    locks = [path for path in project_files() if lock.search(path.name)]
    assert ROOT / "constraints.txt" in locks
    found = [str(path.relative_to(ROOT)) for path in locks if "://" in path.read_text()]
    assert not found, f"addresses in lock files: {found}"


def test_constraints_are_names_and_versions() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    pinned = {line.partition("==")[0].lower(): line for line in lines}
    wanted: list[str] = []
    for file in (ROOT / "pyproject.toml", ROOT / "signaling" / "pyproject.toml"):
        project = tomllib.loads(file.read_text())["project"]
        groups = (project["dependencies"], *project.get("optional-dependencies", {}).values())
        wanted += [one for group in groups for one in group]
    assert len(wanted) > 20
    for requirement in wanted:
        exact = requirement.partition(";")[0].strip()
        name = exact.partition("==")[0].lower()
        assert pinned.get(name, "").lower() == exact.lower(), f"{requirement} is not what constraints.txt pins"


# --- the architecture -----------------------------------------------------------------------


def diagram() -> dict[str, set[str]]:
    """Part to the parts that its arrows name, from docs/ARCHITECTURE.md."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    block = re.search(r"```mermaid\ngraph TD\n(.*?)```", text, re.DOTALL)
    assert block is not None, "docs/ARCHITECTURE.md has no mermaid graph"
    arrows: dict[str, set[str]] = {}
    for line in block[1].splitlines():
        edge = EDGE.match(line)
        assert edge is not None, f"not an arrow: {line}"
        arrows.setdefault(edge[1], set()).add(edge[2])
        arrows.setdefault(edge[2], set())
    return arrows


def reachable(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """Part to all that its arrows lead to."""
    found: dict[str, set[str]] = {}
    for start, first in arrows.items():
        seen: set[str] = set()
        waiting = list(first)
        while waiting:
            part = waiting.pop()
            if part not in seen:
                seen.add(part)
                waiting.extend(arrows[part])
        found[start] = seen
    return found


def part_of(module: str) -> str | None:
    """The part that a module belongs to; None for the public API itself."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else None


def test_the_diagram_shows_every_part_and_no_other() -> None:
    modules = {path.stem for path in (ROOT / "railgun").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / "railgun").glob("*/__init__.py")}
    assert set(diagram()) == modules | packages


def test_the_diagram_has_no_circle() -> None:
    circles = [part for part, further in reachable(diagram()).items() if part in further]
    assert not circles


def test_every_import_follows_an_arrow() -> None:
    allowed = reachable(diagram())
    graph = grimp.build_graph("railgun", cache_dir=None)
    wrong = []
    for importer in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            here, there = part_of(importer), part_of(imported)
            if here is not None and here != there and (there is None or there not in allowed[here]):
                wrong.append(f"{importer} imports {imported}")
    assert len(graph.modules) > len(allowed), "the graph is empty"
    assert not wrong, f"not in docs/ARCHITECTURE.md: {wrong}"


def test_the_diagram_and_the_contract_agree() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["id"] == "layers"]
    height = {part.strip(): -index for index, layer in enumerate(layers) for part in layer.split("|")}
    allowed = reachable(diagram())
    assert set(height) == set(allowed)
    pairs = ((one, other) for one, further in allowed.items() for other in sorted(further))
    wrong = [f"{one} -> {other}" for one, other in pairs if height[one] <= height[other]]
    assert not wrong, f"the diagram allows what the contract forbids: {wrong}"


# --- the requirements -----------------------------------------------------------------------

GROUPS = {"C": 14, "F": 5, "A": 6, "P": 5, "L": 8, "S": 7, "T": 7}
ROW = re.compile(r"^\| ([A-Z]\d+) \| (.+) \| (not yet|partly|done) \| (.*) ?\|$")


def test_every_requirement_has_a_row_and_a_true_state() -> None:
    text = (ROOT / "docs" / "requirements.md").read_text()
    rows = [match for line in text.splitlines() if (match := ROW.match(line))]
    assert [row[1] for row in rows] == [f"{group}{n}" for group, count in GROUPS.items() for n in range(1, count + 1)]
    for row in rows:
        links = re.findall(r"\]\(([^)#]+)", row[4])
        assert (row[3] == "not yet") == (not links), f"{row[1]}: {row[3]} with proofs {links}"
        missing = [link for link in links if not (ROOT / "docs" / link).resolve().exists()]
        assert not missing, f"{row[1]}: no such proof: {missing}"


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs/README.md"])
def test_the_front_door_is_there(name: str) -> None:
    assert len((ROOT / name).read_text()) > HEADER_LENGTH_MIN


def test_ci_runs_all_tests_and_no_less() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"
    assert lines[-1] == "exec make test </dev/null"
    rule = re.search(r"^test: (.*?) ##.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule is not None
    assert {"setup", "lint", "types", "layers", "docs"} <= set(rule[1].split())
    assert " -m " not in rule[2].replace("python -m pytest", "")
    assert "-k" not in rule[2]


def test_every_bound_has_one_place_and_is_imported_from_limits() -> None:
    """`railgun.limits` takes all of its modules' names: one name in two of them would silently be either."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "railgun" / "limits").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                places.setdefault(node.target.id, []).append(path.stem)
    assert len(places) > 300
    assert not {name: stems for name, stems in places.items() if len(stems) > 1}
    assert set(places) == {name for name in vars(limits) if name.isupper()}
