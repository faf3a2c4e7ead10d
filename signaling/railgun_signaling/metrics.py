"""Counters and gauges in Prometheus' text form.

Owns: their names and the text. Must not know: what is counted. No label names a client, an address, a key, a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from railgun_signaling.errors import RefusalCode

PREFIX: Final = "railgun_signaling_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
COUNTERS: Final[dict[str, str]] = {
    "connections_total": "WebSocket connections that were accepted.",
    "mailboxes_total": "Mailboxes that were opened.",
    "registrations_total": "Relays that were registered.",
    "relay_lists_total": "Answers to who asked for relays.",
    "blobs_local_total": "Sealed blobs handed over on this instance.",
    "blobs_remote_total": "Sealed blobs handed to another instance.",
    "blobs_taken_total": "Sealed blobs taken from another instance.",
    "slow_readers_total": "Connections dropped because they did not read.",
    "connections_cut_total": "TCP connections cut before they had said anything, for lack of places.",
    "presence_losses_total": "Times that NATS was lost.",
    "faults_total": "Connections that ended by a fault of this server; its log says more.",
}


class Metrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._refused = dict.fromkeys(RefusalCode, 0)
        self._gauges: dict[str, tuple[str, Callable[[], int]]] = {}

    def count(self, name: str) -> None:
        """One more. Raises KeyError for a name that is not in COUNTERS."""
        self._counts[name] += 1

    def refused(self, code: RefusalCode) -> None:
        """One more refusal with this code."""
        self._refused[code] += 1

    def gauge(self, name: str, help_text: str, read: Callable[[], int]) -> None:
        """Show what ``read`` gives whenever it is asked for."""
        self._gauges[name] = (help_text, read)

    def value(self, name: str) -> int:
        """A counter's or a gauge's value now."""
        return self._counts[name] if name in self._counts else self._gauges[name][1]()

    def total_refused(self) -> int:
        """Refusals with any code."""
        return sum(self._refused.values())

    def text(self) -> str:
        """All of them, as Prometheus reads it."""
        lines = []
        for name, help_text in COUNTERS.items():
            lines += _metric(name, help_text, "counter", [(PREFIX + name, self._counts[name])])
        refused = [(f'{PREFIX}refused_total{{code="{code.name.lower()}"}}', n) for code, n in self._refused.items()]
        lines += _metric("refused_total", "Refusals, by code.", "counter", refused)
        for name, (help_text, read) in self._gauges.items():
            lines += _metric(name, help_text, "gauge", [(PREFIX + name, read())])
        return "\n".join(lines) + "\n"


def _metric(name: str, help_text: str, kind: str, samples: list[tuple[str, int]]) -> list[str]:
    head = [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} {kind}"]
    return head + [f"{label} {value}" for label, value in samples]
