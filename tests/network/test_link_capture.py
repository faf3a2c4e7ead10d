"""What somebody on a member's link sees: records whose sizes do not depend on how much was said within a class.

A capture holds what the member's sockets send. Which of its DTLS records carry envelopes is not visible in it, so two
things are compared between runs: the lengths of the link messages that carry Publish frames (known from inside), and,
as an observer would, the sizes of all records as large as those messages make them. What depends on time and not on
content (audits, publishing again when a machine is busy) is put off beyond the runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from railgun import Peer, SizeClass
from railgun.core import gossip, publisher, tag_visits
from railgun.links import sctp_send
from railgun.links.dialler import DialPath
from railgun.links.sctp_send import CHUNK_BYTES
from railgun.runtime import hint_keeper, tag_announcer
from railgun.wire.frames import FRAMES, Publish
from railgun.wire.framing import FrameEncoder
from tests.support.api_lab import Lab, lab, texts_of

MESSAGES = 12
APPLICATION_DATA = 23
RECORD_HEADER_BYTES = 13


def record_sizes(datagram: bytes) -> Iterator[int]:
    """Sizes of the encrypted application records in a datagram, as they stand on the wire."""
    position = 0
    while position + RECORD_HEADER_BYTES <= len(datagram):
        end = position + RECORD_HEADER_BYTES + int.from_bytes(datagram[position + 11 : position + 13], "big")
        assert end <= len(datagram)
        if datagram[position] == APPLICATION_DATA:
            yield end - position
        position = end


@dataclass
class Tap:
    """Everything that one member's sockets send, from `begin` on until there is no member any more."""

    member: Peer | None = None
    envelopes: Counter[int] = field(default_factory=Counter)
    messages: Counter[int] = field(default_factory=Counter)
    records: Counter[int] = field(default_factory=Counter)

    def begin(self, member: Peer) -> None:
        self.member = member
        self.envelopes, self.messages, self.records = Counter(), Counter(), Counter()

    def packed(self, frames: list[bytes], messages: list[bytes]) -> None:
        published = [frame for frame in map(FRAMES.decode, frames) if isinstance(frame, Publish)]
        if self.member is not None and published:
            self.envelopes.update(len(frame.envelope) for frame in published)
            self.messages.update(map(len, messages))

    def sent(self, path: DialPath, datagram: bytes) -> None:
        if self.member is not None and path in self.member.shared.links.relays._paths.values() and datagram[0] > 1:
            self.records.update(record_sizes(datagram))  # neither another member's nor a STUN check

    def records_from(self, size: int) -> Counter[int]:
        """Records of ``size`` bytes or more."""
        return Counter({found: count for found, count in self.records.items() if found >= size})


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    found = Tap()
    transmit, encode = DialPath.transmit, FrameEncoder.encode

    def tapped_transmit(path: DialPath, datagram: bytes) -> None:
        found.sent(path, datagram)
        transmit(path, datagram)

    def tapped_encode(encoder: FrameEncoder, frames: Iterable[bytes]) -> list[bytes]:
        frames = list(frames)
        messages = encode(encoder, frames)
        found.packed(frames, messages)
        return messages

    monkeypatch.setattr(DialPath, "transmit", tapped_transmit)
    monkeypatch.setattr(FrameEncoder, "encode", tapped_encode)
    monkeypatch.setattr(tag_visits, "AUDIT_SECONDS", 1e6)
    # A comparison of directories that is due just then shares a message with what is said, whatever its length.
    monkeypatch.setattr(gossip, "GOSSIP_SECONDS", 1e6)
    for module, name in ((tag_announcer, "WAIT_SHARE_MAX"), (hint_keeper, "LOOK_SHARE")):
        monkeypatch.setattr(module, name, 1e6)  # nor may what is kept in the DHT
    # On a busy machine an acknowledgement may be late, and a record is sent again.
    monkeypatch.setattr(sctp_send, "TIMEOUT_SECONDS_MIN", sctp_send.TIMEOUT_SECONDS_MAX)
    for name in ("REPUBLISH_SECONDS", "REPUBLISH_SECONDS_MAX", "WHOLE_TO_SECOND_SECONDS"):
        monkeypatch.setattr(publisher, name, 60.0)
    return found


async def capture(net: Lab, tap: Tap, text: str, size_class: SizeClass) -> tuple[Counter[int], Counter[int]]:
    """A new member says ``text`` so many times in a new room: (messages with Publish frames, records of their size)."""
    run = f"{size_class.name} {len(text)}"
    anna, bert = await net.connect(f"anna {run}"), await net.connect(f"bert {run}")
    here, there = await net.room_of(anna, bert, cover="off")
    await here.send("the session's key goes first")
    await texts_of(there, 1)
    tap.begin(anna)
    for _ in range(MESSAGES):
        await here.send(text, size_class=size_class)
    tap.member = None
    copies = 1 if size_class is SizeClass.LARGE else 2  # whole to one entry or to both, and nothing of another size
    assert tap.envelopes == {size_class.envelope_bytes: copies * MESSAGES}
    await anna.aclose()
    await bert.aclose()
    smallest = min(*tap.messages, CHUNK_BYTES)
    return tap.messages, tap.records_from(smallest)


@pytest.mark.parametrize(
    ("size_class", "lengths"),
    [(SizeClass.SMALL, (1, 25)), (SizeClass.MEDIUM, (10, 3_000)), (SizeClass.LARGE, (10, 60_000))],
    ids=["256", "4096", "65536"],
)
async def test_captures_that_differ_in_true_lengths_alone_have_equal_record_sizes(
    tmp_path: Path, tap: Tap, size_class: SizeClass, lengths: tuple[int, int]
) -> None:
    async with lab(tmp_path) as net:
        short, long = [await capture(net, tap, "x" * length, size_class) for length in lengths]
        assert short == long
        assert sum(long[1].values()) >= sum(long[0].values()) >= MESSAGES


async def test_the_capture_tells_classes_apart(tmp_path: Path, tap: Tap) -> None:
    """The measurement is able to fail."""
    async with lab(tmp_path) as net:
        small, medium = [await capture(net, tap, "x", size) for size in (SizeClass.SMALL, SizeClass.MEDIUM)]
        assert small[0] != medium[0]
        assert small[1] != medium[1]


def test_sizes_of_records_are_read_from_datagrams() -> None:
    def record(kind: int, length: int) -> bytes:
        return bytes((kind, 254, 253)) + bytes(8) + length.to_bytes(2, "big") + bytes(length)

    assert list(record_sizes(record(23, 40) + record(22, 9) + record(23, 0))) == [53, 13]
