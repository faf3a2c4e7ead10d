"""Requests and answers over datagrams: everything proved before anything is made of it.

Owns: sealing and opening, matching answers to requests, deadlines, cookies, rates, who gets how many bytes.
Must not know: tables, lookups, records: `handle` answers requests, `heard` learns who was proved.

Spec: docs/spec/dht.md. It takes the place of the library's RPC layer, which picked methods by the names that peers sent
and started a task a datagram. Nothing here starts a task; an address that has not proved itself never gets more bytes
than it sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from railgun.crypto.identity import NodeIdentity
from railgun.dht import datagrams
from railgun.dht.contacts import Contact, ContactReader
from railgun.dht.cookies import CookieJar, CookieMaker
from railgun.dht.counters import DhtCounters
from railgun.dht.datagrams import ANSWER_OVERHEAD_BYTES, MESSAGE_BYTES_MAX, NO_COOKIE, Datagram, Form, Header
from railgun.dht.messages import (
    ANSWERS,
    REQUESTS,
    Answer,
    FindNodes,
    FindRecords,
    Found,
    Ping,
    Pong,
    Refused,
    Request,
    Store,
    Stored,
)
from railgun.dht.ports import DhtPorts
from railgun.dht.rates import Misconduct, PrefixRates
from railgun.dht.round_trips import RoundTrips
from railgun.dht.session_keys import Agree, SessionKeyring, SessionKeys
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import (
    DHT_CLOCK_SKEW_SECONDS,
    DHT_DATAGRAM_BYTES_MAX,
    DHT_PENDING_MAX,
    DHT_REQUESTS_BURST,
    DHT_REQUESTS_PER_SECOND,
    DHT_STRANGERS_BURST,
    DHT_STRANGERS_PER_SECOND,
)
from railgun.types import Address, NetworkId, NodeId, NodeKey

logger = logging.getLogger(__name__)

_EXPIRY_MIN_SECONDS: Final = 1.0
"""A request is not given up sooner, however fast answers were so far: machines pause now and then."""
_PING_BYTES: Final = 160
"""A ping without a cookie, so that its answer is no longer than it."""
_ANSWERS_TO: Final[dict[type, type]] = {Ping: Pong, FindNodes: Found, FindRecords: Found, Store: Stored}
_TIME_MAX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is proved to be the one to our request. ``contact`` has proved key and address."""

    contact: Contact
    answer: Answer


class Owner(Protocol):
    """Whom the exchange serves. Called on the loop; must not block."""

    def handle(self, request: Request, sender: Contact, *, proved: bool, message_bytes_max: int) -> Answer | None:
        """Answer a request whose sender has proved its key, and its address if ``proved``."""

    def heard(self, contact: Contact, *, serves: bool, answered_us: bool) -> None:
        """``contact`` has proved its key and its address."""

    def silent(self, contact: Contact) -> None:
        """A request to ``contact`` has expired."""


@dataclass(slots=True)
class _Pending:
    node_key: NodeKey | None
    contact: Contact | None
    address: Address
    request: Request
    done: Callable[[Reply | None], None]
    late: Callable[[], None] | None
    sent_at: float
    deadline_seconds: float
    timer: asyncio.TimerHandle | None = None
    is_second_try: bool = False


class Exchange:
    """See the module."""

    def __init__(
        self,
        owner: Owner,
        identity: NodeIdentity,
        network_id: NetworkId,
        *,
        ports: DhtPorts,
        counters: DhtCounters,
        reader: ContactReader,
        agree: Agree,
    ) -> None:
        clock, entropy = ports.clock, ports.entropy
        now = clock.monotonic()
        self._owner = owner
        self._identity = identity
        self._own_id = identity.node_id
        self._network = datagrams.network_mark(network_id)
        self._carrier = ports.carrier
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._reader = reader
        self._is_lan = reader.is_lan
        self._keyring = SessionKeyring(identity.node_key, agree)
        self._cookie_maker = CookieMaker(entropy.random_bytes, now)
        self._cookies = CookieJar()
        salt = entropy.random_bytes(16)
        self._rates = PrefixRates(DHT_REQUESTS_PER_SECOND, DHT_REQUESTS_BURST, salt, now)
        self._strangers = PrefixRates(DHT_STRANGERS_PER_SECOND, DHT_STRANGERS_BURST, salt, now, cells=1)
        self._pending: dict[bytes, _Pending] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.misconduct = Misconduct()
        self.round_trips = RoundTrips()

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to receive."""
        self._loop = loop
        self._carrier.on_datagram(self.receive)

    def close(self) -> None:
        """Give up what is under way: each request ends with None. Idempotent."""
        self._loop = None
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if one.timer is not None:
                one.timer.cancel()
            one.done(None)

    @property
    def pending_count(self) -> int:
        """Requests that wait for an answer."""
        return len(self._pending)

    # --- asking ---------------------------------------------------------------------------------

    def ask(
        self,
        to: Contact | Address,
        request: Request,
        done: Callable[[Reply | None], None],
        late: Callable[[], None] | None = None,
    ) -> bool:
        """Send a request. ``done`` is called once, later: with the reply, or with None when it is given up; ``late``
        at most once before, when the deadline has passed. To a bare address the request is signed, and whoever
        answers there proves its key. False, and nothing is called, when too much is under way or it is closed."""
        if self._loop is None or len(self._pending) >= DHT_PENDING_MAX:
            return False
        if isinstance(to, Contact):
            if self.misconduct.is_noted(to.node_key, self._clock.monotonic()):
                return False
            pending = _Pending(to.node_key, to, to.address, request, done, late, 0.0, 0.0)
        else:
            pending = _Pending(None, None, to, request, done, late, 0.0, 0.0)
        return self._send(pending)

    def _send(self, pending: _Pending) -> bool:
        loop, now = self._loop, self._clock.monotonic()
        if loop is None:
            return False
        request_id = self._entropy.random_bytes(datagrams.REQUEST_ID_BYTES)
        try:
            data = self._seal_request(pending, request_id, now)
        except MalformedInput:  # the contact's key is none
            self._counters.contacts_refused += 1
            return False
        pending.sent_at = now
        pending.deadline_seconds = self.round_trips.deadline_seconds(pending.node_key or NodeKey(b""))
        pending.timer = loop.call_later(pending.deadline_seconds, self._deadline_passed, request_id)
        self._pending[request_id] = pending
        self._counters.requests_sent += 1
        self._transmit(data, pending.address)
        return True

    def _seal_request(self, pending: _Pending, request_id: bytes, now: float) -> bytes:
        message = REQUESTS.encode(pending.request)
        if pending.contact is None:
            header = self._header(Form.SIGNED_REQUEST, datagrams.NO_DESTINATION, request_id, NO_COOKIE)
            return datagrams.seal_signed(header, message, self._identity, bytes_min=DHT_DATAGRAM_BYTES_MAX)
        cookie = self._cookies.get(pending.contact.raw, now)
        header = self._header(Form.REQUEST, pending.contact.id, request_id, cookie or NO_COOKIE)
        bytes_min = 0
        if cookie is None and not isinstance(pending.request, Store):
            bytes_min = _PING_BYTES if isinstance(pending.request, Ping) else DHT_DATAGRAM_BYTES_MAX
        keys = self._keyring.keys_for(pending.contact.node_key)
        return datagrams.seal(header, message, keys, bytes_min=bytes_min)

    def _header(self, form: Form, destination: bytes, request_id: bytes, cookie: bytes) -> Header:
        time = min(max(int(self._clock.wall()), 0), _TIME_MAX)
        return Header(
            form, self._network, self._identity.node_key, NodeId(destination), time, request_id, cookie
        )

    def _transmit(self, data: bytes, to: Address) -> None:
        self._counters.datagrams_sent += 1
        self._counters.bytes_sent += len(data)
        self._carrier.send_datagram(data, to)

    def _deadline_passed(self, request_id: bytes) -> None:
        pending = self._pending.get(request_id)
        if pending is None or self._loop is None:
            return
        more = max(2 * pending.deadline_seconds, _EXPIRY_MIN_SECONDS - pending.deadline_seconds)
        pending.timer = self._loop.call_later(more, self._expire, request_id)
        if pending.late is not None:
            pending.late()

    def _expire(self, request_id: bytes) -> None:
        pending = self._pending.pop(request_id, None)
        if pending is None:
            return
        self._counters.unanswered += 1
        self.round_trips.unanswered()
        if pending.contact is not None:
            self._owner.silent(pending.contact)
        pending.done(None)

    # --- receiving ------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address) -> None:
        """One datagram from anyone. Never raises."""
        if self._loop is None:
            return
        self._counters.datagrams_received += 1
        self._counters.bytes_received += len(data)
        try:
            datagram = datagrams.parse(data)
            if datagram.header.network != self._network:
                self._counters.wrong_network += 1
            elif datagram.header.form is Form.ANSWER:
                self._answered(datagram, source)
            else:
                self._requested(datagram, source, len(data))
        except MalformedInput:
            self._counters.malformed += 1
        except Exception:
            # A mistake of ours, of whatever kind, that one datagram brings to light must not end the node for all the
            # others; it is logged with its trace, and tests hold the counter at 0.
            self._counters.internal_errors += 1
            logger.exception("a datagram could not be handled")

    def _requested(self, datagram: Datagram, source: Address, length: int) -> None:
        """Checks, cheapest first."""
        header, now = datagram.header, self._clock.monotonic()
        is_for_us = header.form is Form.SIGNED_REQUEST or header.destination == self._own_id
        if not is_for_us or header.sender == self._identity.node_key:
            self._counters.wrong_destination += 1
            return
        sender = self._reader.of(header.sender, source)
        if self.misconduct.is_noted(sender.node_key, now) or not self._rates.take(
            sender.raw[32:] if self._is_lan else sender.prefix, now
        ):
            self._counters.rate_limited += 1
            return
        proved = self._cookie_maker.holds(header.cookie, sender.raw, now)
        if not proved and not self._strangers.take(b"", now):
            self._counters.strangers_limited += 1
            return
        # An address that has proved nothing is not remembered, not even its keys.
        keys = self._keyring.keys_for(header.sender, remember=proved)
        signed = header.form is Form.SIGNED_REQUEST
        if not (datagrams.signature_holds(datagram) if signed else datagrams.mac_holds(datagram, keys)):
            self._counters.forged += 1
            return
        room = MESSAGE_BYTES_MAX if proved else min(MESSAGE_BYTES_MAX, length - ANSWER_OVERHEAD_BYTES)
        answer = self._answer_to(datagram, sender, proved=proved, room=room)
        if answer is None:
            return
        answer_header = self._header(
            Form.ANSWER, sender.id, header.request_id, self._cookie_maker.make(sender.raw, now)
        )
        sealed = datagrams.seal(answer_header, ANSWERS.encode(answer), keys)
        if not proved and len(sealed) > length:
            self._counters.answers_too_long += 1
            return
        self._counters.requests_answered += 1
        self._transmit(sealed, source)

    def _answer_to(self, datagram: Datagram, sender: Contact, *, proved: bool, room: int) -> Answer | None:
        wall = int(self._clock.wall())
        if abs(datagram.header.time - wall) > DHT_CLOCK_SKEW_SECONDS:
            self._counters.outside_window += 1
            return Refused(RefusalCode.CLOCK_SKEWED, min(max(wall, 0), _TIME_MAX))
        request = REQUESTS.decode(datagram.message)
        if proved:
            self._owner.heard(sender, serves=request.serves, answered_us=False)
        return self._owner.handle(request, sender, proved=proved, message_bytes_max=room)

    def _answered(self, datagram: Datagram, source: Address) -> None:
        header = datagram.header
        pending = self._pending.get(header.request_id)
        if pending is None:
            self._counters.answers_unexpected += 1
            return
        if source != pending.address or header.destination != self._own_id or (
            pending.node_key is not None and header.sender != pending.node_key
        ):  # fmt: skip
            self._counters.answers_from_elsewhere += 1
            return
        if header.sender == self._identity.node_key:
            self._counters.answers_unexpected += 1  # our own address, named to us
            return
        keys = self._answer_keys(header.sender)
        if not datagrams.mac_holds(datagram, keys):
            self._counters.forged += 1
            return
        del self._pending[header.request_id]
        if pending.timer is not None:
            pending.timer.cancel()
        contact = pending.contact or self._reader.of(header.sender, source)
        now = self._clock.monotonic()
        self.round_trips.measured(header.sender, now - pending.sent_at)
        self._cookies.put(contact.raw, header.cookie, now)
        self._counters.answers_received += 1
        self._deliver(datagram, pending, contact)

    def _answer_keys(self, sender: NodeKey) -> SessionKeys:
        return self._keyring.keys_for(sender)

    def _deliver(self, datagram: Datagram, pending: _Pending, contact: Contact) -> None:
        try:
            answer = ANSWERS.decode(datagram.message)
            is_refusal = isinstance(answer, Refused)
            if not is_refusal and type(answer) is not _ANSWERS_TO[type(pending.request)]:
                raise MalformedInput("an answer to another question")
        except MalformedInput:
            # The peer itself has sent this: nobody else could.
            self.misconduct.note(contact.node_key, self._clock.monotonic())
            pending.done(None)
            raise
        if isinstance(answer, Refused) and answer.code is RefusalCode.BAD_PROOF and not pending.is_second_try:
            pending.is_second_try = True
            if self._send(pending):
                return
        pending.done(Reply(contact, answer))
        self._owner.heard(contact, serves=True, answered_us=True)
