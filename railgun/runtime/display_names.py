"""How a room's devices are shown: the names that their owners chose, made harmless and told apart.

Owns: what of a name may be shown, and when a key stands beside it. Must not know: how names travel.

Anybody may take any name: it proves nothing. So two that look alike have the start of their keys beside them, and
people who want to be sure compare safety numbers.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from railgun.core.roster_state import RosterState
from railgun.runtime.room_views import short_name
from railgun.types import DeviceKey, RootKey

NAME_CHARACTERS_MAX: Final = 48
TAKEN: Final = ("you", "this device", "somebody", "railgun")
"""What this program calls people by itself."""
_HIDDEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_BLANK: Final = frozenset(
    map(
        chr,
        (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10), 0xFFA0),
    )
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
"""Letters, marks and signs of which nothing is seen: fillers, joiners, variation selectors, an empty Braille cell."""
_ALIKE: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХԌԚԜҮӀѴаеѕіјорсухԁԛԝһүӏѵɑɡıȷΑΒΕΖΗΙΚΜΝΟΡΤΥΧονιραυκχϲϳ‐‑‒–—−’ʼ",  # noqa: RUF001 - that is the point
    "ABESIJKMHOPCTYXGQWYIVaesijopcyxdqwhylvagijABEZHIKMNOPTYXovipaukxcj------''",
)
"""Letters of other alphabets, and signs, that fonts draw as they draw the Latin ones."""
_ONE_FORM: Final = str.maketrans("1i|0", "lllo")


def harmless(name: str) -> str:
    """``name`` on one line, without characters that are not seen, steer a terminal or turn the direction of writing;
    at most NAME_CHARACTERS_MAX characters. May be empty."""
    spaced = "".join(" " if c.isspace() else c for c in name)
    seen = "".join(c for c in spaced if unicodedata.category(c) not in _HIDDEN and c not in _BLANK)
    composed = unicodedata.normalize("NFC", _without_stacks(unicodedata.normalize("NFC", " ".join(seen.split()))))
    return composed[:NAME_CHARACTERS_MAX].rstrip()


def _without_stacks(text: str) -> str:
    """At most two marks on a letter: more climb into other lines."""
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= 2:
            kept.append(character)
    return "".join(kept)


def display_names(state: RosterState) -> dict[DeviceKey, str]:
    """Every device of which a name or membership is known, and how it is shown.

    A device that has told no name goes by that of another device of its person. Where two people's names look alike, or
    one looks like another's key, the start of the key stands beside them; also where a name ends in a bracket, as if
    that had been done already.
    """
    told = {device: shown for device, name in state.names if (shown := harmless(name))}
    roots: dict[RootKey, str] = {}
    for member in state.members:
        if member.device in told:
            roots.setdefault(member.root, told[member.device])
    chosen = dict(told)
    for member in state.members:
        if member.device not in chosen:
            chosen[member.device] = roots.get(member.root, short_name(member.device))
    person: dict[DeviceKey, bytes] = {member.device: member.root for member in state.members}
    alike = Counter(look for look, _ in {(_look(name), person.get(device, device)) for device, name in chosen.items()})
    return {
        device: name if alike[_look(name)] == 1 and not _pretends(name) else f"{name} ({short_name(device)})"
        for device, name in chosen.items()
    }


def _pretends(name: str) -> bool:
    """Whether it is what this program calls people, or ends as if it had told this name apart by a key."""
    look = _look(name)
    return look in map(_look, TAKEN) or unicodedata.category(look[-1]) in ("Pe", "Pf")


def _look(name: str) -> str:
    """What people take for the same: other alphabets' letters of one form, and 1, l, I, or 0, O, are one."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).translate(_ALIKE).casefold())
    letters = "".join(c for c in plain.translate(_ALIKE) if not (unicodedata.combining(c) or c == " "))
    return letters.translate(_ONE_FORM) or name


class RoomNames:
    """`display_names` of one room, worked out anew when its roster changes."""

    def __init__(self, state_of: Callable[[], RosterState | None], own: DeviceKey, own_name: Callable[[], str]) -> None:
        """``state_of``: the room's roster at this moment, None where there is none. ``own_name``: this device's, which
        its room may not know yet."""
        self._state_of = state_of
        self._own = own
        self._own_name = own_name
        self._known_for: tuple[object, ...] = ()
        self._names: dict[DeviceKey, str] = {}

    def __call__(self) -> Mapping[DeviceKey, str]:
        state = self._state_of()
        if state is None:
            return self._names
        key = (state.names, state.members, self._own_name())
        if key != self._known_for:
            self._names = display_names(state)
            own_name = harmless(key[2])
            if own_name and not any(device == self._own for device, _ in state.names):
                self._names[self._own] = own_name
            self._known_for = key
        return self._names
