"""How a member asks its relays: whom, how long, and what ends it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import pytest

from railgun.core.agenda import Agenda
from railgun.core.connector import Connector
from railgun.core.events import PeerConnected
from railgun.dht.records import RecordKind
from railgun.errors import DiscoveryError, LinkError, UsageError
from railgun.limits import DHT_CLIENT_WAITING_MAX
from railgun.runtime.dht_client import DhtClient
from railgun.types import NodeKey, PeerKey, RelayContact
from railgun.wire.dht_frames import DhtFind, DhtFound, DhtHeld
from railgun.wire.frames import FRAMES, Frame

RELAYS = [PeerKey(bytes([number]) * 32) for number in range(1, 6)]
AUTHOR = bytes(32)


class Wires:
    """Implements `railgun.ports.Links`: what is sent is noted, and answered if a way to is set."""

    def __init__(self) -> None:
        self.sent: list[tuple[PeerKey, Frame]] = []
        self.answer: Callable[[PeerKey, Frame], None] | None = None
        self.is_full = False

    def send_frame(self, peer: PeerKey, frame: bytes) -> bool:
        if self.is_full:
            return False
        decoded = FRAMES.decode(frame)
        self.sent.append((peer, decoded))
        if self.answer is not None:
            self.answer(peer, decoded)
        return True

    def send_pulse(self, peer: PeerKey, pulse: bytes) -> bool:
        raise NotImplementedError

    def dial(self, contact: RelayContact) -> None:
        raise NotImplementedError

    def close_link(self, peer: PeerKey, code: int, retry_after_ms: int | None = None) -> None:
        raise NotImplementedError

    def peers(self) -> Sequence[PeerKey]:
        return RELAYS

    async def aclose(self) -> None:
        raise LinkError("nothing to close")


def client_of(relays: Sequence[PeerKey] = RELAYS) -> tuple[DhtClient, Wires]:
    connector, wires = Connector(Agenda()), Wires()
    for relay in relays:
        connector.connected(PeerConnected(relay, PeerKey(bytes(32)), True, False, 0.0, 0.01), 0.0)
    return DhtClient(wires, connector, random.Random(1), lambda: 1_800_000_000.0), wires


async def asked(client: DhtClient, through: Sequence[NodeKey] = ()) -> asyncio.Task[object]:
    """A lookup that waits for its relay."""
    task: asyncio.Task[object] = asyncio.create_task(client.find(RecordKind.KEY_BUNDLE, AUTHOR, through=through))
    await asyncio.sleep(0)
    return task


async def test_an_end_that_comes_with_a_cancellation_is_a_cancellation() -> None:
    """As when a peer closes while it asks: its tasks would otherwise go on for ever."""
    client, _ = client_of()
    task = await asked(client)
    client.close()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not client._waiting


async def test_whom_it_may_ask_is_kept_to() -> None:
    client, wires = client_of()
    task = await asked(client, [NodeKey(RELAYS[3])])
    client.peer_gone(RELAYS[3])
    with pytest.raises(DiscoveryError):
        await task
    assert [peer for peer, _ in wires.sent] == [RELAYS[3]]


async def test_three_relays_are_asked_at_most_and_each_once() -> None:
    client, wires = client_of()
    wires.is_full = True
    with pytest.raises(DiscoveryError):
        await client.find(RecordKind.KEY_BUNDLE, AUTHOR)
    assert client.counters.asks_unanswered == 3
    with pytest.raises(DiscoveryError):
        await client_of([])[0].find(RecordKind.KEY_BUNDLE, AUTHOR)


async def test_only_the_relay_that_was_asked_can_answer() -> None:
    client, wires = client_of()
    task = await asked(client)
    relay, frame = wires.sent[0]
    assert isinstance(frame, DhtFind)
    other = next(key for key in RELAYS if key != relay)
    client.frame_received(other, DhtFound(frame.number, (), True))
    client.frame_received(relay, DhtFound(frame.number + 1, (), True))
    assert (client.counters.answers_unexpected, task.done()) == (2, False)
    client.frame_received(relay, DhtHeld(frame.number, 3))  # an answer to another question
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(wires.sent) == 2
    second, again = wires.sent[1]
    assert isinstance(again, DhtFind)
    client.frame_received(second, DhtFound(again.number, (), False))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    third, last = wires.sent[2]
    assert isinstance(last, DhtFind)
    client.frame_received(third, DhtFound(last.number, (), False))
    found = await task
    assert getattr(found, "relays", None) == 2


async def test_no_more_waits_than_may() -> None:
    client, _ = client_of()
    tasks = [await asked(client) for _ in range(DHT_CLIENT_WAITING_MAX)]
    with pytest.raises(UsageError):
        await client.find(RecordKind.KEY_BUNDLE, AUTHOR)
    client.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not client._waiting
