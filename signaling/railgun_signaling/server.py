"""The server: its listener, who is let in, health and metrics, how it leaves.

Owns: putting the parts together, the HTTP side, draining. Must not know: flags, files, what frames say.
"""

from __future__ import annotations

import asyncio
import http
import json
import random
import re
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from railgun_signaling.configuration import AddressCheck, Configuration
from railgun_signaling.connection import Client, Shared
from railgun_signaling.errors import ConfigurationError, Refusal, RefusalCode
from railgun_signaling.limits import (
    CLOSE_SECONDS,
    MESSAGE_BYTES_MAX,
    OPENING_SECONDS,
    PING_SECONDS,
    PROTOCOL_VERSION,
    SEND_BUFFER_BYTES,
)
from railgun_signaling.logs import Log
from railgun_signaling.mailboxes import Mailboxes
from railgun_signaling.metrics import CONTENT_TYPE, Metrics
from railgun_signaling.nats_presence import NatsPresence
from railgun_signaling.presence import Alone, Presence, PresenceState
from railgun_signaling.relays import Relays
from railgun_signaling.sources import Host, SourceId, SourceLimits, Sources, is_trusted, normal_host, source_host

PATH: Final = f"/v{PROTOCOL_VERSION}"
UPKEEP_SECONDS: Final = 10.0
SUMMARY_SECONDS: Final = 300.0
HALF_OPEN_EXTRA: Final = 256
"""TCP connections beyond those that are served: they have OPENING_SECONDS to say what they want."""
TCP_FACTOR: Final = 2
"""A source may have so many times as many TCP connections as it may have served: some are on their way in or out."""
NOBODY: Final = "0.0.0.0"
"""A connection that is gone already has no address any more."""
_OTHER_VERSION: Final = re.compile(r"/v[0-9]{1,4}")

log = Log("server")


class _Connection(ServerConnection):
    """A TCP connection, and what became of it."""

    signaling: Server
    source: SourceId | None = None
    host: Host | None = None
    refusal: Refusal | None = None
    tcp_source: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().connection_made(transport)
        if not self.signaling.accepted(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self.signaling.lost(self)


class Server:
    """One instance. Made by `start`; ends with `drain` and `aclose`."""

    def __init__(self, configuration: Configuration, wall: Callable[[], float] = time.time) -> None:
        limits = configuration.limits
        self._configuration = configuration
        self.metrics = Metrics()
        self._tcp = 0
        self._tcp_of: dict[bytes, int] = {}
        self._served = 0
        self._clients: set[Client] = set()
        self._draining = False
        self._listener: WebSocketServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._empty = asyncio.Event()
        loop = asyncio.get_running_loop()
        # The choice of relays is no secret, but it should not be foreseen either.
        relays = Relays(configuration.relays.static, configuration.relays.networks, random.SystemRandom(), loop.time)
        self._presence: Presence = Alone()
        if configuration.nats.url is not None:
            self._nats = NatsPresence(
                url=configuration.nats.url,
                credentials=configuration.nats.credentials,
                subject=configuration.nats.subject,
                relays=relays,
                metrics=self.metrics,
                wall=wall,
            )
            self._presence = self._nats
        source_limits = SourceLimits(
            limits.connections_per_source,
            limits.arrivals_per_second,
            limits.arrivals_burst,
            limits.frames_per_second,
            limits.frames_burst,
        )
        self.shared = Shared(
            sources=Sources(source_limits, secrets.token_bytes(32)),
            mailboxes=Mailboxes(limits.connections_max),
            relays=relays,
            presence=self._presence,
            metrics=self.metrics,
            random_bytes=secrets.token_bytes,
            wall=wall,
            checks_addresses=configuration.relays.address_check is AddressCheck.SOURCE,
        )
        self._show_gauges()

    @classmethod
    async def start(cls, configuration: Configuration) -> Server:
        """Listen. Raises ConfigurationError: the address is taken, or the certificate cannot be used."""
        server = cls(configuration)
        tls = _tls(configuration)
        wanted = configuration.server

        class Connection(_Connection):
            signaling = server

        try:
            server._listener = await serve(
                server._serve,
                list(wanted.hosts),  # type: ignore[arg-type]  # asyncio takes several
                wanted.port,
                process_request=server._request,
                create_connection=Connection,
                compression=None,
                open_timeout=OPENING_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=CLOSE_SECONDS,
                max_size=MESSAGE_BYTES_MAX,
                max_queue=2,
                write_limit=SEND_BUFFER_BYTES,
                server_header=None,
                ssl=tls,
            )
        except OSError as error:
            where = f"{', '.join(wanted.hosts)} port {wanted.port}"
            raise ConfigurationError(
                f"cannot listen on {where}: {error.strerror}: choose another --host or --port"
            ) from error
        loop = asyncio.get_running_loop()
        server._tasks.append(loop.create_task(server._upkeep(), name="upkeep"))
        if configuration.nats.url is not None:
            server._tasks.append(loop.create_task(server._nats.run(), name="nats"))
        log.info("listening", port=server.port, tls=tls is not None, nats=configuration.nats.url is not None)
        return server

    @property
    def port(self) -> int:
        """The TCP port listened on."""
        if self._listener is None:
            raise RuntimeError("not started")
        return int(next(iter(self._listener.sockets)).getsockname()[1])

    async def wait(self) -> None:
        """Until a task of the server ends, which happens only by an error; raises it."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def drain(self) -> None:
        """Send everybody away, each to come again (elsewhere) after a moment, for as long as configured."""
        self._draining = True
        log.info("draining", connections=len(self._clients))
        for client in list(self._clients):
            client.leave(self._leaving())
        try:
            async with asyncio.timeout(self._configuration.server.drain_seconds):
                while self._clients:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            log.warning("connections were cut", connections=len(self._clients))

    async def aclose(self) -> None:
        """Stop listening, end what is left. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None
            await self._presence.aclose()
            log.info("stopped")

    # --- connections ----------------------------------------------------------------------------

    def accepted(self, connection: _Connection) -> bool:
        """A TCP connection came; whether there is a place for it.

        Whoever never says what it wants holds a place for OPENING_SECONDS, so one source may hold only so many. Behind
        a trusted proxy sources are told apart by what they say, and the proxy has to see to this.
        """
        self._tcp += 1
        limits = self._configuration.limits
        peer = _peer_of(connection)
        if not is_trusted(peer, self._configuration.server.trusted_proxies):
            connection.tcp_source = self.shared.sources.identify(peer).narrow
            held = self._tcp_of[connection.tcp_source] = self._tcp_of.get(connection.tcp_source, 0) + 1
            if held > TCP_FACTOR * limits.connections_per_source:
                self.metrics.count("connections_cut_total")
                return False
        if self._tcp <= limits.connections_max + HALF_OPEN_EXTRA:
            return True
        self.metrics.count("connections_cut_total")
        return False

    def lost(self, connection: _Connection) -> None:
        """A TCP connection has ended."""
        self._tcp -= 1
        if connection.tcp_source is not None:
            self._tcp_of[connection.tcp_source] -= 1
            if not self._tcp_of[connection.tcp_source]:
                del self._tcp_of[connection.tcp_source]
        if connection.source is not None:
            self._served -= 1
            self.shared.sources.disconnect(connection.source)
            connection.source = None

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        """What to answer to an HTTP request; None to go on to WebSocket."""
        if not isinstance(connection, _Connection):
            raise TypeError("not a connection of this server")
        path = request.path.partition("?")[0]
        host = self._host_of(connection, request)
        source = self.shared.sources.identify(host)
        try:
            self.shared.sources.arrive(source, asyncio.get_running_loop().time())
        except Refusal as refusal:
            self.metrics.refused(refusal.code)
            return _response(http.HTTPStatus.TOO_MANY_REQUESTS, "too many requests\n", retry=refusal)
        if path == "/health":
            return self._health()
        if path == "/metrics":
            return _response(http.HTTPStatus.OK, self.metrics.text(), CONTENT_TYPE)
        if path != PATH:
            if _OTHER_VERSION.fullmatch(path) is None:
                return _response(http.HTTPStatus.NOT_FOUND, "a rendezvous server of Rail Gun\n")
            connection.refusal = Refusal(RefusalCode.UNSUPPORTED_VERSION)
            return None
        connection.refusal = self._admit(connection, source)
        connection.host = host
        return None

    def _admit(self, connection: _Connection, source: SourceId) -> Refusal | None:
        if self._draining:
            return self._leaving()
        if self._served >= self._configuration.limits.connections_max:
            return Refusal(RefusalCode.FULL, 30)
        try:
            self.shared.sources.connect(source, asyncio.get_running_loop().time())
        except Refusal as refusal:
            return refusal
        connection.source = source
        self._served += 1
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        if not isinstance(connection, _Connection):
            raise TypeError("not a connection of this server")
        source, host, refusal = connection.source, connection.host, connection.refusal
        if source is None or host is None:
            source = SourceId(b"", b"")
        client = Client(self.shared, connection, source, host or normal_host(NOBODY))
        try:
            if refusal is not None:
                await client.refuse(refusal)
                return
            self.metrics.count("connections_total")
            self._clients.add(client)
            if self._draining:
                client.leave(self._leaving())
            await client.run()
        except Exception as error:  # noqa: BLE001  # one connection's fault must not be another's
            self.metrics.count("faults_total")
            log.fault("a connection ended by a fault of this server", error)
        finally:
            self._clients.discard(client)
            self._empty.set()

    def _host_of(self, connection: ServerConnection, request: Request) -> Host:
        forwarded = request.headers.get_all("X-Forwarded-For")
        return source_host(_peer_of(connection), forwarded, self._configuration.server.trusted_proxies)

    def _leaving(self) -> Refusal:
        return Refusal(RefusalCode.SHUTTING_DOWN, secrets.choice(range(1, 6)))  # so that not all come at once

    # --- health, upkeep -------------------------------------------------------------------------

    def _health(self) -> Response:
        state = self._presence.state
        status = "draining" if self._draining else "degraded" if state is PresenceState.LOST else "ok"
        body = {
            "status": status,
            "nats": state.value,
            "connections": len(self._clients),
            "mailboxes": len(self.shared.mailboxes),
            "relays": len(self.shared.relays),
        }
        code = http.HTTPStatus.SERVICE_UNAVAILABLE if self._draining else http.HTTPStatus.OK
        return _response(code, json.dumps(body) + "\n", "application/json")

    async def _upkeep(self) -> None:
        loop = asyncio.get_running_loop()
        told_at = loop.time()
        while True:
            await asyncio.sleep(UPKEEP_SECONDS)
            self.shared.sources.forget_idle(loop.time())
            self.shared.relays.forget_old()
            if loop.time() - told_at >= SUMMARY_SECONDS:
                told_at = loop.time()
                self._tell()

    def _tell(self) -> None:
        log.info(
            "serving",
            connections=len(self._clients),
            mailboxes=len(self.shared.mailboxes),
            relays=len(self.shared.relays),
            refused=self.metrics.total_refused(),
        )

    def _show_gauges(self) -> None:
        gauge, shared = self.metrics.gauge, self.shared
        gauge("connections", "WebSocket connections now.", lambda: len(self._clients))
        gauge("tcp_connections", "TCP connections now.", lambda: self._tcp)
        gauge("mailboxes", "Open mailboxes now.", lambda: len(shared.mailboxes))
        gauge("relays", "Relays that are handed out now.", lambda: len(shared.relays))
        gauge("sources", "Sources whose rates are counted now.", lambda: len(shared.sources))
        gauge("in_flight_bytes", "Bytes of blobs that wait for readers.", lambda: shared.mailboxes.in_flight.held_bytes)
        gauge("nats_connected", "1 while NATS answers.", lambda: int(self._presence.state is PresenceState.CONNECTED))
        gauge("draining", "1 while the server takes its leave.", lambda: int(self._draining))


def _peer_of(connection: ServerConnection) -> Host:
    name = connection.remote_address
    return normal_host(name[0] if name else NOBODY)


def _response(
    status: http.HTTPStatus, text: str, content_type: str = "text/plain; charset=utf-8", retry: Refusal | None = None
) -> Response:
    body = text.encode()
    headers = Headers(
        [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ]
    )
    if retry is not None and retry.retry_after_seconds is not None:
        headers["Retry-After"] = str(retry.retry_after_seconds)
    return Response(status.value, status.phrase, headers, body)


def _tls(configuration: Configuration) -> ssl.SSLContext | None:
    certificate, key = configuration.server.tls_cert, configuration.server.tls_key
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"server.tls_cert: {certificate}: cannot be used with its key ({error.strerror or type(error).__name__}): "
            "name a PEM file with the certificate's chain, and with --tls-key its private key"
        ) from error
    return context
