"""Two devices that talk over Olm as rooms do, whichever library each of them uses, and a schedule of what befalls them.

What happens follows from the schedule alone: two pairs that are given the same one end alike, message by message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from railgun.errors import CryptoError

KEY = b"\x0b" * 32
SESSIONS_MAX = 4
Action = tuple[str, int, int]


@dataclass
class Device:
    """Its account, and its sessions with the other, the one used last at the end."""

    sessions: Any
    account: Any
    held: dict[bytes, bytes] = field(default_factory=dict)

    def keep(self, session_id: bytes, pickle: bytes) -> None:
        self.held.pop(session_id, None)
        self.held[session_id] = pickle
        while len(self.held) > SESSIONS_MAX:
            del self.held[next(iter(self.held))]


@dataclass(frozen=True)
class Sent:
    """A message on its way."""

    by: int
    message: bytes
    is_first: bool
    plaintext: bytes


class Talk:
    """`outcomes` tells for each action what came of it."""

    def __init__(self, first: Any, second: Any) -> None:
        self.devices = [Device(library, library.olm_account_new(KEY)) for library in (first, second)]
        for number in (0, 1):
            self._fallback(number)
        self.sent: list[Sent] = []
        self.outcomes: list[str] = []

    def act(self, action: Action) -> None:
        """``("say" | "start", device, length)``, ``("fallback", device, -)``, ``("deliver" | "lose", message, -)``,
        ``("spoil", message, bit)``."""
        name, one, other = action
        if name in ("say", "start"):
            self._say(one % 2, other, anew=name == "start")
        elif name == "fallback":
            self._fallback(one % 2)
        elif self.sent:
            sent = self.sent[one % len(self.sent)]
            if name == "lose":
                self.sent.remove(sent)
            elif name == "spoil":
                place, bit = divmod(other % (8 * len(sent.message)), 8)
                message = bytearray(sent.message)
                message[place] ^= 1 << bit
                self._hear(Sent(sent.by, bytes(message), sent.is_first, sent.plaintext))
            else:
                self._hear(sent)

    def _fallback(self, number: int) -> None:
        device = self.devices[number]
        device.account = device.sessions.olm_new_fallback(device.account.pickle, KEY)

    def _say(self, number: int, length: int, *, anew: bool) -> None:
        device, other = self.devices[number], self.devices[1 - number].account
        if anew or not device.held:
            keys = other.identity_key, other.fallback_key
            started = device.sessions.olm_start(device.account.pickle, KEY, *keys)
            device.keep(started.session_id, started.pickle)
        session_id, pickle = list(device.held.items())[-1]
        plaintext = len(self.outcomes).to_bytes(4, "big") + bytes(length)
        encrypted = device.sessions.olm_encrypt(pickle, KEY, plaintext)
        device.keep(session_id, encrypted.pickle)
        self.sent.append(Sent(number, encrypted.message, encrypted.is_first, plaintext))
        self.outcomes.append(f"{number} said {len(encrypted.message)} bytes, first {encrypted.is_first}")

    def _hear(self, sent: Sent) -> None:
        try:
            plaintext = self._open(self.devices[1 - sent.by], sent)
        except CryptoError:
            self.outcomes.append("refused")
            return
        assert plaintext == sent.plaintext
        self.outcomes.append(f"opened {sent.plaintext[:4].hex()}")

    def _open(self, device: Device, sent: Sent) -> bytes:
        if sent.is_first:
            pickle = device.held.get(device.sessions.olm_session_id(sent.message))
            if pickle is None:
                author = self.devices[sent.by].account.identity_key
                opened = device.sessions.olm_accept(device.account.pickle, KEY, author, sent.message)
            else:
                opened = device.sessions.olm_decrypt(pickle, KEY, sent.message, is_first=True)
            device.keep(opened.session.session_id, opened.session.pickle)
            return bytes(opened.plaintext)
        for pickle in reversed(list(device.held.values())):
            try:
                opened = device.sessions.olm_decrypt(pickle, KEY, sent.message, is_first=False)
            except CryptoError:
                continue
            device.keep(opened.session.session_id, opened.session.pickle)
            return bytes(opened.plaintext)
        raise CryptoError
