"""Files in a room's machines: pieces in any order, what is refused, what is asked for, what outlives a crash."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.core.incoming_files import IncomingFiles, IncomingState, part_key
from railgun.core.outgoing_files import OutgoingFile, OutgoingFiles, OutgoingState
from railgun.core.persistence import Write
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.crypto.hashing import content_hash
from railgun.errors import UsageError
from railgun.limits import (
    FILE_ASK_SECONDS,
    FILE_ASK_TIMES_MAX,
    FILE_BYTES_MAX,
    FILE_RESEND_TIMES_MAX,
    FILES_HELD_BYTES_MAX,
    FILES_INCOMING_MAX,
    FILES_OUTGOING_MAX,
)
from railgun.types import DeviceKey, MessageId, RoomId
from railgun.wire.content import DeleteContent, FileOfferContent
from railgun.wire.file_content import (
    FILE_UNIT_BYTES,
    FILE_UNITS_PER_PART_MAX,
    FilePartContent,
    FileWantContent,
    UnitRange,
    UnitSet,
    units_of,
)
from tests.support import rosters as r
from tests.support.virtual_rooms import MemoryStore, Node, World

ROOM, ADA, BOB = RoomId(b"r" * 32), DeviceKey(b"a" * 32), DeviceKey(b"b" * 32)
FILE = MessageId(b"f" * 16)


def offer_of(data: bytes, name: str = "a.bin") -> FileOfferContent:
    return FileOfferContent(name, "", len(data), content_hash(data))


def data_of(size: int) -> bytes:
    return bytes(itertools.islice(itertools.cycle(range(251)), size))


def piece(data: bytes, first: int, count: int) -> FilePartContent:
    return FilePartContent(FILE, first, data[first * FILE_UNIT_BYTES : (first + count) * FILE_UNIT_BYTES])


def kept(store: MemoryStore, units: int) -> bytes:
    found, unit = b"", 0
    while unit < units:
        value = store.get("files", part_key(ROOM, FILE, unit))
        assert value is not None
        found += value
        unit += units_of(len(value))
    return found


@given(st.integers(1, 12 * FILE_UNIT_BYTES), st.data())
def test_whatever_pieces_come_those_that_are_kept_make_the_file(size: int, draw: st.DataObject) -> None:
    data, units = data_of(size), units_of(size)
    files, store = IncomingFiles(ROOM, BOB, FILE_BYTES_MAX), MemoryStore()
    store.commit(files.offered(FILE, ADA, offer_of(data), 0.0))
    ranges = draw.draw(st.lists(st.tuples(st.integers(0, units - 1), st.integers(1, 5)), max_size=12))
    for first, count in (*ranges, *((unit, 1) for unit in range(units))):
        store.commit(files.part(ADA, piece(data, first, count), 0.0))
        if draw.draw(st.booleans()):  # a crash: the rows say all
            files = IncomingFiles(ROOM, BOB, FILE_BYTES_MAX)
            files.load(store.load("files", ROOM + b"i"), 0.0)
    incoming = files.get(FILE)
    assert incoming is not None
    assert (incoming.state, incoming.bytes_held) == (IncomingState.WHOLE, size)
    assert kept(store, units) == data
    store.commit(files.taken(FILE, is_true=True))
    assert store.keys("files", ROOM + b"p") == []


@pytest.mark.parametrize(
    "part",
    [
        FilePartContent(FILE, 0, b"x" * (FILE_UNIT_BYTES - 1)),
        FilePartContent(FILE, 2, b"x" * FILE_UNIT_BYTES),
        FilePartContent(FILE, 0, b"x" * 4 * FILE_UNIT_BYTES),
        FilePartContent(FILE, 8_000, b"x"),
        FilePartContent(MessageId(b"g" * 16), 0, b"x" * FILE_UNIT_BYTES),
    ],
)
def test_pieces_that_do_not_fit_are_dropped(part: FilePartContent) -> None:
    data = data_of(2 * FILE_UNIT_BYTES + 5)
    files = IncomingFiles(ROOM, BOB, FILE_BYTES_MAX)
    files.offered(FILE, ADA, offer_of(data), 0.0)
    assert files.part(ADA, part, 0.0) == []
    assert files.part(BOB, piece(data, 0, 1), 0.0) == [], "only the offer's author brings pieces"
    assert files.part(ADA, piece(data, 0, 1), 0.0)
    assert files.part(ADA, piece(data, 0, 1), 0.0) == [], "twice"
    assert files.withdrawn(BOB, FILE) == []
    assert files.withdrawn(ADA, FILE)
    assert files.part(ADA, piece(data, 1, 1), 0.0) == [], "it was taken back"


def test_what_is_too_large_or_too_much_is_collected_only_when_asked_for() -> None:
    files = IncomingFiles(ROOM, BOB, FILE_BYTES_MAX)
    for number in range(FILES_HELD_BYTES_MAX // FILE_BYTES_MAX + 1):
        files.offered(MessageId(bytes([number]) * 16), ADA, FileOfferContent("x", "", FILE_BYTES_MAX, bytes(32)), 0.0)
    states = [incoming.state for incoming in files.all()]
    assert states == [*[IncomingState.COMING] * (len(states) - 1), IncomingState.DECLINED]
    last = files.all()[-1].file
    with pytest.raises(UsageError, match="wait to be saved"):
        files.collect(last, 1.0)
    files.decline(files.all()[0].file)
    files.collect(last, 1.0)
    assert (files.all()[-1].state, files.next_ask_at()) == (IncomingState.COMING, 1.0)
    files.offered(FILE, ADA, FileOfferContent("x", "", 2**50, bytes(32)), 0.0)
    with pytest.raises(UsageError, match="more than"):
        files.collect(FILE, 1.0)


def test_offers_are_bounded_and_those_that_need_no_more_go_first() -> None:
    files, store = IncomingFiles(ROOM, BOB, FILE_BYTES_MAX), MemoryStore()
    ids = [MessageId(number.to_bytes(16, "big")) for number in range(FILES_INCOMING_MAX + 2)]
    for number, file in enumerate(ids[:-2]):
        store.commit(files.offered(file, ADA, offer_of(data_of(number + 1)), 0.0))
    store.commit(files.decline(ids[5]))
    for file in ids[-2:]:
        store.commit(files.offered(file, ADA, offer_of(b"x"), 0.0))
    left = [incoming.file for incoming in files.all()]
    assert left == [file for file in ids if file not in (ids[5], ids[0])]
    assert len(store.keys("files", ROOM)) == FILES_INCOMING_MAX


def test_what_stops_coming_is_asked_for_ever_more_rarely_until_its_author_is_heard() -> None:
    data = data_of(5 * FILE_UNIT_BYTES)
    files = IncomingFiles(ROOM, BOB, FILE_BYTES_MAX)
    files.offered(FILE, ADA, offer_of(data), 0.0)
    files.part(ADA, piece(data, 1, 2), 0.0)
    times = []
    while (at := files.next_ask_at()) is not None:
        assert files.asks_due(at - 0.1) == []
        (want,) = files.asks_due(at)
        assert want == FileWantContent(FILE, (UnitRange(0, 1), UnitRange(3, 2)))
        times.append(at)
    assert len(times) == FILE_ASK_TIMES_MAX
    assert FILE_ASK_SECONDS <= times[0] < 1.5 * FILE_ASK_SECONDS
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(gaps))
    files.heard(BOB, times[-1])
    assert files.next_ask_at() is None
    files.heard(ADA, times[-1])
    assert files.next_ask_at() is not None


def begun(files: OutgoingFiles, size: int, file: MessageId = FILE) -> OutgoingFile:
    files.begin(file, b"/a", "a", size, 1)
    found = files.get(file)
    assert found is not None
    return found


def test_units_leave_in_order_and_those_that_are_asked_for_leave_again() -> None:
    files = OutgoingFiles(ROOM)
    outgoing = begun(files, 40 * FILE_UNIT_BYTES)
    left = []
    while (found := files.next_piece(outgoing, FILE_UNITS_PER_PART_MAX)) is not None:
        left.append((found.first, found.count))
        files.piece_left(outgoing, found)
    assert left == [(0, 17), (17, 17), (34, 6)]
    assert (outgoing.state, outgoing.bytes_left) == (OutgoingState.SENT, 40 * FILE_UNIT_BYTES)
    files.wanted(FileWantContent(FILE, (UnitRange(3, 2), UnitRange(39, 500))))
    assert outgoing.state is OutgoingState.LEAVING
    assert files.next_piece(outgoing, 17) == UnitRange(3, 2)
    files.end(outgoing, OutgoingState.CANCELLED)
    assert files.next_piece(outgoing, 17) is None
    assert files.wanted(FileWantContent(FILE, (UnitRange(3, 2),))) == []


def test_members_who_ask_for_ever_are_not_sent_to_for_ever() -> None:
    files = OutgoingFiles(ROOM)
    outgoing = begun(files, 10 * FILE_UNIT_BYTES)
    files.piece_left(outgoing, UnitRange(0, 10))
    answered = 0
    while files.wanted(FileWantContent(FILE, (UnitRange(0, 10),))):
        files.piece_left(outgoing, UnitRange(0, 10))
        answered += 1
    assert answered == FILE_RESEND_TIMES_MAX


def test_own_files_come_back_from_their_rows_and_are_bounded() -> None:
    files, store = OutgoingFiles(ROOM), MemoryStore()
    for number in range(FILES_OUTGOING_MAX + 1):
        store.commit(files.begin(MessageId(bytes([number]) * 16), b"/a", "a", 3 * FILE_UNIT_BYTES, 7))
    first = files.all()[0]
    store.commit(files.piece_left(first, UnitRange(1, 1)))
    again = OutgoingFiles(ROOM)
    again.load(store.load("files", ROOM + b"o"))
    assert [item.file for item in again.all()] == [item.file for item in files.all()]
    assert len(again.all()) == FILES_OUTGOING_MAX
    found = again.all()[0]
    assert (found.path, found.changed_microseconds, found.left.encoded()) == (b"/a", 7, b"\x02")


def test_damaged_bitmaps_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond"):
        UnitSet(3, b"\x08")


def test_what_one_member_missed_comes_when_it_asks_also_after_a_crash() -> None:
    world = World()
    nodes = [Node(world, r.Device(name)) for name in ("ada", "bob", "cem")]
    room = nodes[0].create()
    for node in nodes[1:]:
        node.join(nodes[0].invite(room))
        world.pass_time(30.0)
    ada, bob, cem = nodes
    data = data_of(4 * FILE_UNIT_BYTES + 1)

    def machine(node: Node) -> MemberRoom:
        found = node.member(room)
        assert found is not None
        return found

    ada_room = machine(ada)
    ada._spoken[99] = "the offer"
    file, outcome = ada_room.files.offer(offer_of(data), b"/a", 1, 99, world.wall)
    ada.apply(ada_room, outcome)
    world.settle()

    def send(count: int) -> None:
        member = machine(ada)
        outgoing = member.files.outgoing.get(file)
        assert outgoing is not None
        while (found := member.files.outgoing.next_piece(outgoing, count)) is not None:
            start = found.first * FILE_UNIT_BYTES
            part = FilePartContent(file, found.first, data[start : start + found.count * FILE_UNIT_BYTES])
            ada._spoken[99] = f"piece {found.first}"
            ada.apply(member, member.send(part, 99, world.wall))
            ada.disk.commit(member.files.outgoing.piece_left(outgoing, found))

    # What this device had not read when it died it lacks: here, because the piece was dropped as unknown.
    machine(bob).files.incoming.decline(file)
    send(2)
    world.settle()
    assert [machine(node).files.incoming.get(file).state for node in (bob, cem)] == [  # type: ignore[union-attr]
        IncomingState.DECLINED,
        IncomingState.WHOLE,
    ]
    assert not any("piece" in text for node in nodes for text in node.read.values())
    bob.apply(machine(bob), collected(machine(bob), file, world.now))
    for node in (ada, bob):
        node.crash()
    world.pass_time(2 * FILE_ASK_SECONDS)
    outgoing = machine(ada).files.outgoing.get(file)
    assert outgoing is not None
    assert outgoing.state is OutgoingState.LEAVING, "bob has asked"
    send(17)
    world.settle()
    incoming = machine(bob).files.incoming.get(file)
    assert incoming is not None
    assert incoming.state is IncomingState.WHOLE

    ada._spoken[99] = "taken back"
    ada.apply(machine(ada), machine(ada).send(DeleteContent(file), 99, world.wall))
    world.settle()
    assert [len(node.disk.keys("files", room + b"p")) for node in (bob, cem)] == [0, 0]


def collected(member: MemberRoom, file: MessageId, now: float) -> RoomOutcome:
    writes: list[Write] = member.files.incoming.collect(file, now)
    return RoomOutcome(writes)
