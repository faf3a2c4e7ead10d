"""Members who go on under an older generation: they missed why there is a newer one, and hear nobody who moved on.

Owns: when they are asked, under that generation, whether their roster is everyone's. Must not know: how it is asked,
what follows. Spec: docs/spec/rooms.md, "Catching up".

Who hears them has moved on and is asked nothing by them: they doubt nothing. Their answer shows what they lack. And
where two halves of a room have moved on apart, each to a generation of its own, neither hears the other: what both
still listen to is the generation before. So it is asked under older ones now and then, by one member for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash, u32
from railgun.limits import (
    ROSTER_ASK_DOUBT_SECONDS,
    STRAGGLERS_FIRST_SECONDS,
    STRAGGLERS_LOOK_TURN_SECONDS,
    STRAGGLERS_TURN_SECONDS,
)
from railgun.types import DeviceKey

STRAGGLERS_LABEL = "railgun/straggler-turn/v1"


@dataclass(frozen=True, slots=True)
class Due:
    """What to ask now. ``heard``: keys of the epoch in which somebody spoke under an older generation. ``all_older``:
    under every generation that is still listened to and not sent under."""

    heard: EpochKeys | None
    all_older: bool


class Stragglers:
    """As one member sees them in one room. All times are monotonic seconds."""

    def __init__(self, own: DeviceKey) -> None:
        self._own = own
        self._heard: EpochKeys | None = None
        self._ask_at = 0.0
        self._not_before = 0.0
        self._generations = 1
        self._look_at: float | None = None
        self._look_seconds = ROSTER_ASK_DOUBT_SECONDS
        self._looks = 0

    def may_ask(self, now: float) -> bool:
        """Whether it is time to look out for any; looking costs more than not."""
        return self._heard is None and now >= self._not_before

    def spoke(self, keys: EpochKeys, now: float) -> None:
        """Somebody spoke under ``keys``, of a generation that nobody should send under any more. What tells them so may
        be on its way; after that one member asks for all who heard it."""
        if self.may_ask(now):
            self._heard = keys
            self._ask_at = now + STRAGGLERS_FIRST_SECONDS + STRAGGLERS_TURN_SECONDS * self._drawn(keys.tag)

    def named(self, generations: int, now: float) -> None:
        """The roster names so many generations, live or not."""
        if generations != self._generations:
            self._generations = generations
            self._look_seconds = ROSTER_ASK_DOUBT_SECONDS
            self._look_later(now)

    def asked(self, keys: EpochKeys, now: float, most_seconds: float) -> None:
        """Somebody who holds the same roster as we asks under ``keys``, of a generation that we do not send under."""
        if self._heard is not None and self._heard.generation == keys.generation:
            self._heard = None
            self._not_before = now + ROSTER_ASK_DOUBT_SECONDS
        if self._look_at is not None:
            self._looked(now, most_seconds)

    def next_due(self) -> float | None:
        """When to ask; None: nobody."""
        found = [at for at in (None if self._heard is None else self._ask_at, self._look_at) if at is not None]
        return min(found, default=None)

    def due(self, now: float, most_seconds: float) -> Due:
        """What to ask now. ``most_seconds``: between two questions under all older generations."""
        heard, all_older = None, self._look_at is not None and self._look_at <= now
        if self._heard is not None and self._ask_at <= now:
            heard, self._heard = self._heard, None
            self._not_before = now + ROSTER_ASK_DOUBT_SECONDS
        if all_older:
            self._looked(now, most_seconds)
        return Due(heard, all_older)

    def _looked(self, now: float, most_seconds: float) -> None:
        self._look_seconds = min(2 * self._look_seconds, max(most_seconds, ROSTER_ASK_DOUBT_SECONDS))
        self._look_later(now)

    def _look_later(self, now: float) -> None:
        self._looks += 1
        drawn = self._drawn(u32(self._generations) + u32(self._looks))
        self._look_at = now + self._look_seconds + STRAGGLERS_LOOK_TURN_SECONDS * drawn

    def _drawn(self, salt: bytes) -> float:
        """0 to 1: so that members do not ask all at once."""
        drawn = keyed_hash(None, STRAGGLERS_LABEL, salt + self._own)
        return int.from_bytes(drawn[:2], "big") / 65_535
