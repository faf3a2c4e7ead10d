"""The one UDP socket that all inbound links share.

Owns: telling STUN from DTLS and from what others share the socket for (the DHT), stateless answers, cookies, half-open
quotas, which session an address belongs to. Must not know: what a session is (a `Guest`), keys, frames.
Spec: docs/spec/links.md. Until an address has returned a cookie nothing is kept for it, and it gets at most one
datagram for each of its own, no longer than that.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from railgun.errors import ConfigurationError, UsageError
from railgun.links import stun
from railgun.links.admission import HalfOpenTable, TokenBuckets
from railgun.links.dtls_cookie import CookieJar, Source, hello_verify_request, looks_like_hello, parse_hello
from railgun.links.settings import LinkCounters, LinkSettings

logger = logging.getLogger(__name__)

DATAGRAM_BYTES_MAX: Final = 2_048
DATAGRAMS_PER_TURN_MAX: Final = 64
"""Read so many before other things get their turn."""
SOCKET_BUFFER_BYTES: Final = 4 << 20
_HANDSHAKE_RECORD: Final = 22
_LODGERS: Final = range(128, 256)
"""First bytes that none of STUN, DTLS and TURN channels uses (RFC 7983 leaves 128 to 191 to RTP, which never comes
here)."""


class Guest(Protocol):
    """A session as the port sees it."""

    def begin(self, hello: bytes) -> None:
        """The port knows it now: start, with the ClientHello that brought the cookie."""

    def receive(self, datagram: bytes) -> None:
        """A datagram from its address. Must not raise."""

    def evict(self, reason: str) -> None:
        """It has to go, since its handshake took too long or others need its place. The port has forgotten it."""


class SharedPath:
    """A guest's way out: its address on the shared socket."""

    __slots__ = ("_port", "is_mute", "source")

    def __init__(self, port: UdpPort, source: Source) -> None:
        self._port = port
        self.source = source
        self.is_mute = False
        """Set before a session is replaced, so that its end does not disturb the new one."""

    def transmit(self, datagram: bytes) -> None:
        """Send, unless mute."""
        if not self.is_mute:
            self._port.send(datagram, self.source)


@dataclass(slots=True)
class _Entry:
    """Who lives at an address: a proved guest, and one that may come to replace it, each with its client random."""

    live: SharedPath | None = None
    live_random: bytes = b""
    candidate: SharedPath | None = None
    candidate_random: bytes = b""


class UdpPort:
    """See the module."""

    def __init__(
        self,
        *,
        settings: LinkSettings,
        counters: LinkCounters,
        random_bytes: Callable[[int], bytes],
        now: Callable[[], float],
        welcome: Callable[[SharedPath], Guest],
    ) -> None:
        """``welcome(path)`` makes the guest for an address that returned a cookie."""
        self._settings = settings
        self._counters = counters
        self._now = now
        self._welcome = welcome
        self._cookies = CookieJar(random_bytes)
        self._stun_buckets = TokenBuckets(settings.stun_per_second, settings.stun_burst, random_bytes(16))
        self._cookie_buckets = TokenBuckets(settings.cookies_per_second, settings.cookies_burst, random_bytes(16))
        self._half_open: HalfOpenTable[SharedPath] = HalfOpenTable(
            settings.half_open_max, settings.half_open_per_address_max, settings.half_open_per_prefix_max
        )
        self._lodgers: dict[int, Callable[[bytes, Source], None]] = {}
        self._entries: dict[Source, _Entry] = {}
        self._guests: dict[SharedPath, Guest] = {}
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._expiry: asyncio.TimerHandle | None = None

    # --- life -----------------------------------------------------------------------------------

    def open(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> int:
        """Bind; ``port`` 0 lets the system choose. Returns the port.

        Raises:
            ConfigurationError: the address cannot be bound; the text says what to do.
        """
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            if bound.family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((host, port))
        except OSError as error:
            bound.close()
            raise ConfigurationError(
                f"cannot listen on UDP {host} port {port}: {error.strerror or error}; "
                "choose another port, or stop the program that uses it"
            ) from error
        self._socket, self._loop = bound, loop
        loop.add_reader(bound.fileno(), self._readable)
        return int(bound.getsockname()[1])

    def close(self) -> None:
        """Stop reading, forget everyone, close the socket. Idempotent. Guests are closed before, by their owner."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._lodgers.clear()
        self._entries.clear()
        self._guests.clear()

    def lodge(self, first_bytes: range, receive: Callable[[bytes, Source], None]) -> None:
        """Hand datagrams that begin with one of these bytes to another protocol, which checks and limits them itself.

        Raises UsageError where STUN or DTLS begin so.
        """
        if first_bytes and (first_bytes[0] < _LODGERS.start or first_bytes[-1] >= _LODGERS.stop):
            raise UsageError("these first bytes belong to STUN, DTLS or TURN")
        self._lodgers.update(dict.fromkeys(first_bytes, receive))

    @property
    def half_open_count(self) -> int:
        """Handshakes under way."""
        return len(self._half_open)

    @property
    def address_count(self) -> int:
        """Addresses for which anything is kept."""
        return len(self._entries)

    # --- guests ---------------------------------------------------------------------------------

    def settle(self, path: SharedPath) -> None:
        """The guest on ``path`` has proved its key: no longer half-open, and an older one at its address is mute."""
        self._half_open.remove(path)
        entry = self._entries.get(path.source)
        if entry is None or entry.candidate is not path:
            return
        replaced = entry.live
        entry.live, entry.live_random = path, entry.candidate_random
        entry.candidate, entry.candidate_random = None, b""
        if replaced is not None:
            replaced.is_mute = True
            self._turn_out(replaced, "replaced by a new connection from the same address")

    def leave(self, path: SharedPath) -> None:
        """The guest on ``path`` is gone. Idempotent."""
        self._half_open.remove(path)
        self._guests.pop(path, None)
        entry = self._entries.get(path.source)
        if entry is None:
            return
        if entry.live is path:
            entry.live, entry.live_random = None, b""
        if entry.candidate is path:
            entry.candidate, entry.candidate_random = None, b""
        if entry.live is None and entry.candidate is None:
            del self._entries[path.source]

    # --- datagrams ------------------------------------------------------------------------------

    def send(self, datagram: bytes, source: Source) -> None:
        """Send one datagram; what the system does not take now is lost, as datagrams may be."""
        if self._socket is None:
            return
        try:
            self._socket.sendto(datagram, source)
        except OSError:
            self._counters.datagrams_unsent += 1

    def _readable(self) -> None:
        for _ in range(DATAGRAMS_PER_TURN_MAX):
            if self._socket is None:
                return
            try:
                datagram, source = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                self._counters.datagrams_unknown += 1
                return
            self.datagram_received(datagram, (source[0], source[1]))

    def datagram_received(self, datagram: bytes, source: Source) -> None:
        """Sort one datagram. Never raises."""
        self._counters.datagrams_received += 1
        try:
            self._sort(datagram, source)
        except Exception:
            # Strangers choose what comes here: a mistake of ours, of whatever kind, must not end the port for all
            # others. It is logged with its trace, and tests hold the counter at 0.
            self._counters.internal_errors += 1
            logger.exception("a datagram could not be handled")

    def _sort(self, datagram: bytes, source: Source) -> None:
        if datagram and datagram[0] in self._lodgers:
            self._lodgers[datagram[0]](datagram, source)
            return
        entry = self._entries.get(source)
        if stun.is_stun(datagram):
            self._answer_check(datagram, source, known=entry is not None)
        elif looks_like_hello(datagram):
            self._hello(datagram, source, entry)
        elif entry is not None and datagram:
            self._deliver(datagram, entry)
        elif datagram[:1] == bytes([_HANDSHAKE_RECORD]):
            self._counters.hellos_malformed += 1
        else:
            self._counters.datagrams_unknown += 1

    def _deliver(self, datagram: bytes, entry: _Entry) -> None:
        """With a candidate at a live address, only records of epoch 0 can be told apart; a record that is not
        one's own fails its MAC and is dropped."""
        live, candidate = entry.live, entry.candidate
        if live is not None and (candidate is None or datagram[3:5] != b"\0\0"):
            self._guests[live].receive(datagram)
        if candidate is not None and candidate in self._guests:
            self._guests[candidate].receive(datagram)

    def _answer_check(self, datagram: bytes, source: Source, *, known: bool) -> None:
        if not known and not self._stun_buckets.take(source[0], self._now()):
            self._counters.stun_limited += 1
            return
        response = stun.answer(datagram, *source)
        if response is None:
            self._counters.stun_invalid += 1
            return
        self._counters.stun_answered += 1
        self.send(response, source)

    def _hello(self, datagram: bytes, source: Source, entry: _Entry | None) -> None:
        hello = parse_hello(datagram)
        if entry is not None:
            if hello is None or hello.client_random == entry.candidate_random:
                self._deliver(datagram, entry)  # a later fragment, or a repetition
                return
            if hello.client_random == entry.live_random and entry.live is not None:
                self._guests[entry.live].receive(datagram)
                return
        if hello is None:
            self._counters.hellos_malformed += 1
            return
        now = self._now()
        if not hello.cookie:
            if not self._cookie_buckets.take(source[0], now):
                self._counters.cookies_limited += 1
                return
            request = hello_verify_request(hello, self._cookies.bake(source, hello.client_random, now))
            if len(request) <= len(datagram):
                self._counters.cookies_sent += 1
                self.send(request, source)
            return
        if hello.message_sequence != 1 or not self._cookies.spend(source, hello.client_random, hello.cookie, now):
            self._counters.cookies_refused += 1
            return
        self._admit(datagram, source, hello.client_random, now)

    def _admit(self, datagram: bytes, source: Source, client_random: bytes, now: float) -> None:
        """A valid cookie: allocate the session."""
        path = SharedPath(self, source)
        for evicted in self._half_open.add(path, source[0], now):
            self._counters.half_open_evicted += 1
            self._turn_out(evicted, "evicted: too many unfinished handshakes")
        self._counters.half_open_started += 1
        older = self._entries.get(source)
        if older is not None and older.candidate is not None:
            older.candidate.is_mute = True
            self._turn_out(older.candidate, "overtaken by a newer handshake from the same address")
        guest = self._welcome(path)
        self._guests[path] = guest
        entry = self._entries.setdefault(source, _Entry())
        entry.candidate, entry.candidate_random = path, client_random
        self._plan_expiry()
        guest.begin(datagram)

    def _turn_out(self, path: SharedPath, reason: str) -> None:
        guest = self._guests.get(path)
        self.leave(path)
        if guest is not None:
            guest.evict(reason)

    def _plan_expiry(self) -> None:
        if self._expiry is None and self._loop is not None:
            self._expiry = self._loop.call_later(self._settings.half_open_seconds / 5, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        for path in self._half_open.expire(self._now(), self._settings.half_open_seconds):
            self._counters.half_open_expired += 1
            self._turn_out(path, "the handshake took too long")
        if len(self._half_open):
            self._plan_expiry()
