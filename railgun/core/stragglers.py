"""Members who go on under an older generation: they missed why there is a newer one, and hear nobody who moved on.

Owns: when they are asked, under that generation, whether their roster is everyone's. Must not know: how it is asked,
what follows. Spec: docs/spec/rooms.md, "Catching up".

Who hears them has moved on and is asked nothing by them: they doubt nothing. Their answer shows what they lack.
"""

from __future__ import annotations

from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash
from railgun.limits import ROSTER_ASK_DOUBT_SECONDS, STRAGGLERS_FIRST_SECONDS, STRAGGLERS_TURN_SECONDS
from railgun.types import DeviceKey

STRAGGLERS_LABEL = "railgun/straggler-turn/v1"


class Stragglers:
    """As one member sees them in one room. All times are monotonic seconds."""

    def __init__(self, own: DeviceKey) -> None:
        self._own = own
        self._heard: EpochKeys | None = None
        self._ask_at = 0.0
        self._not_before = 0.0

    def may_ask(self, now: float) -> bool:
        """Whether it is time to look out for any; looking costs more than not."""
        return self._heard is None and now >= self._not_before

    def spoke(self, keys: EpochKeys, now: float) -> None:
        """Somebody spoke under ``keys``, of a generation that nobody should send under any more. What tells them so may
        be on its way; after that one member asks for all who heard it."""
        if self.may_ask(now):
            drawn = keyed_hash(None, STRAGGLERS_LABEL, keys.tag + self._own)[0]
            self._heard = keys
            self._ask_at = now + STRAGGLERS_FIRST_SECONDS + STRAGGLERS_TURN_SECONDS * drawn / 255

    def asked(self, keys: EpochKeys, now: float) -> None:
        """Somebody who holds the same roster as we asks under ``keys``."""
        if self._heard is not None and self._heard.generation == keys.generation:
            self._heard = None
            self._not_before = now + ROSTER_ASK_DOUBT_SECONDS

    def next_due(self) -> float | None:
        """When to ask; None: nobody."""
        return None if self._heard is None else self._ask_at

    def due(self, now: float) -> EpochKeys | None:
        """Under which generation to ask now: keys of the epoch in which it was heard."""
        heard = self._heard
        if heard is None or self._ask_at > now:
            return None
        self._heard = None
        self._not_before = now + ROSTER_ASK_DOUBT_SECONDS
        return heard
