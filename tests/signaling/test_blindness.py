"""All that a rendezvous server ever holds and logs is read: no content, no room, no user; and nothing afterwards.

Two readers: one asks the interpreter for every object, one reads the process's memory itself, freed parts included.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from railgun.core.lobby import lobby_secret
from railgun.crypto.rendezvous import MailboxKey, invite_mailbox, seal_blob
from railgun.links.rendezvous import ask_relays, registered_relay
from railgun.runtime.system import SystemEntropy
from railgun.types import NetworkId
from railgun.wire.rendezvous import Delivery, Forwarded, Send
from railgun_signaling.limits import PING_SECONDS
from tests.support.ads import seed_of, signed_ad
from tests.support.signaling_lab import ROOT, RawClient, ServerProcess, get, poll, raw_client

pytestmark = pytest.mark.processes

ENTROPY = SystemEntropy()
NETWORK = NetworkId(b"network-id-of-the-blindness-test")
ADDRESS = "203.0.113.77"
CONTENT = b"v=0 candidate 198.51.100.23 and a message that nobody else may read"
ROOM = b"room-id-or-tag-of-32-bytes-is-it"
USER = b"Ann Example, device 4711"
SEED = b"an-invite-seed-is-32-bytes-long!"
SECRETS = (CONTENT, ROOM, USER, SEED)


class Witness:
    """A server process, and what it holds."""

    def __init__(self, home: Path) -> None:
        self.file = home / "held"
        program = ROOT / "tests" / "support" / "signaling_witness.py"
        self.server = ServerProcess(
            home,
            *("--port", "0", "--trusted-proxy", "127.0.0.1", "--relay-addresses", "any"),
            *("--log-level", "debug", "--log-format", "json"),
            environ={"RAILGUN_WITNESS_FILE": str(self.file)},
            program=(str(program),),
        )

    async def objects(self) -> bytes:
        """Everything that any of its objects leads to, now."""
        self.file.unlink(missing_ok=True)
        self.server.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(60):
            while not self.file.exists():  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0)
        return self.file.read_bytes()

    def memory(self) -> bytes:
        """Its writable memory, byte for byte."""
        parts = []
        maps = Path(f"/proc/{self.server.process.pid}/maps").read_text().splitlines()
        with Path(f"/proc/{self.server.process.pid}/mem").open("rb", buffering=0) as memory:
            for line in maps:
                where, rights = line.split()[:2]
                if "w" not in rights:
                    continue
                first, last = (int(end, 16) for end in where.split("-"))
                memory.seek(first)
                try:
                    parts.append(memory.read(last - first))
                except OSError:
                    continue  # a page that cannot be read holds nothing of ours
        return b"\0".join(parts)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    found = Witness(tmp_path)
    yield found
    found.server.end()


def spellings(*values: bytes) -> list[bytes]:
    """As they are, and in hexadecimal."""
    return [spelt for value in values for spelt in (value, value.hex().encode())]


def found_in(held: bytes, *values: bytes) -> list[bytes]:
    return [value for value in spellings(*values) if value in held]


async def client(stack: AsyncExitStack, url: str) -> RawClient:
    return await stack.enter_async_context(raw_client(url, additional_headers={"X-Forwarded-For": ADDRESS}))


async def test_it_holds_and_logs_no_content_no_room_no_user_and_afterwards_nothing(witness: Witness) -> None:
    url = witness.server.url
    inviter = invite_mailbox(lobby_secret(SEED), 4711, 0)
    joiner = MailboxKey.of(ENTROPY.random_bytes(32))
    blobs = [seal_blob(inviter.public, b"".join(SECRETS), ENTROPY.random_bytes(32)) for _ in range(5)]
    ad = signed_ad(1, int(time.time()))
    async with AsyncExitStack() as stack:
        at_inviter, at_joiner = await client(stack, url), await client(stack, url)
        await at_inviter.open(inviter)
        await at_joiner.open(joiner)
        async with registered_relay(url, NETWORK, seed_of(1), ad.encoded, ad.ad.address):
            assert await ask_relays(url, NETWORK) == (ad.ad.contact(),)
        for number, blob in enumerate(blobs):
            await at_joiner.say(Send(number, inviter.public, blob))
            assert await at_joiner.hear() == Forwarded(number)
            assert await at_inviter.hear() == Delivery(joiner.public, blob)
        # While they are there: who is there, and nothing of what they said or belong to.
        held, memory = await witness.objects(), witness.memory()
        for everything in (held, memory):
            assert inviter.public in everything, "the reader finds nothing at all"
            assert not found_in(everything, *SECRETS, lobby_secret(SEED), inviter.secret, joiner.secret)
        # What was handed over is let go within a round trip, long before anybody is asked whether it lives (freed
        # memory may show it until it is used again).
        async with asyncio.timeout(PING_SECONDS / 2):
            while found_in(await witness.objects(), *(blob[:64] for blob in blobs)):
                continue
    await poll(lambda: counted(witness, "connections"), 0)
    await poll(lambda: counted(witness, "tcp_connections"), 1)  # that question's own
    held, memory = await witness.objects(), witness.memory()
    assert not found_in(memory, *SECRETS, lobby_secret(SEED), inviter.secret, joiner.secret)
    gone = (inviter.public, joiner.public, NETWORK, ad.encoded[:64], ad.ad.node_key, ADDRESS.encode())
    assert not found_in(held, *gone, *(blob[:64] for blob in blobs))
    packed = ipaddress.ip_address(ADDRESS)
    assert not found_in(held, packed.packed)
    assert str(int(packed)).encode() not in held.split(b"\n")

    _, metrics = await asyncio.to_thread(get, witness.server.port, "/metrics")
    log = witness.server.log.read_text()
    assert '"railgun' not in metrics
    assert "railgun_signaling_blobs_local_total 5" in metrics
    for told in (metrics.encode(), log.encode()):
        assert not found_in(told, *SECRETS, *gone, inviter.public[:4], joiner.public[:4])
        assert b"203.0.113" not in told
    assert "127.0.0.1" not in log
    assert '"listening"' in log


async def counted(witness: Witness, name: str) -> int:
    _, text = await asyncio.to_thread(get, witness.server.port, "/metrics")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"railgun_signaling_{name} "))


async def test_the_reader_of_objects_finds_what_is_held(witness: Witness) -> None:
    """Blobs that wait for who does not read are held, and found: the check above can fail."""
    inviter = MailboxKey.of(ENTROPY.random_bytes(32))
    async with AsyncExitStack() as stack:
        deaf, sender = await client(stack, witness.server.url), await client(stack, witness.server.url)
        await deaf.open(inviter)
        deaf.connection.transport.pause_reading()
        await sender.open()
        for number in range(10_000):
            blob = number.to_bytes(8, "big") + os.urandom(4_088)
            await sender.say(Send(number, inviter.public, blob))
            if not isinstance(await sender.hear(), Forwarded):
                break
            last = blob
        held = await witness.objects()
        assert found_in(held, last[:64])
        deaf.connection.transport.abort()


@pytest.mark.parametrize("level", ["debug", "info"])
def test_logs_take_no_bytes_and_no_texts(level: str) -> None:
    from railgun_signaling.logs import Log

    with pytest.raises(TypeError, match="is not for logs"):
        Log("test").debug("seen", key=b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is not for logs"):
        getattr(Log("test"), level)("seen", where="203.0.113.77")
