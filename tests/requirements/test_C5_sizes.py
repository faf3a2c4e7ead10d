"""C5: envelopes have exactly 256, 4096 or 65536 bytes; what people say fits the class that it is meant to fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from railgun.types import ENVELOPE_SIZES_BYTES
from railgun.wire.content import FileOfferContent
from railgun.wire.frames import Publish
from tests.requirements.real import Ear, Tap, bare_clients, members_of, published_sizes, quiet_room, tag_of
from tests.support.api_lab import WAIT_SECONDS, lab

OTHER_SIZES = (255, 257, 4_095, 65_535)


async def test_c5_every_envelope_that_relays_see_has_one_of_three_sizes(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, bare_clients(net, 1) as (stranger,):
        anna, bert = await members_of(net, "anna", "bert")
        taps = [Tap(relay) for relay in net.relays]
        here, there = await quiet_room(anna, bert)
        await here.send("hello")
        await there.send("hello")
        await Ear(here).hears("hello")
        heard = there.messages()
        first = await anext(heard)

        async def adds(what: Callable[[], Awaitable[object]]) -> set[int]:
            """The sizes of the envelopes that this brings to relays."""
            before = published_sizes(taps)
            await what()
            assert await anna.wait_until(lambda: bool(published_sizes(taps) - before), WAIT_SECONDS)
            return set(published_sizes(taps) - before)

        async def typing() -> None:
            await here.set_typing(True)
            await there.typing()

        offer = FileOfferContent("holiday.jpeg" * 8, "image/jpeg", 3_000_000, bytes(32))
        assert await adds(lambda: here.react(first.message_id, "\N{THUMBS UP SIGN}")) == {256}
        assert await adds(typing) == {256}
        assert await adds(lambda: here.send("x" * 100)) == {4096}
        assert await adds(lambda: here.send("x" * 3_700)) == {4096}
        assert await adds(lambda: here.send("x" * 65_000)) == {65_536}
        assert await adds(lambda: here.send(offer)) <= {4096, 65_536}
        seen = Counter(len(envelope) for tap in taps for envelope in tap.envelopes())
        assert set(seen) == set(ENVELOPE_SIZES_BYTES)
        assert not any(relay.machine.counters.wrong_size_on_wire for relay in net.relays)
        # Any other size is refused and counted.
        await stranger.link_to(net.relays[:1])
        relay = net.relays[0].machine
        for length in OTHER_SIZES:
            stranger.send(relay.node_key, Publish(bytes(length), tag_of(anna, here).committee.seats_hash, None))
        await stranger.until(lambda: len(stranger.refusals) == len(OTHER_SIZES))
        assert set(stranger.refusals) == {"WRONG_SIZE"}
        assert relay.counters.wrong_size_on_wire == len(OTHER_SIZES)
