"""A member dies before and after every commit and every effect, each in a run of its own: nothing acknowledged is lost,
nothing is there twice, no ratchet's index serves twice, no roster forks, and all keys go on working.

Larger: `tools/crash_points.py --all`, which `make soak` runs (all stories, relays, pulses, second deaths, power cuts).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from railgun.core.effects import Persist
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.ports import Write
from railgun.runtime.room_mail import MessageReader
from railgun.sim.crash_points import CrashingWorld
from railgun.storage.message_log import MessageLog
from railgun.storage.sqlite_store import SqliteStore
from tests.support.crash_enumeration import Death, counted, failures, live, story

pytestmark = pytest.mark.timeout(300)
"""On a loaded machine a part takes many times its processor time."""
PARTS = 6
ENUMERATED = (("join", "anna"), ("join", "bert"), ("sizes", "anna"), ("removal", "anna"), ("file", "bert"))
SAMPLE_EVERY = 9
"""In the stories that are enumerated only by `make soak`."""
SAMPLED = (
    ("sizes", "bert"),
    ("removal", "bert"),
    ("file", "anna"),
    ("rotation", "anna"),
    ("rotation", "bert"),
    ("gaps", "cara"),
    ("gaps", "bert"),
    ("devices", "bert"),
    ("devices", "phone"),
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("scenario", "subject"), ENUMERATED)
def test_a_member_may_die_at_any_point(scenario: str, subject: str, part: int) -> None:
    whole = counted(scenario, subject)
    assert not whole.violations
    assert whole.points > 90
    deaths = [Death(scenario, subject, point) for point in range(part, whole.points, PARTS)]
    assert not list(failures(deaths)), "\n".join(failures(deaths))


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "subject"), SAMPLED)
def test_a_member_may_die_in_longer_stories(scenario: str, subject: str) -> None:
    whole = counted(scenario, subject)
    assert not whole.violations
    deaths = [Death(scenario, subject, point) for point in range(4, whole.points, SAMPLE_EVERY)]
    assert not list(failures(deaths)), "\n".join(failures(deaths))


@pytest.mark.slow
def test_a_member_may_die_again_at_once() -> None:
    deaths = [Death("removal", "anna", point, again=point % 11, silent=point % 2 == 1) for point in range(0, 180, 12)]
    assert not list(failures(deaths)), "\n".join(failures(deaths))


def test_points_stand_before_and_after_every_commit_and_effect() -> None:
    labels = counted("removal", "anna").labels
    commits = [label for label in labels if "a commit" in label]
    assert sum(label.startswith("before") for label in commits) == sum(label.startswith("after") for label in commits)
    for what in ("roster_entries", "generations", "outbound_sessions", "outbox", "messages", "Publish", "Receipted"):
        assert any(what in label for label in labels), what
    assert labels.count("before acknowledging") == labels.count("after acknowledging") >= 3
    # The same again, however it is run: points can be named.
    assert counted("removal", "anna").labels == labels


@pytest.mark.slow
@pytest.mark.processes
def test_the_command_that_a_failure_names_shows_the_same_death() -> None:
    death = Death("join", "anna", 40, again=3, silent=True)
    expected = live(death, story("join"), "anna")
    root = Path(__file__).parents[2]
    words = [sys.executable, *death.command().split()[1:]]
    shown = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True, timeout=100)
    assert shown.stdout == f"died {'; then '.join(expected.died_at)}\nnothing is broken\n"
    assert len(expected.died_at) == 2


# --- planted bugs: each is found -----------------------------------------------------------------


def found(deaths: Sequence[Death]) -> str:
    """What the first death that breaks something breaks."""
    for death in deaths:
        outcome = live(death, story(death.scenario), death.subject)
        if outcome.violations:
            return "; ".join(outcome.violations)
    return ""


def deaths_at(what: str, table: str) -> list[Death]:
    labels = counted("join", "anna").labels
    return [Death("join", "anna", point) for point, label in enumerate(labels) if what in label and table in label]


def deaths_of(scenario: str, subject: str) -> list[Death]:
    return [Death(scenario, subject, point) for point in range(counted(scenario, subject).points)]


@pytest.mark.slow
def test_effects_before_their_commit_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stepwise = CrashingWorld._step_by_step

    def effects_first(self: CrashingWorld, node: Any, effects: Sequence[Any]) -> None:
        stepwise(self, node, [effect for effect in effects if type(effect) is not Persist])
        stepwise(self, node, [effect for effect in effects if type(effect) is Persist])

    monkeypatch.setattr(CrashingWorld, "_step_by_step", effects_first)
    assert "used for two things" in found(deaths_of("join", "anna"))


@pytest.mark.slow
def test_an_outbox_that_is_not_resumed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemberRoom, "resume", lambda self, wall: RoomOutcome(plan_changed=True))
    assert "something in its outbox" in found(deaths_at("after a commit", "outbox"))


@pytest.mark.slow
def test_a_stream_that_acknowledges_what_it_has_not_given_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    following = MessageReader._next

    async def hasty(self: MessageReader) -> Any:
        message = await following(self)
        self._acknowledge()
        return message

    monkeypatch.setattr(MessageReader, "_next", hasty)
    assert "anna lacks 2 of bert" in found(deaths_at("after acknowledging", ""))


@pytest.mark.slow
def test_a_stream_that_never_acknowledges_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MessageLog, "acknowledge", lambda self, room_id, message_ids: 0)
    assert "again, which it had acknowledged" in found(deaths_at("after acknowledging", ""))


@pytest.mark.slow
def test_a_ratchet_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = SqliteStore.commit

    def forgets(self: SqliteStore, writes: Sequence[Write], *, survives_power_loss: bool = True) -> None:
        is_new = self.count("outbound_sessions") == 0
        commit(self, [write for write in writes if is_new or write.table != "outbound_sessions"])

    monkeypatch.setattr(SqliteStore, "commit", forgets)
    assert "used for two things" in found(deaths_of("join", "anna"))
