"""Logs: readable lines that hold no key, no bytes, and nobody's address unless debugging."""

from __future__ import annotations

import base64
import enum
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import LinkLost
from railgun.runtime.config import LogConfiguration, LogFormat, LogLevel
from railgun.runtime.logs import (
    ADDRESS_HIDDEN,
    HIDDEN,
    VALUE_LENGTH_MAX,
    Log,
    ShortId,
    address_for_log,
    configure_logging,
    scrub,
)
from railgun.types import Address

KEY = bytes(range(200, 232))
PEER = Address("192.0.2.77", 40_000)
PEER6 = Address("2001:db8::77", 40_000)

secrets = st.binary(min_size=32, max_size=64)


class Stage(enum.IntEnum):
    WARM = 3


class Capture:
    """Configures logging into memory; what was written, by line."""

    def __init__(self, level: LogLevel, form: LogFormat) -> None:
        self._stream = io.StringIO()
        self.handler = configure_logging(LogConfiguration(level, form), self._stream)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def objects(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("railgun")
    before = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])
    root.setLevel(before[1])


def test_a_text_line() -> None:
    capture = Capture(LogLevel.INFO, LogFormat.TEXT)
    Log("links").info("link up", peer=ShortId(KEY), inbound=True, stage=Stage.WARM, note="a b", file=Path("/x/y"))
    time, _, rest = capture.text.partition(" ")
    assert time.endswith("Z")
    assert rest == 'info links: link up peer=c8c9cacb inbound=True stage=warm note="a b" file=/x/y\n'


def test_a_json_line() -> None:
    capture = Capture(LogLevel.INFO, LogFormat.JSON)
    Log("links").warning("link lost", peer=ShortId(KEY), round_trip_ms=1.5, level="x", error=LinkLost("silent"))
    (line,) = capture.objects
    assert line.pop("time")
    assert line == {
        "level": "warning",
        "logger": "links",
        "event": "link lost",
        "peer": "c8c9cacb",
        "round_trip_ms": 1.5,
        "field_level": "x",
        "error": "LinkLost: silent",
    }


@pytest.mark.parametrize("form", list(LogFormat))
def test_nothing_below_the_level_is_written(form: LogFormat) -> None:
    capture = Capture(LogLevel.WARNING, form)
    log = Log("links")
    log.info("quiet")
    log.debug("quiet")
    assert capture.text == ""
    assert not log.is_debug


@pytest.mark.parametrize("value", [KEY, bytearray(KEY), memoryview(KEY), [KEY], {"key": KEY}, (1,), object()])
@pytest.mark.parametrize("level", list(LogLevel))
def test_bytes_and_containers_are_refused_at_every_level(value: object, level: LogLevel) -> None:
    Capture(level, LogFormat.TEXT)
    with pytest.raises(TypeError, match="ShortId"):
        Log("links").debug("careless", key=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", list(LogFormat))
@pytest.mark.parametrize("level", [LogLevel.DEBUG, LogLevel.INFO])
@given(secret=secrets)
def test_no_key_gets_out_in_any_spelling(secret: bytes, level: LogLevel, form: LogFormat) -> None:
    spellings = [
        secret.hex(),
        secret.hex().upper(),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        repr(secret),
        repr(bytearray(secret)),
    ]
    capture = Capture(level, form)
    for spelling in spellings:
        Log("links").error(f"event {spelling}", field=f"x {spelling}", cause=ValueError(f"no {spelling} here"))
        logging.getLogger("somelibrary").error("said %s", spelling)
    for spelling in spellings:
        assert spelling not in capture.text
        assert json.dumps(spelling)[1:-1] not in capture.text


@pytest.mark.parametrize("form", list(LogFormat))
def test_addresses_show_only_when_debugging(form: LogFormat) -> None:
    def speak(log: Log) -> None:
        log.warning("from %s", address=PEER, other=PEER6, text=f"to {PEER} and {PEER6}", error=OSError(f"{PEER}"))
        log.error(f"at {PEER6}", cause=ConnectionError(f"{PEER} refused"))
        logging.getLogger("aioice.ice").warning("Connection(0) remote ('%s', %d)", PEER.host, PEER.port)

    quiet = Capture(LogLevel.INFO, form)
    speak(Log("links"))
    assert PEER.host not in quiet.text
    assert PEER6.host not in quiet.text
    assert ADDRESS_HIDDEN in quiet.text
    loud = Capture(LogLevel.DEBUG, form)
    speak(Log("links"))
    assert str(PEER) in loud.text
    assert str(PEER6) in loud.text


def test_the_placeholder() -> None:
    assert address_for_log(PEER, debug=False) == ADDRESS_HIDDEN
    assert address_for_log(PEER, debug=True) == "192.0.2.77:40000"


@given(
    st.ip_addresses().map(str).filter(lambda text: text != "::"),
    st.integers(1, 65_535),
    st.sampled_from([" ", "(", "=", ", ", "['"]),
    st.sampled_from(["", " ", ")", ",", ": x", ".", "']"]),
)
def test_every_address_in_a_text_is_hidden(address: str, port: int, before: str, after: str) -> None:
    for text in (address, str(Address(address, port))):
        assert address not in scrub(f"peer{before}{text}{after}")


@pytest.mark.parametrize(
    "text",
    [
        "12:30:45",
        "2026-01-31T12:00:00.000Z",
        "railgun::links",
        "tests/unit/test_a_very_long_name_of_a_test_that_says_all_it_checks.py",
        "-" * 60,
        "version 1.16.0 of aiortc",
        "0badcafe",
    ],
)
def test_harmless_text_is_left_alone(text: str) -> None:
    assert scrub(text) == text


@given(st.text())
def test_a_line_stays_one_line(text: str) -> None:
    capture = Capture(LogLevel.INFO, LogFormat.TEXT)
    Log("links").info(text, field=text)
    assert capture.text.endswith("\n")
    assert capture.text.count("\n") == 1
    assert capture.text[:-1].isprintable()


def test_long_texts_are_cut_after_hiding() -> None:
    capture = Capture(LogLevel.INFO, LogFormat.JSON)
    Log("links").info("long", text="x " * 5_000, late="y " * (VALUE_LENGTH_MAX // 2 - 10) + KEY.hex())
    (line,) = capture.objects
    assert len(str(line["text"])) == VALUE_LENGTH_MAX + 3
    assert str(line["late"]).endswith(HIDDEN)


def test_a_cause_gives_a_scrubbed_traceback() -> None:
    capture = Capture(LogLevel.INFO, LogFormat.TEXT)
    try:
        raise LinkLost(f"{PEER} with {KEY!r}")
    except LinkLost as error:
        Log("links").error("link lost", cause=error)
    lines = capture.text.splitlines()
    assert lines[1].strip() == "Traceback (most recent call last):"
    assert f"LinkLost: {ADDRESS_HIDDEN} with {HIDDEN}" in lines[-1]


def test_libraries_are_heard_from_warning_on() -> None:
    capture = Capture(LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("aioice.ice").info("chatter")
    logging.getLogger("aioice.ice").warning("trouble")
    assert [line["event"] for line in capture.objects] == ["trouble"]
    assert capture.objects[0]["logger"] == "aioice.ice"


def test_configuring_again_replaces_the_handler() -> None:
    first, second = Capture(LogLevel.INFO, LogFormat.TEXT), Capture(LogLevel.INFO, LogFormat.TEXT)
    Log("links").info("once")
    assert first.text == ""
    assert second.text.count("once") == 1
    assert first.handler not in logging.getLogger().handlers
