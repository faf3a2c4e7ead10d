"""The demo without processes: options, the plan of what is said, and the arithmetic on the accounts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import ConfigurationError, UsageError
from railgun.runtime.demo.display import render, summary
from railgun.runtime.demo.evidence import Recorder, prepare_directory, read_evidence
from railgun.runtime.demo.options import DemoOptions
from railgun.runtime.demo.plan import Planned, number_in, plan, sizes_of
from railgun.runtime.demo.result import promises_kept
from railgun.runtime.demo.run import Progress, _Tally
from railgun.runtime.demo.totals import totals
from railgun.types import MessageId, SizeClass
from railgun.wire.content import PLAINTEXT_BYTES_MAX, TextContent, encode_content
from tests.support.commands import check_schema

OPTIONS = DemoOptions(relays=2, members=3, messages=1, committee=3)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"relays": 0}, "--relays"),
        ({"members": 1}, "--members"),
        ({"messages": 0}, "--messages"),
        ({"members": 2, "messages": 1}, "--messages"),
        ({"committee": 2}, "--committee"),
        ({"committee": 8}, "--committee"),
        ({"epoch_seconds": 5}, "--epoch-seconds"),
        ({"overlap_seconds": 6}, "--overlap-seconds"),
        ({"cover": "some"}, "--cover"),
        ({"duration_seconds": 0.0}, "--duration-seconds"),
        ({"duration_seconds": float("nan")}, "--duration-seconds"),
    ],
)
def test_an_option_out_of_range_is_one_line_that_names_the_flag(wrong: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError, match=f"^{flag} [^\n]+$"):
        DemoOptions(**wrong)


def test_the_defaults_are_those_promised() -> None:
    given = DemoOptions()
    assert (given.relays, given.members, given.messages, given.committee) == (7, 6, 60, 5)
    assert (given.epoch_seconds, given.duration_seconds) == (20, 90)
    lengths = {20: 4, 10: 2, 14: 2, 600: 4}
    for epoch_seconds, overlap_seconds in lengths.items():
        assert DemoOptions(epoch_seconds=epoch_seconds).network().overlap_seconds == overlap_seconds
    assert DemoOptions(overlap_seconds=3).network().overlap_seconds == 3
    assert (given.seats, given.receipts_needed) == (5, 3)
    assert DemoOptions(relays=3).seats == 3


@given(st.integers(3, 5_000))
def test_the_mix_has_each_size_and_the_shares(total: int) -> None:
    counts = Counter(sizes_of(total))
    assert counts.total() == total
    assert min(counts[size_class] for size_class in SizeClass) >= 1
    if total >= 40:
        assert abs(counts[SizeClass.MEDIUM] / total - 0.35) < 0.02
        assert abs(counts[SizeClass.LARGE] / total - 0.05) < 0.02


def test_the_plan_spreads_every_members_messages_over_the_duration() -> None:
    options = DemoOptions()
    planned = plan(options)
    assert [len(mine) for mine in planned] == [60] * 6
    assert len({one.number for mine in planned for one in mine}) == 360
    for mine in planned:
        times = [one.at_seconds for one in mine]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < options.duration_seconds
        assert max(b - a for a, b in pairwise(times)) < 2
    assert planned == plan(options)


@given(st.integers(2, 64), st.integers(1, 10_000), st.sampled_from(SizeClass))
def test_every_text_fits_its_size_and_gives_its_number_back(member: int, index: int, size_class: SizeClass) -> None:
    one = Planned(f"{member}-{index}", 0.0, size_class)
    content = TextContent(one.text, (MessageId(bytes(16)),) if size_class is SizeClass.SMALL else ())
    assert len(encode_content(content)) <= PLAINTEXT_BYTES_MAX[size_class]
    assert number_in(one.text) == one.number


@pytest.mark.parametrize("text", ["", "hello", "1-", "1-2-3", "1-2 y", "x 1-2"])
def test_what_people_say_in_the_room_is_no_message_of_the_demo(text: str) -> None:
    assert number_in(text) is None


def relay(index: int, deliveries: int | None, wrong: int = 0) -> list[dict[str, Any]]:
    account: list[dict[str, Any]] = [
        {"kind": "process", "role": "relay", "index": index},
        {"kind": "began", "deliveries": 10},
    ]
    if deliveries is not None:
        dht = {"contacts": 3, "records": deliveries, "lookups": 7}
        account.append({"kind": "ended", "deliveries": 10 + deliveries, "wrong_size_on_wire": wrong, "dht": dht})
    return account


def member(index: int, *records: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"kind": "process", "role": "member", "index": index},
        {"kind": "epoch", "start": 0, "seats": ["a", "b", "c"]},
        {"kind": "epoch", "start": 10, "seats": ["a", "d", "e"]},
        {"kind": "began", "epochs_seen": 2},
        *records,
        {"kind": "epoch", "start": 20, "seats": ["b", "d", "f"]},
        {"kind": "over", "epochs_seen": 3, "mode": "volunteers"},
        {"kind": "epoch", "start": 30, "seats": ["x", "y", "z"]},
        {"kind": "ended", "cover": "steady", "decoys_sent": 4 + index, "wait_p95_seconds": None},
    ]


def sending(number: str, at: float, size: int = 256) -> dict[str, Any]:
    return {"kind": "sending", "number": number, "size": size, "at": at}


def received(number: str, at: float) -> dict[str, Any]:
    return {"kind": "received", "number": number, "id": "00", "at": at}


def sent(number: str) -> dict[str, Any]:
    return {"kind": "sent", "number": number, "id": "00", "receipts": 2, "of": 2}


def accounts(*, twice: bool = False, missing: bool = False) -> list[list[dict[str, Any]]]:
    third = [received("1-1", 1.030), received("2-1", 2.100)]
    if twice:
        third.append(received("1-1", 9.0))
    if missing:
        third.pop(0)
    return [
        relay(1, 30),
        relay(2, 10),
        member(1, sending("1-1", 1.0), sent("1-1"), received("2-1", 2.050)),
        member(2, sending("2-1", 2.0, 4096), sent("2-1"), received("1-1", 1.010)),
        member(3, *third),
    ]


def test_totals_of_a_demo_in_which_all_went_well() -> None:
    result = totals(OPTIONS, accounts(), 12.3456)
    assert (result.sent, result.expected, result.delivered, result.lost, result.duplicated) == (2, 4, 4, 0, 0)
    assert (result.rotations, result.seats_changed) == (1, 2)
    assert (result.receipts.needed, result.receipts.of, result.receipts.complete) == (2, 2, 2)
    assert result.latency_ms_by_size["256"].p50 == pytest.approx(10)
    assert result.latency_ms_by_size["4096"].p99 == pytest.approx(100)
    assert result.latency_ms_by_size["65536"].p50 is None
    assert result.per_relay_deliveries == [30, 10]
    assert result.load_max_over_mean == 1.5
    assert result.as_json()["cover"] == {"mode": "steady", "decoys_sent": 5 + 6 + 7, "wait_p95_seconds": None}
    assert result.as_json()["dht"] == {"contacts_min": 3, "records": 30 + 10, "lookups": 14}
    assert result.bootstrap == 1
    assert result.mode == "volunteers"
    assert "served by volunteers alone" in summary(result)
    assert "18 decoys" in summary(result)
    assert "tick" not in summary(result)
    assert promises_kept(result)
    check_schema("demo", result.as_json())


def test_a_delivery_twice_breaks_the_promise() -> None:
    result = totals(OPTIONS, accounts(twice=True), 1.0)
    assert (result.delivered, result.lost, result.duplicated) == (4, 0, 1)
    assert result.latency_ms.p99 == pytest.approx(100)  # the second delivery's latency does not count
    assert not promises_kept(result)


def test_a_loss_breaks_the_promise() -> None:
    result = totals(OPTIONS, accounts(missing=True), 1.0)
    assert (result.delivered, result.lost, result.duplicated) == (3, 1, 0)
    assert not promises_kept(result)
    assert "1 deliveries were LOST" in summary(result)


def test_a_failed_call_of_send_counts_as_sent() -> None:
    failed = accounts()
    failed[2][4:4] = [sending("1-2", 3.0), {"kind": "unsent", "number": "1-2", "reason": "no majority"}]
    result = totals(OPTIONS, failed, 1.0)
    assert (result.sent, result.expected, result.lost, result.receipts.complete) == (3, 6, 2, 2)


def test_what_nobody_sent_in_the_demo_is_not_delivered() -> None:
    odd = accounts()
    odd[4].insert(4, received("7-7", 1.0))
    assert totals(OPTIONS, odd, 1.0).delivered == 4


def test_unmeasured_is_null_and_no_promise_is_kept_by_it() -> None:
    partial = accounts()
    partial[1] = relay(2, None)
    result = totals(OPTIONS, partial, None)
    assert result.wrong_size_on_wire is None
    assert result.per_relay_deliveries == [30, None]
    assert result.load_max_over_mean is None
    assert result.seconds is None
    assert not promises_kept(result)
    check_schema("demo", result.as_json())
    assert "not measured" in summary(result)


def test_decoys_of_which_one_member_says_nothing_are_unmeasured() -> None:
    partial = accounts()
    partial[3].pop()
    result = totals(OPTIONS, partial, 1.0)
    assert result.cover.decoys_sent is None
    check_schema("demo", result.as_json())
    assert "not measured decoys" not in summary(result)


@pytest.mark.parametrize(
    ("told", "mode", "words"),
    [
        (("volunteers", "hybrid", "volunteers"), "hybrid", "volunteers and fallback relays"),
        (("direct", "hybrid", None), "direct", "members themselves"),
        ((None, "volunteers", "volunteers"), "volunteers", "volunteers alone"),
        ((None, None, None), None, "nobody"),
        (("odd", 7, None), None, "nobody"),
    ],
)
def test_the_mode_is_the_one_furthest_from_volunteers(told: tuple[Any, ...], mode: str | None, words: str) -> None:
    odd = accounts()
    for account, said in zip(odd[2:], told, strict=True):
        next(record for record in account if record["kind"] == "over")["mode"] = said
    result = totals(OPTIONS, odd, 1.0)
    assert result.mode == mode
    assert f"served by {words}" in summary(result) or f"served by its {words}" in summary(result)
    check_schema("demo", result.as_json())


def test_the_live_table_counts_from_when_talking_began_in_the_relays_order() -> None:
    tally = _Tally(3)
    relays = [SimpleNamespace(name=f"relay {index}") for index in (1, 2, 10)]

    def note(index: int, message: dict[str, Any]) -> None:
        tally.note(relays[index], message)  # type: ignore[arg-type]

    note(2, {"kind": "count", "deliveries": 7})
    assert tally.progress.deliveries == {}
    tally.begin(relay.name for relay in relays)
    for index in (2, 0, 1):
        note(index, {"kind": "record", "record": {"kind": "began", "deliveries": 10 + index}})
        note(index, {"kind": "count", "deliveries": 15})
    assert list(tally.progress.deliveries.items()) == [("relay 1", 5), ("relay 2", 4), ("relay 10", 3)]


def test_strict_cover_is_told_with_its_wait_and_given_time_for_it() -> None:
    options = DemoOptions(relays=2, members=3, messages=1, committee=3, cover="strict")
    assert options.drain_seconds > DemoOptions().drain_seconds
    strict = accounts()
    for account in strict[2:]:
        account[-1] |= {"cover": "strict", "wait_p95_seconds": 1.5}
    result = totals(options, strict, 1.0)
    assert "1.5 s" in summary(result)
    assert result.as_json()["cover"] == {"mode": "strict", "decoys_sent": 18, "wait_p95_seconds": 1.5}
    check_schema("demo", result.as_json())


def test_a_wrong_size_breaks_the_promise() -> None:
    odd = accounts()
    odd[0] = relay(1, 30, wrong=1)
    assert not promises_kept(totals(OPTIONS, odd, 1.0))


def test_evidence_is_read_back_in_the_relays_start_order(tmp_path: Path) -> None:
    directory = prepare_directory(tmp_path / "evidence")
    for role, index in [("member", 1), ("relay", 10), ("relay", 2)]:
        with Recorder(lambda record: None, str(directory / f"{role}-{index}.ndjson")) as recorder:
            recorder.record("process", role=role, index=index)
    found = [(account[0]["role"], account[0]["index"]) for account in read_evidence(directory)]
    assert found == [("relay", 2), ("relay", 10), ("member", 1)]
    assert prepare_directory(directory) == directory  # an earlier demo's is replaced
    assert read_evidence(directory) == []


def test_evidence_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"--evidence .* other files"):
        prepare_directory(tmp_path)
    with pytest.raises(UsageError, match=r"--evidence .* give a directory"):
        prepare_directory(tmp_path / "thesis.txt")
    (tmp_path / "odd.ndjson").write_text("[]\n")
    with pytest.raises(ConfigurationError, match="no account"):
        read_evidence(tmp_path)


def test_the_live_table_shows_any_moment() -> None:
    render(Progress())
    render(
        Progress(
            "talking", None, True, 3.0, 10.0, 4, 8, 7, 20, ("ab" * 32,), 1, [2.0, 3.0], {"relay 1": 5, "relay 2": 0}
        )
    )
