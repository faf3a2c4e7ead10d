"""The private names of aiortc and aioice that railgun.links leans on: an update that moves one fails here first."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version

import aioice.stun
import pytest
from aiortc import rtcsctptransport as base

from railgun.links.sctp import Association, DtlsCarrier

TRANSPORT = base.RTCSctpTransport


def test_versions_are_the_ones_that_were_read() -> None:
    assert version("aiortc") == "1.16.0"
    assert version("aioice") == "0.13.0"


@pytest.mark.parametrize(
    ("name", "signature", "is_coroutine"),
    [
        ("__init__", "(self, transport: aiortc.rtcdtlstransport.RTCDtlsTransport, port: int = 5000) -> None", False),
        ("_init", "(self) -> None", True),
        ("_abort", "(self) -> None", True),
        ("_receive_chunk", "(self, chunk: aiortc.rtcsctptransport.Chunk) -> None", True),
        ("_send_chunk", "(self, chunk: aiortc.rtcsctptransport.Chunk) -> None", True),
        ("_set_state", "(self, state: 'RTCSctpTransport.State') -> None", False),
        ("_t1_expired", "(self) -> None", False),
    ],
)
def test_methods_called_or_overridden(name: str, signature: str, is_coroutine: bool) -> None:
    method = getattr(TRANSPORT, name)
    assert str(inspect.signature(method)) == signature
    assert inspect.iscoroutinefunction(method) is is_coroutine


async def test_attributes_read_or_set() -> None:
    transport = TRANSPORT(DtlsCarrier(lambda _data: None, is_server=True))  # type: ignore[arg-type]
    for name in (
        "_advertised_rwnd",
        "_association_state",
        "_last_received_tsn",
        "_local_tsn",
        "_local_verification_tag",
        "_remote_port",
        "_remote_verification_tag",
        "_rto",
        "_t1_chunk",
        "_t1_failures",
        "_t1_handle",
    ):
        assert hasattr(transport, name), name
    assert {state.name for state in TRANSPORT.State} >= {"CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED"}
    assert transport._association_state is TRANSPORT.State.CLOSED


def test_our_own_names_hide_none_of_the_librarys() -> None:
    """What `Association` defines beside the overrides must not collide with a method of the library."""
    overridden = {"__init__", "__doc__", "__module__", "_set_state", "_t1_expired"}
    assert {name for name in vars(Association) if hasattr(TRANSPORT, name)} <= overridden | {"__dict__", "__weakref__"}


def test_chunk_types_of_the_set_up() -> None:
    for number, name in {
        1: "InitChunk",
        2: "InitAckChunk",
        4: "HeartbeatChunk",
        9: "ErrorChunk",
        10: "CookieEchoChunk",
        11: "CookieAckChunk",
    }.items():
        cls = base.CHUNK_TYPES[number]
        assert cls.__name__ == name
        assert list(inspect.signature(cls).parameters) == ["flags", "body"]


def test_the_methods_that_start_tasks_are_known() -> None:
    """Each is overridden, or reached only through chunks and channels that `Association` keeps from the library."""
    starting = {
        name
        for name, method in inspect.getmembers(TRANSPORT, inspect.isfunction)
        if method.__module__ == base.__name__
        and ("ensure_future" in inspect.getsource(method) or "create_task" in inspect.getsource(method))
    }
    assert starting == {
        "_data_channel_close",
        "_data_channel_open",
        "_data_channel_send",
        "_reconfig_timer_expired",
        "_set_state",
        "_t1_expired",
        "_t2_expired",
        "_t3_expired",
    }


def test_nothing_in_the_set_up_waits_for_anything_but_sending() -> None:
    for name in ("_init", "_abort", "_send_chunk"):
        source = inspect.getsource(getattr(TRANSPORT, name))
        awaited = [line.strip() for line in source.splitlines() if "await " in line]
        assert all("_send_chunk(" in line or "_send_data(" in line for line in awaited), name


def test_stun_names() -> None:
    message = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST, bytes(12))
    message.add_message_integrity(b"key")
    parsed = aioice.stun.parse_message(bytes(message))
    assert parsed.check_message_integrity(b"key")
    assert parsed.transaction_id == bytes(12)


async def test_a_set_up_runs_to_its_end_without_a_task() -> None:
    before = asyncio.all_tasks()
    sent: list[bytes] = []

    class Observer:
        def association_up(self) -> None: ...
        def association_down(self, reason: str) -> None: ...
        def association_message(self, stream_id: int, message: bytes) -> None: ...
        def association_drained(self) -> None: ...

    loop = asyncio.get_running_loop()
    carrier = DtlsCarrier(lambda data: sent.append(bytes(data)), is_server=False)
    association = Association(carrier, Observer(), loop, loop.time)
    association.open(actively=True)
    assert len(sent) == 1
    association.close()
    assert asyncio.all_tasks() == before
