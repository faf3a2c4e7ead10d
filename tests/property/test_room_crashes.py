"""Kill a member at any moment: what it had committed is all that it needs, and no ratchet index is ever used twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from railgun.core.room_port import SealRequest
from railgun.crypto.sessions import VodozemacSessions
from railgun.types import EnvelopeKind
from railgun.wire.content import TextContent, TypingContent
from railgun.wire.pairwise import PAIRWISE_BODIES
from tests.support import rosters as r
from tests.support.members import Member, Wire, room_of

PEOPLE = [r.Device(name) for name in ("anna", "bert", "cara")]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("say", "say long", "type", "settle", "crash", "crash before it left", "day", "renew", "remove")
        ),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=14,
)


def snapshot(member: Member) -> tuple[object, ...]:
    """All of a member that must outlive it."""
    talk, sessions = member.conversation, member.conversation.sessions
    return (
        sorted(member.room.export()),
        member.room.export_prekeys(),
        member.room.pending_count,
        member.secrets._held,
        dict(sessions._own),
        sessions._given,
        sessions._keys,
        sessions._own_hints,
        dict(sessions._inbound),
        sessions._by_hint,
        {key: bits for key, bits in sessions._seen.items() if bits},
        talk.heads,
        {key: (waiting.hint, waiting.body) for key, waiting in talk._waiting.items()},
        sorted(talk._asked),
        {device: dict(rows) for device, rows in sessions.pairwise._held.items() if rows},
        {key: dict(parts) for key, parts in talk._parts._open.items()},
        talk.outbox.waiting(),
    )


def megolm_index(message: bytes) -> int:
    """The index field of a Megolm message: version byte, 0x08, a base-128 number."""
    assert message[:2] == b"\x03\x08"
    index = shift = 0
    for byte in message[2:]:
        index |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return index
    raise AssertionError("no end")


def olm_key(message: bytes, *, is_first: bool) -> tuple[bytes, int]:
    """Ratchet key and index of an Olm message; a first message wraps one behind three keys of 34 bytes."""
    inner = message[message.index(b"\x22", 103) + 3 :] if is_first else message
    assert inner[:3] == b"\x03\x0a\x20"
    assert inner[35] == 0x10
    assert inner[36] < 0x80
    return inner[3:35], inner[36]


class Recorder(VodozemacSessions):
    """What was put under HPKE, by what it became."""

    def __init__(self) -> None:
        super().__init__()
        self.sealed: dict[bytes, bytes] = {}

    def hpke_seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        sealed = super().hpke_seal(public_key, info, plaintext)
        self.sealed[sealed] = plaintext
        return sealed


RECORDER = Recorder()


class Story:
    """One room, and what left it."""

    def __init__(self) -> None:
        self.wire = Wire()
        RECORDER.sealed.clear()
        self.members = room_of(self.wire, *PEOPLE)
        for member in self.members:
            use_sessions(member, RECORDER)
        self.left: dict[tuple[bytes, int], bytes] = {}
        self.said: list[str] = []

    def step(self, action: str, place: int) -> None:
        member = self.members[place]
        match action:
            case "settle":
                self.wire.settle()
            case "day":
                self.wire.pass_time(43_200)
            case "crash":
                self.restart(place)
            case "renew" if place == 0:
                member.renew()
            case "remove" if place == 0 and len(member.state.members) == 3:
                member.remove(self.members[2])
            case "say" | "say long" | "type" | "crash before it left":
                self.say(action, place)

    def say(self, action: str, place: int) -> None:
        member = self.members[place]
        if member.state.member(member.device.key) is None or member.secrets.sending(member.state, member.start) is None:
            return
        text = f"{len(self.said)} " + ("long " * 15_000 if action == "say long" else "")
        prepared = member.prepare(TypingContent(True) if action == "type" else TextContent(text))
        member.disk.commit(prepared.writes)
        if action == "crash before it left":
            self.restart(place)
            self.members[place].publish(self.members[place].conversation.outbox.waiting())
        else:
            for request in prepared.requests:
                self.check_unused(member, request)
            member.publish(prepared.requests)
        self.said.append(text)

    def check_unused(self, member: Member, request: SealRequest) -> None:
        """No key of a ratchet, Megolm's or Olm's, encrypts two things that leave."""
        if request.kind is EnvelopeKind.GROUP:
            key = (request.hint, megolm_index(request.body))
            assert self.left.setdefault(key, request.body) == request.body
        elif request.kind is EnvelopeKind.PAIRWISE:
            for item in PAIRWISE_BODIES.decode(request.body).items:
                message = RECORDER.sealed[item.message] if item.first else item.message
                assert self.left.setdefault(olm_key(message, is_first=item.first), item.message) == item.message

    def restart(self, place: int) -> None:
        member = self.members[place]
        other = member.restarted(self.wire)
        use_sessions(other, RECORDER)
        self.wire.members.remove(member)
        assert snapshot(other) == snapshot(member)
        other.heard = member.heard
        self.members[place] = other


def use_sessions(member: Member, sessions: Recorder) -> None:
    """Have a member call these from now on."""
    member.sessions = sessions
    for part in (member.conversation.sessions, member.conversation.sessions.pairwise):
        part._sessions = sessions


@given(steps)
@hypothesis_settings(max_examples=60)
def test_a_member_rebuilt_from_its_writes_is_the_same_and_reuses_no_index(history: list[tuple[str, int]]) -> None:
    story = Story()
    for action, place in history:
        story.step(action, place)
    story.wire.settle()
    story.wire.pass_time(30)
    story.wire.settle()
    for place in range(3):
        story.restart(place)
        heard = [message.message_id for message in story.members[place].heard]
        assert len(heard) == len(set(heard))
        stored = [key for key, _ in story.members[place].disk.rows("messages")]
        assert {name for name in heard if story.members[place].room.room + name in stored} >= {
            message.message_id for message in story.members[place].heard if isinstance(message.content, TextContent)
        }
