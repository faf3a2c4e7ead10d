"""What waits when its peer closes is told so and cancelled in one moment: neither must swallow the other."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from railgun.runtime.dht_client import DhtClient
from railgun.types import NodeKey, PeerKey
from railgun.wire.dht_frames import DhtFind

RELAY = NodeKey(b"r" * 32)


async def test_a_question_that_is_ended_and_cancelled_at_once_is_cancelled() -> None:
    """A task that asks on and on would never end otherwise, and its peer never close."""
    links: Any = SimpleNamespace(send_frame=lambda relay, frame: True)
    connector: Any = SimpleNamespace(relays={PeerKey(RELAY): None})
    client = DhtClient(links, connector, random.Random(1), lambda: 0.0)

    async def ask_for_ever() -> None:
        while True:
            await client._ask(PeerKey(RELAY), DhtFind(client._next_number(), bytes(20), 1))

    task = asyncio.create_task(ask_for_ever())
    await asyncio.sleep(0)
    assert client._waiting
    client.close()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task
