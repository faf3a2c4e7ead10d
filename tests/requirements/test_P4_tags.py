"""P4: relays know a room by an epoch's tag alone, and no two epochs' tags have anything in common that a relay sees."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from railgun.types import ENVELOPE_SIZES_BYTES, Tag
from railgun.wire.envelope import parse_envelope
from railgun.wire.frames import FRAMES, Frame, Publish, Subscribe
from tests.requirements.real import Ear, Tap, envelope_of, members_of, quiet_room, tag_of
from tests.support.api_lab import WAIT_SECONDS, lab, network_of

WINDOW_BYTES = 8
EPOCHS = 2


def of_tag(frame: Frame) -> tuple[Tag, bytes] | None:
    """The tag that a client's frame is about, and all in it that could be linked by its bytes."""
    match frame:
        case Subscribe(descriptor, handle, _, proof):
            return descriptor.tag, descriptor.tag + descriptor.signature + handle + proof
        case Publish(envelope, _, _) if len(envelope) in ENVELOPE_SIZES_BYTES:
            return parse_envelope(envelope).tag, envelope
        case _:
            tag = getattr(frame, "tag", None)
            return None if tag is None else (Tag(tag), bytes(tag))


def windows(data: bytes) -> set[bytes]:
    return {data[first : first + WINDOW_BYTES] for first in range(len(data) - WINDOW_BYTES + 1)}


@pytest.mark.slow
async def test_p4_what_relays_see_of_one_epoch_has_nothing_in_common_with_the_next(tmp_path: Path) -> None:
    async with lab(tmp_path, network=network_of(epoch_seconds=10, overlap_seconds=2)) as net:
        taps = [Tap(relay) for relay in net.relays]
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        ear, spoken_in = Ear(there), set[Tag]()
        while True:
            await here.send("the same words")
            await ear.hears("the same words")
            spoken_in.add(tag_of(anna, here).tag)
            if len(spoken_in) >= EPOCHS:
                break
            assert await anna.wait_until(lambda: tag_of(anna, here).tag not in spoken_in, WAIT_SECONDS)
        seen: dict[Tag, set[bytes]] = defaultdict(set)
        for tap in taps:
            for _, frame in tap.received:
                found = of_tag(frame)
                if found is not None:
                    seen[found[0]] |= windows(found[1])
        assert spoken_in <= set(seen)
        tags = sorted(seen)
        for place, one in enumerate(tags):
            for other in tags[place + 1 :]:
                assert not seen[one] & seen[other], "two epochs' frames share bytes"
        # What never leaves a member: the room's id, the devices' keys, names. Nothing of it is in any frame.
        everything = b"".join(FRAMES.encode(frame) for tap in taps for _, frame in (*tap.received, *tap.sent))
        for secret in (here.room_id, anna.identity.device_key, bert.identity.device_key, b"ops", b"anna", b"bert"):
            assert len(secret) < WINDOW_BYTES or secret not in everything
        assert any(envelope_of(frame) for tap in taps for _, frame in tap.sent)
        for relay in net.relays:
            assert all(seat.descriptor.tag == tag for tag, seat in relay.machine.seats.items())
