"""The TypeScript peer's Olm, Megolm and short codes against the library that Python uses: live, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError
from tests.support.node_sessions import NodeSessions
from tests.support.node_worker import NodeWorker
from tests.support.olm_talk import KEY, Action, Talk

pytestmark = pytest.mark.processes

ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.tuples(st.sampled_from(["say"]), st.integers(0, 1), st.sampled_from([0, 11, 12, 225])),
    st.tuples(st.sampled_from(["deliver"]), st.integers(0, 30), st.just(0)),
    st.tuples(st.sampled_from(["deliver"]), st.integers(0, 30), st.just(0)),
    st.tuples(st.sampled_from(["start", "fallback", "lose"]), st.integers(0, 30), st.just(0)),
    st.tuples(st.sampled_from(["spoil"]), st.integers(0, 30), st.integers(0, 10_000)),
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeSessions]:
    with NodeWorker("test/olm/worker.ts", tmp_path_factory.mktemp("olm")) as worker:
        yield NodeSessions(worker)


@pytest.fixture(params=["typescript to python", "python to typescript", "typescript to typescript"])
def ends(request: pytest.FixtureRequest, node: NodeSessions) -> tuple[Any, Any]:
    by_name = {"typescript": node, "python": VodozemacSessions()}
    first, second = request.param.split(" to ")
    return by_name[first], by_name[second]


@pytest.mark.slow
@settings(max_examples=50)
@given(schedule=st.lists(ACTIONS, min_size=20, max_size=80))
def test_any_schedule_ends_alike_whichever_libraries_talk(node: NodeSessions, schedule: list[Action]) -> None:
    python = VodozemacSessions()
    pairs = ((python, python), (node, python), (python, node))
    talks = [Talk(first, second) for first, second in pairs]
    for action in schedule:
        for talk in talks:
            talk.act(action)
    assert talks[0].outcomes == talks[1].outcomes == talks[2].outcomes


def test_both_start_at_once_and_go_on(ends: tuple[Any, Any]) -> None:
    talk = Talk(*ends)
    for action in (("start", 0, 5), ("start", 1, 5), ("deliver", 0, 0), ("deliver", 1, 0)):
        talk.act(action)
    for turn in range(6):
        talk.act(("say", turn, turn))
        talk.act(("deliver", len(talk.sent) - 1, 0))
    assert [outcome for outcome in talk.outcomes if "refused" in outcome] == []
    assert len([outcome for outcome in talk.outcomes if outcome.startswith("opened")]) == 8


def test_gaps_of_2000_and_the_last_40_of_them(ends: tuple[Any, Any]) -> None:
    talk = Talk(*ends)
    for _ in range(2_003):
        talk.act(("say", 0, 0))
    befalls = [
        (2_001, "refused"),  # one missing too many
        (2_000, "opened"),
        (2_000, "refused"),
        (1_960, "opened"),
        (1_959, "refused"),  # forgotten
        (2_002, "opened"),
        (2_001, "opened"),
        (1_999, "opened"),
        (1_961, "opened"),
    ]
    for number, outcome in befalls:
        talk.act(("deliver", number, 0))
        assert talk.outcomes[-1].split()[0] == outcome, number


@settings(max_examples=40)
@given(
    lengths=st.lists(st.sampled_from([0, 1, 15, 16, 1_000]), min_size=1, max_size=12),
    shared_at=st.integers(0, 11),
    order=st.lists(st.integers(0, 11), max_size=20),
    spoilt_bit=st.integers(0, 10_000),
    typescript_sends=st.booleans(),
)
def test_group_sessions(
    node: NodeSessions,
    lengths: list[int],
    shared_at: int,
    order: list[int],
    spoilt_bit: int,
    typescript_sends: bool,
) -> None:
    python = VodozemacSessions()
    sender, reader = (node, python) if typescript_sends else (python, node)
    out = sender.megolm_new(KEY)
    pickle, messages, key, first = out.pickle, [], out.session_key, 0
    for index, length in enumerate(lengths):
        if index == shared_at:
            key, first = sender.megolm_outbound(pickle, KEY).session_key, index
        encrypted = sender.megolm_encrypt(pickle, KEY, bytes(length))
        pickle = encrypted.pickle
        assert encrypted.index == index
        messages.append(encrypted.message)
    inbound = reader.megolm_import(key, KEY)
    assert (inbound.session_id, inbound.first_index) == (out.session_id, first)
    for number in order:
        _read(reader, inbound.pickle, messages, number % len(messages), first, lengths)
    later = reader.megolm_export(inbound.pickle, KEY, max(first, len(messages) - 1))
    again = sender.megolm_restore(later, KEY)
    _read(sender, again.pickle, messages, len(messages) - 1, first, lengths)
    place, bit = divmod(spoilt_bit % (8 * len(messages[-1])), 8)
    spoilt = bytearray(messages[-1])
    spoilt[place] ^= 1 << bit
    with pytest.raises(CryptoError):
        reader.megolm_decrypt(inbound.pickle, KEY, bytes(spoilt))


def _read(reader: Any, pickle: bytes, messages: list[bytes], index: int, first: int, lengths: list[int]) -> None:
    if index < first:
        with pytest.raises(CryptoError):
            reader.megolm_decrypt(pickle, KEY, messages[index])
        return
    opened = reader.megolm_decrypt(pickle, KEY, messages[index])
    assert (opened.index, opened.plaintext) == (index, bytes(lengths[index]))


def test_people_see_the_same_numbers(ends: tuple[Any, Any]) -> None:
    one, other = ends[0].sas_new(), ends[1].sas_new()
    here, there = one.establish(other.public_key), other.establish(one.public_key)
    for info in ("railgun/link-code/v1|00", "", "\u00fc"):
        assert here.decimals(info) == there.decimals(info)
        there.check_mac(b"content", info, here.mac(b"content", info))
        here.check_mac(b"content", info, there.mac(b"content", info))
        with pytest.raises(CryptoError):
            here.check_mac(b"other", info, there.mac(b"content", info))
    with pytest.raises(CryptoError):
        one.establish(other.public_key)


@st.composite
def _edits(draw: st.DrawFn) -> tuple[int, int, bytes]:
    """Where, how many bytes go, which come."""
    return draw(st.integers(0, 400)), draw(st.integers(0, 3)), draw(st.binary(max_size=4))


@settings(max_examples=200)
@given(edits=st.lists(_edits(), max_size=2), length=st.sampled_from([0, 30, 229]))
def test_what_is_no_message_is_none_for_either(
    node: NodeSessions, edits: list[tuple[int, int, bytes]], length: int
) -> None:
    python = VodozemacSessions()
    recipient = python.olm_new_fallback(python.olm_account_new(KEY).pickle, KEY)
    author = node.olm_account_new(KEY)
    started = node.olm_start(author.pickle, KEY, recipient.identity_key, recipient.fallback_key)
    first = _edited(node.olm_encrypt(started.pickle, KEY, bytes(length)).message, edits)
    assert _outcome(lambda: python.olm_session_id(first)) == _outcome(lambda: node.olm_session_id(first))
    found: list[tuple[bytes | None, bytes | None]] = []
    sender = node.megolm_new(KEY)
    message = _edited(node.megolm_encrypt(sender.pickle, KEY, bytes(length)).message, edits)
    session_key = _edited(sender.session_key, edits)
    for library in (python, node):
        known = library.megolm_import(sender.session_key, KEY).pickle
        found.append((_read_or_none(library, known, message), _imported_or_none(library, session_key)))
    assert found[0] == found[1]


def _read_or_none(library: Any, pickle: bytes, message: bytes) -> bytes | None:
    return _outcome(lambda: bytes(library.megolm_decrypt(pickle, KEY, message).plaintext))


def _imported_or_none(library: Any, session_key: bytes) -> bytes | None:
    return _outcome(lambda: bytes(library.megolm_import(session_key, KEY).session_id))


def _edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, gone, come in edits:
        at = place % (len(data) + 1)
        data = data[:at] + come + data[at + gone :]
    return data


def _outcome(act: Callable[[], bytes]) -> bytes | None:
    try:
        return act()
    except CryptoError:
        return None
