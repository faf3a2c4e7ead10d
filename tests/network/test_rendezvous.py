"""First contact through a rendezvous server, with real processes: relays, members, the server."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from railgun.wire.invites import parse_invite
from tests.support.processes import Lab
from tests.support.signaling_lab import ServerProcess, get

pytestmark = [pytest.mark.processes, pytest.mark.slow]


ROOMY = {
    "RAILGUN_SIGNALING_LIMITS_ARRIVALS_PER_SECOND": "10000",
    "RAILGUN_SIGNALING_LIMITS_ARRIVALS_BURST": "100000",
}
"""All that is asked here comes from one address."""


class Meeting(Lab):
    """A network and a rendezvous server."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.server = ServerProcess(home, "--port", "0", environ=ROOMY)

    def count(self, name: str) -> int:
        """A metric of the server's."""
        _, text = get(self.server.port, "/metrics")
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"railgun_signaling_{name} "))

    def until(self, name: str, wanted: int) -> None:
        """Until a metric has a value."""
        end = time.monotonic() + 30
        while self.count(name) != wanted:
            assert time.monotonic() < end, f"{name} is {self.count(name)}"

    def close(self) -> None:
        super().close()
        self.server.end()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Meeting]:
    found = Meeting(tmp_path)
    yield found
    found.close()


def test_a_joiner_whose_relays_are_gone_gets_in_through_the_server_that_its_invite_names(lab: Meeting) -> None:
    url = lab.server.url
    doomed, first = lab.relay("doomed")
    lab.member("ann")
    lab.member("ben")
    ann = ("--profile", "ann")
    with_all = ("--network", "lab.toml", "--bootstrap", first["contact"], "--rendezvous", url)
    lab.must(*ann, "room", "create", "ops", "--network", "lab.toml", "--bootstrap", first["contact"])
    link = lab.must(*ann, "room", "invite", "ops", *with_all, "--json").checked("room-invite")["link"]
    assert parse_invite(link).rendezvous == (url,)
    # The relay that the link names is gone; others live, and nobody but the server knows where.
    doomed.end(signal.SIGKILL)
    for name in ("one", "two"):
        lab.relay(name, "--rendezvous", url)
    lab.until("relays", 2)
    tail = lab.start(*ann, "tail", "ops", "--network", "lab.toml", "--rendezvous", url)
    joined = lab.must("--profile", "ben", "join", link, "--network", "lab.toml", "--json").checked("join")
    assert (joined["room"], joined["members"]) == ("ops", 2)
    lab.must("--profile", "ben", "send", "ops", "we have met")
    assert "we have met" in tail.line()
    told = lab.must(*ann, "status", "--json").checked("status")["rendezvous"]
    assert told["servers"] == [url]
    assert (told["asked"], told["relays_given"], told["problem"]) == (1, 2, None)
    assert told["last_asked_at"] <= time.time()
    relay = lab.must("--profile", "one", "status", "--json").checked("status-relay")
    assert relay["rendezvous"] == [{"server": url, "is_registered": True, "problem": None}]
    # Ben has met relays now: the server is not needed any more, and not asked.
    before = lab.count("relay_lists_total")
    told = lab.must("--profile", "ben", "status", "--json").checked("status")["rendezvous"]
    assert (told["asked"], told["last_asked_at"]) == (0, None)
    assert lab.count("relay_lists_total") == before


def test_while_a_relay_can_be_dialled_no_server_is_asked(lab: Meeting) -> None:
    url = lab.server.url
    _, first = lab.relay("first")
    lab.relay("second", "--bootstrap", first["contact"], "--rendezvous", url)
    lab.until("relays", 1)
    lab.member("ann")
    lab.member("ben")
    where = ("--network", "lab.toml", "--rendezvous", url)
    lab.must("--profile", "ann", "room", "create", "ops", *where, "--bootstrap", first["contact"])
    link = lab.must("--profile", "ann", "room", "invite", "ops", *where, "--json").result["link"]
    tail = lab.start("--profile", "ann", "tail", "ops", *where)
    lab.must("--profile", "ben", "join", link, *where)
    assert "contact  no rendezvous server was needed" in lab.must("--profile", "ben", "status", *where).out
    assert lab.count("relay_lists_total") == 0
    assert lab.count("mailboxes_total") == 0
    assert tail.process.poll() is None


def test_relays_find_each_other_through_the_server_and_leave_it_when_they_go(lab: Meeting) -> None:
    url = lab.server.url
    running = [lab.relay(name, "--rendezvous", url)[0] for name in ("one", "two")]
    lab.until("relays", 2)

    def knows_two() -> bool:
        status: dict[str, Any] = lab.must("--profile", "one", "status", "--json").checked("status-relay")
        return bool(status["relays_known"] == 2 and status["relays_linked"] == 1)

    end = time.monotonic() + 60
    while not knows_two():
        assert time.monotonic() < end
    running[1].end()
    lab.until("relays", 1)
    running[0].end(signal.SIGKILL)
    lab.until("relays", 0)


def test_a_newcomer_is_told_what_failed_where_the_server_is_gone_too(lab: Meeting) -> None:
    lab.server.end()
    lab.member("ann")
    ran = lab("--profile", "ann", "room", "create", "ops", "--network", "lab.toml", "--json")
    assert ran.status == 0
    ran = lab("--profile", "ann", "committee", "ops", "--rendezvous", lab.server.url)
    assert ran.status != 0
    assert "cannot be reached" in ran.err
    status = lab.must("--profile", "ann", "status", "--rendezvous", lab.server.url, "--wait-seconds", "2", "--json")
    told = status.checked("status")["rendezvous"]
    assert "cannot be reached" in told["problem"]
    assert told["asked"] == 0


async def test_the_servers_log_names_nobody(lab: Meeting) -> None:
    await asyncio.to_thread(lab.relay, "relay", "--rendezvous", lab.server.url)
    await asyncio.to_thread(lab.until, "relays", 1)
    contact = json.loads((await asyncio.to_thread(lab.must, "--profile", "relay", "status", "--json")).out)
    log = lab.server.log.read_text()
    assert contact["node"][:8] not in log
    assert "127.0.0.1" not in log
