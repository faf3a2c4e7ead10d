"""A world that kills one node at a point of its own choosing: before or after any commit, any effect.

Owns: what a point is, their numbers, the death. Must not know: what the node does, how it comes back, what is judged.
Spec: design, simulation; docs/how-to/simulate.md, "Crashes".

A node shows nothing to the world but what it commits and what its effects do, one after the other: the commit first,
then each frame to each peer, each dial, each word to its application. A *point* is a place between two of these: a
crash anywhere between the same two leaves the same disk and the same words behind, and memory is lost in any case. So
all crashes there are, are the points before and after each. Timers and penalties live in memory alone: no points of
their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from railgun.core.effects import Effect, Notify, PenalisePeer, Persist, SendFrame, SendPulse, SetTimer
from railgun.errors import InvariantViolated
from railgun.sim.virtual_node import LinksAfterCrash, Node
from railgun.sim.world import World

UNSEEN: Final = (SetTimer, PenalisePeer)
"""Effects that nobody but the node's own memory sees."""


class Crashed(BaseException):
    """The node is dead: leave whatever its application was doing."""


@dataclass(slots=True)
class CrashPlan:
    """Which points to die at: one of the first life, and perhaps one of the second (both counted from 0).

    Attributes:
        reached: how many points each life has passed.
        died_at: what it was about to do, or had done, each time; with the virtual second.
        pulses: whether pulses count: they are lost at any time, and say nothing that is not said again.
    """

    points: tuple[int, ...] = ()
    pulses: bool = False
    reached: list[int] = field(default_factory=lambda: [0])
    died_at: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    """Of the first life."""

    @property
    def life(self) -> int:
        return len(self.reached) - 1


class CrashingWorld(World):
    """As `World`; ``subject`` dies at the points of ``plan``, and then ``on_death`` is called."""

    def __init__(
        self, seed: int, subject: str, plan: CrashPlan, on_death: Callable[[], None], *arguments: Any, **named: Any
    ) -> None:
        super().__init__(seed, *arguments, **named)
        self.subject = subject
        self.plan = plan
        self.links_after_crash = LinksAfterCrash.AT_ONCE
        self._on_death = on_death

    def pass_point(self, label: str) -> None:
        """The subject stands between two things. Raises Crashed where it dies of it."""
        plan = self.plan
        life = plan.life
        number = plan.reached[life]
        plan.reached[life] += 1
        if life == 0:
            plan.labels.append(label)
        if life < len(plan.points) and plan.points[life] == number:
            plan.died_at.append(f"{label} at {self.now:.3f} s")
            plan.reached.append(0)
            self.crash(self.subject, links=self.links_after_crash)
            self._on_death()
            raise Crashed

    def application(self, act: Callable[[], None]) -> None:
        """Let the subject's application do something; what it does may be its last."""
        try:
            act()
        except Crashed:
            return

    def _carry_out(self, node: Node, effects: Sequence[Effect]) -> None:
        if node.name != self.subject:
            super()._carry_out(node, effects)
            return
        try:
            self._step_by_step(node, effects)
        except Crashed:
            return

    def _step_by_step(self, node: Node, effects: Sequence[Effect]) -> None:
        if node.crash_point is not None:
            raise InvariantViolated("a subject dies at its points and not otherwise")
        kept = [effect for effect in effects if type(effect) is Persist]
        last = ""
        if kept:
            last = "a commit to " + ", ".join(sorted({write.table for effect in kept for write in effect.writes}))
            self.pass_point(f"before {last}")
            super()._carry_out(node, kept)
        for effect in effects:
            if type(effect) is Persist:
                continue
            for one in _one_by_one(effect):
                if isinstance(one, UNSEEN) or (type(one) is SendPulse and not self.plan.pulses):
                    super()._carry_out(node, [one])
                    continue
                self.pass_point(f"after {last}" if last else f"before {_named(one)}")
                super()._carry_out(node, [one])
                last = _named(one)
        if last:
            self.pass_point(f"after {last}")


def _one_by_one(effect: Effect) -> Sequence[Effect]:
    """A frame to many is as many effects: a process dies between two of them."""
    if type(effect) is SendFrame:
        return [SendFrame((peer,), effect.frame) for peer in effect.peers]
    return [effect]


def _named(effect: Effect) -> str:
    if type(effect) is SendFrame:
        return f"{type(effect.frame).__name__} to {effect.peers[0].hex()[:8]}"
    if type(effect) is Notify:
        return f"{type(effect.notification).__name__} to the application"
    return type(effect).__name__
