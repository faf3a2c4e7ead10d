"""Cookies: how an address proves that it receives what is sent to it.

Owns: making and checking them, remembering those that others gave. Must not know: datagrams, tables.

Spec: docs/spec/dht.md. Nothing is kept for an address that has not returned one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable

from railgun.dht.datagrams import COOKIE_BYTES, NO_COOKIE
from railgun.limits import DHT_COOKIE_SECONDS, DHT_COOKIES_MAX


class CookieMaker:
    """Makes cookies for (key, address) under two keys that take turns."""

    def __init__(self, random_bytes: Callable[[int], bytes], now: float) -> None:
        """``random_bytes(count)`` supplies the keys; ``now`` is monotonic seconds."""
        self._random_bytes = random_bytes
        self._keys = (random_bytes(32), random_bytes(32))
        self._changed_at = now

    def __repr__(self) -> str:
        return "CookieMaker(redacted)"

    def make(self, contact_bytes: bytes, now: float) -> bytes:
        """The cookie of a key at an address (38 or 50 bytes): 16 bytes."""
        self._turn(now)
        return _cookie(self._keys[0], contact_bytes)

    def holds(self, cookie: bytes, contact_bytes: bytes, now: float) -> bool:
        """Whether this key was given ``cookie`` at this address not long ago."""
        if cookie == NO_COOKIE:
            return False
        self._turn(now)
        newer, older = (hmac.compare_digest(_cookie(key, contact_bytes), cookie) for key in self._keys)
        return newer or older

    def _turn(self, now: float) -> None:
        passed = now - self._changed_at
        if passed < DHT_COOKIE_SECONDS:
            return
        last = self._keys[0] if passed < 2 * DHT_COOKIE_SECONDS else self._random_bytes(32)
        self._keys = (self._random_bytes(32), last)
        self._changed_at = now


class CookieJar:
    """Cookies that others gave us, by contact. Those used longest ago go first."""

    def __init__(self) -> None:
        self._cookies: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()

    def put(self, contact_bytes: bytes, cookie: bytes, now: float) -> None:
        """Keep what the contact (38 or 50 bytes) gave."""
        self._cookies[contact_bytes] = (cookie, now)
        self._cookies.move_to_end(contact_bytes)
        if len(self._cookies) > DHT_COOKIES_MAX:
            self._cookies.popitem(last=False)

    def get(self, contact_bytes: bytes, now: float) -> bytes | None:
        """The cookie for a contact, if it surely still holds."""
        cookie, since = self._cookies.get(contact_bytes, (NO_COOKIE, 0.0))
        return cookie if cookie != NO_COOKIE and now - since < DHT_COOKIE_SECONDS else None

    def drop(self, contact_bytes: bytes) -> None:
        """It was refused."""
        self._cookies.pop(contact_bytes, None)


def _cookie(key: bytes, contact_bytes: bytes) -> bytes:
    return hashlib.blake2b(contact_bytes, key=key, digest_size=COOKIE_BYTES).digest()
