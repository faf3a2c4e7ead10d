"""A TypeScript module of `interop/browser/test` as a process that is asked line by line, as JSON.

Owns: bundling it, starting it, ending it. Must not know: what it answers.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from railgun.errors import CryptoError

PACKAGE = Path(__file__).parents[2] / "interop" / "browser"
END_SECONDS = 10


class NodeWorker:
    """A module that reads ``{"method", "given"}`` and writes ``{"answer"}``, ``{"refused"}`` or ``{"failed"}``."""

    def __init__(self, entry: str, directory: Path) -> None:
        """``entry`` is a path within the package; its bundle, of the sources as they are, goes to ``directory``."""
        bundle = directory / "worker.mjs"
        bundler = PACKAGE / "node_modules" / ".bin" / "esbuild"
        options = ["--bundle", "--platform=node", "--format=esm", "--target=node18", "--log-level=error"]
        subprocess.run([bundler, PACKAGE / entry, *options, f"--outfile={bundle}"], check=True, cwd=PACKAGE)
        self._process = subprocess.Popen(
            ["node", "--import", (PACKAGE / "tools" / "webcrypto.mjs").as_uri(), str(bundle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> NodeWorker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def call(self, method: str, *given: bytes | int | bool) -> Any:
        """The answer, bytes as hexadecimal. Raises CryptoError where the module does, AssertionError for its bugs."""
        spelt = [argument.hex() if isinstance(argument, bytes) else argument for argument in given]
        answer = self.ask(method, spelt)
        if answer.get("refused") == "crypto":
            raise CryptoError
        assert "failed" not in answer, answer["failed"]
        return answer["answer"]

    def ask(self, method: str, given: list[Any]) -> dict[str, Any]:
        """The whole outcome: one of ``answer``, ``refused`` (a code) and ``failed`` (a bug of the module)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"method": method, "given": given}) + "\n")
        self._process.stdin.flush()
        outcome: dict[str, Any] = json.loads(self._process.stdout.readline())
        return outcome
