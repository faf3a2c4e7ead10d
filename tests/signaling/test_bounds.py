"""What is kept of sources, relays and blobs: counted, bounded, forgotten."""

from __future__ import annotations

import ast
import ipaddress
import random
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import railgun_signaling.sources as sources_module
from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.frames import Delivery, RelayAddress
from railgun_signaling.limits import BLOB_BYTES, IN_FLIGHT_BYTES_MAX, OUTBOX_BLOBS_MAX, RELAYS_PER_NETWORK_MAX
from railgun_signaling.mailboxes import Mailboxes
from railgun_signaling.metrics import Metrics
from railgun_signaling.proofs import RelayAd
from railgun_signaling.relays import Relays
from railgun_signaling.sources import SourceLimits, Sources
from tests.support.signaling_lab import ROOT

LIMITS = SourceLimits(
    connections_max=2, arrivals_per_second=1.0, arrivals_burst=3, frames_per_second=1.0, frames_burst=4
)


def refused(code: RefusalCode) -> pytest.RaisesExc[Refusal]:
    return pytest.RaisesExc(Refusal, check=lambda refusal: refusal.code is code)


def test_a_source_is_an_address_or_a_64_and_its_block_may_do_eight_times_as_much() -> None:
    sources = Sources(LIMITS, b"k" * 32)
    one, same = (sources.identify(ipaddress.ip_address(host)) for host in ("2001:db8::1", "2001:db8::ffff:2"))
    assert one == same
    for subnet in range(8):
        for _ in range(3):
            sources.arrive(sources.identify(ipaddress.ip_address(f"2001:db8:0:{subnet}::1")), 0.0)
    with refused(RefusalCode.RATE_LIMITED):
        sources.arrive(sources.identify(ipaddress.ip_address("2001:db8:0:99::1")), 0.0)  # the block has had its share
    sources.arrive(sources.identify(ipaddress.ip_address("2001:db8:1::1")), 0.0)
    sources.arrive(sources.identify(ipaddress.ip_address("192.0.2.1")), 0.0)


def test_buckets_refill_and_sources_that_are_quiet_are_forgotten() -> None:
    sources = Sources(LIMITS, b"k" * 32)
    source = sources.identify(ipaddress.ip_address("192.0.2.1"))
    for _ in range(3):
        sources.arrive(source, 0.0)
    with refused(RefusalCode.RATE_LIMITED):
        sources.arrive(source, 0.5)
    sources.arrive(source, 1.0)
    sources.connect(source, 1.0)
    sources.forget_idle(1_000.0)
    assert len(sources) == 2  # it has a connection
    sources.disconnect(source)
    sources.forget_idle(1.5)
    assert len(sources) == 1  # its own bucket is not full yet: it must not gain by going; its block's is
    with refused(RefusalCode.RATE_LIMITED):
        sources.arrive(source, 1.5)
    sources.forget_idle(1_000.0)
    assert len(sources) == 0
    sources.unregister(source)


def test_the_table_of_sources_is_bounded_and_keeps_those_that_are_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "SOURCES_MAX", 40)
    sources = Sources(LIMITS, b"k" * 32)
    held = sources.identify(ipaddress.ip_address("192.0.2.1"))
    sources.connect(held, 0.0)
    for number in range(1_000):
        sources.arrive(sources.identify(ipaddress.ip_address(0x0A00_0000 + number * 256)), 0.0)
        assert len(sources) <= 40
    sources.disconnect(held)
    full = Sources(LIMITS, b"k" * 32)
    for number in range(20):
        full.connect(full.identify(ipaddress.ip_address(0x0A00_0000 + number * 256)), 0.0)
    with refused(RefusalCode.FULL):
        full.arrive(held, 0.0)


def test_a_source_is_known_by_a_hash_that_another_process_does_not_make() -> None:
    host = ipaddress.ip_address("192.0.2.1")
    one, other = Sources(LIMITS, b"k" * 32).identify(host), Sources(LIMITS, b"l" * 32).identify(host)
    assert one.narrow != other.narrow
    assert host.packed not in one.narrow
    assert one.narrow.hex() not in repr(one)


def test_blobs_that_wait_are_bounded_for_each_reader_and_for_all() -> None:
    mailboxes = Mailboxes(10_000)
    blob = Delivery(bytes(32), bytes(BLOB_BYTES))
    first = mailboxes.open(b"first")
    for _ in range(OUTBOX_BLOBS_MAX):
        first.put(blob)
    with refused(RefusalCode.BUSY):
        first.put(blob)
    places = IN_FLIGHT_BYTES_MAX // BLOB_BYTES - OUTBOX_BLOBS_MAX
    for number in range(places):
        mailboxes.open(number.to_bytes(4, "big")).put(blob)
    last = mailboxes.open(b"last")
    with refused(RefusalCode.BUSY):
        last.put(blob)
    mailboxes.close(first)
    assert mailboxes.in_flight.held_bytes == places * BLOB_BYTES
    last.put(blob)
    with refused(RefusalCode.ABSENT):
        first.put(blob)
    for number in range(places):
        found = mailboxes.get(number.to_bytes(4, "big"))
        assert found is not None
        mailboxes.close(found)
    mailboxes.close(last)
    mailboxes.close(last)
    assert (len(mailboxes), mailboxes.in_flight.held_bytes) == (0, 0)


def test_relays_are_bounded_for_each_network_and_forgotten_when_nobody_tells_of_them() -> None:
    now = [0.0]
    relays = Relays((), (), random.Random(1), lambda: now[0])

    def ad(number: int) -> RelayAd:
        return RelayAd(RelayAddress(number.to_bytes(32, "big"), bytes(32), (bytes(6),)), 10**9)

    for number in range(RELAYS_PER_NETWORK_MAX):
        relays.heard(b"n" * 32, ad(number), b"")
    with refused(RefusalCode.FULL):
        relays.register(b"n" * 32, ad(9_999), b"", 60.0)
    relays.register(b"o" * 32, ad(1), b"own", 60.0)
    relays.heard(b"o" * 32, ad(1), b"other")  # what is registered here is known better
    assert relays.own() == [(b"o" * 32, b"own")]
    now[0] = 40.0
    assert len(relays.choose(b"o" * 32)) == 1
    assert len(relays) == 1
    assert not relays.withdraw(b"o" * 32, ad(1).relay.node_key, b"older")
    now[0] = 61.0
    assert relays.choose(b"o" * 32) == ()
    assert len(relays) == 0


def test_metrics_are_prometheus_text_without_labels_but_the_code() -> None:
    metrics = Metrics()
    metrics.gauge("connections", "Now.", lambda: 7)
    metrics.refused(RefusalCode.BUSY)
    lines = metrics.text().splitlines()
    sample = re.compile(r'railgun_signaling_[a-z_]+(\{code="[a-z_]+"\})? [0-9]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert 'railgun_signaling_refused_total{code="busy"} 1' in lines
    assert "railgun_signaling_connections 7" in lines
    assert len({line.split()[2] for line in lines if line.startswith("# TYPE")}) == metrics.text().count("# TYPE")


# --- the distribution ---------------------------------------------------------------------------


def test_neither_distribution_imports_the_other() -> None:
    for top, other in (("signaling/railgun_signaling", "railgun"), ("railgun", "railgun_signaling")):
        files = list((ROOT / top).rglob("*.py"))
        assert files
        for path in files:
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert other not in {name.partition(".")[0] for name in names}, path


@pytest.mark.slow
def test_its_wheel_is_typed_and_carries_the_command_and_the_licence(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "signaling", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("railgun_signaling-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert "railgun-signaling = railgun_signaling.cli:main" in points
    assert "railgun_signaling/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {"railgun_signaling", "railgun_signaling-0.1.0.dist-info"}
