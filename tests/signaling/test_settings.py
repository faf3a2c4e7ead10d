"""Settings and the command: what wins, what is said of a mistake, how it starts and ends."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from websockets.asyncio.client import connect

from railgun.types import NetworkId, NodeKey, RelayContact
from railgun.wire.contacts import format_contact
from railgun.wire.rendezvous import RENDEZVOUS_FRAMES, Challenge
from railgun_signaling.cli import main
from railgun_signaling.configuration import environment_name, load_configuration, setting_names
from railgun_signaling.errors import ConfigurationError
from railgun_signaling.sources import normal_host, source_host
from tests.support.ads import plain_ad
from tests.support.signaling_lab import ROOT, ServerProcess, raw_client

ID = "ab" * 32


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[server]\nport = 1\ndrain_seconds = 3\n[limits]\nframes_per_second = 0.5\n")
    environ = {"RAILGUN_SIGNALING_SERVER_PORT": "2", "RAILGUN_SIGNALING_LIMITS_CONNECTIONS_MAX": "9", "HOME": "/"}
    loaded = load_configuration(file, environ, {"server.port": "3", "log.level": None})
    assert (loaded.server.port, loaded.server.drain_seconds) == (3, 3.0)
    assert (loaded.limits.connections_max, loaded.limits.frames_per_second) == (9, 0.5)


MISTAKES = [
    ("[server]\nprot = 1", "did you mean server.port?"),
    ("[sever]\nport = 1", "did you mean server?"),
    ("server = 1", "write [server] on a line of its own"),
    ("[server]\nport = 70000", "expected a whole number from 0 to 65535"),
    ("[server]\nport = true", "expected a whole number"),
    ("[server]\nhosts = ['localhost']", "expected IP addresses to listen on"),
    ("[server]\nhosts = []", "expected at least one address"),
    ("[server]\ntrusted_proxies = ['10.0.0.1/8']", "expected addresses or networks of proxies"),
    ("[server]\ntls_cert = 'c.pem'", "go together"),
    ("[server]\ntls_cert = 'c.pem'\ntls_key = 'k.pem'", "no such file"),
    ("[limits]\nframes_per_second = nan", "expected a number from"),
    ("[relays]\nnetworks = ['ab']", "64 hexadecimal digits"),
    (f"[relays]\nstatic = ['{ID} railgun-relay:x@1.2.3.4:5']", "railgun node"),
    ("[relays]\naddress_check = 'none'", "expected one of source, any"),
    ("[nats]\nurl = 'http://x'", "expected nats://HOST:PORT"),
    ("[nats]\nsubject = 'a.>'", "expected 1 to 4 words"),
    ("[log]\nlevel = 'loud'", "expected one of debug"),
    ("[log", "not valid TOML"),
    ("#" * 70_000, "this is no configuration"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    assert main(["config", "check", "--config", str(file)]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


def test_an_unknown_variable_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="did you mean RAILGUN_SIGNALING_SERVER_PORT"):
        load_configuration(None, {"RAILGUN_SIGNALING_SERVER_PROT": "1"})


def test_its_variables_are_no_mistyped_ones_of_railgun() -> None:
    """Both may run under one environment."""
    from railgun.runtime import config

    environ = {environment_name(setting): "x" for setting in setting_names()}
    assert config.load_configuration(None, environ | {"HOME": "/"}).node.port == config.PORT_DEFAULT


def test_a_relays_contact_is_read_as_railgun_writes_it() -> None:
    ad = plain_ad(1)
    contact = RelayContact(NodeKey(ad.node_key), (ad.address,), b"c" * 32)
    (static,) = load_configuration(None, {}, {"relays.static": [f"{ID} {format_contact(contact)}"]}).relays.static
    assert static.network == NetworkId(bytes.fromhex(ID))
    assert (static.relay.node_key, static.relay.certificate_hash) == (contact.node_key, b"c" * 32)
    assert static.relay.addresses == (ad.address.packed + ad.address.port.to_bytes(2, "big"),)


def test_config_check_prints_what_holds_and_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--nats", "nats://me:secret@10.0.0.1:4222", "--host", "::1"]) == 0
    shown = capsys.readouterr().out
    assert "secret" not in shown
    assert json.loads(shown)["nats"]["url"] == "nats://10.0.0.1:4222"
    assert json.loads(shown)["server"]["hosts"] == ["::1"]


def test_the_reference_names_every_setting_with_its_variable_and_every_flag() -> None:
    text = (ROOT / "signaling" / "README.md").read_text()
    for setting in setting_names():
        assert f"| `{setting}` | `{environment_name(setting)}` |" in text, setting
    helped = subprocess.run(
        [sys.executable, "-m", "railgun_signaling", "serve", "--help"],
        env={"PYTHONPATH": str(ROOT / "signaling"), "COLUMNS": "200"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    flags = {word.split()[0] for word in helped.split("\n  ") if word.startswith("--")}
    assert len(flags) > 12
    assert not [flag for flag in sorted(flags) if f"`{flag}`" not in text]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),  # no proxy of ours: what it claims is nothing
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4"),  # what a client wrote before the proxies did
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4" * 500], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
    ],
)
def test_only_trusted_proxies_are_believed_about_who_is_behind(peer: str, forwarded: list[str], found: str) -> None:
    trusted = load_configuration(None, {}, {"server.trusted_proxies": "10.0.0.0/8"}).server.trusted_proxies
    assert str(source_host(normal_host(peer), forwarded, trusted)) == found


def write_certificate(directory: Path) -> None:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "c.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "k.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


# --- the command ------------------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_drains_and_ends_it(tmp_path: Path, number: int, status: int) -> None:
    server = ServerProcess(tmp_path, "--port", "0", "--log-format", "json", "--log-level", "debug")
    async with raw_client(server.url) as raw:
        await raw.open()
        ended = asyncio.to_thread(server.end, number)
        refusing = asyncio.get_running_loop().create_task(raw.refusal())
        assert await ended == status
        assert (await refusing).code.name == "SHUTTING_DOWN"
    events = [json.loads(line)["event"] for line in server.log.read_text().splitlines()]
    assert events[0] == "listening"
    assert events[-1] == "stopped"


@pytest.mark.processes
async def test_it_speaks_tls(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    server = ServerProcess(tmp_path, "--port", "0", "--tls-cert", "c.pem", "--tls-key", "k.pem")
    try:
        trust = ssl.create_default_context(cafile=tmp_path / "c.pem")
        async with connect(f"wss://127.0.0.1:{server.port}/v1", ssl=trust, proxy=None) as connection:
            assert isinstance(RENDEZVOUS_FRAMES.decode(await connection.recv(decode=False)), Challenge)
    finally:
        assert await asyncio.to_thread(server.end) == 0


@pytest.mark.processes
def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, "--port", "0")
    try:
        second = subprocess.run(
            [sys.executable, "-m", "railgun_signaling", "serve", "--host", "127.0.0.1", "--port", str(server.port)],
            env={"PYTHONPATH": str(ROOT / "signaling")}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        server.end()
    assert second.returncode == 2
    assert "choose another --host or --port" in second.stderr
    assert second.stderr.count("\n") == 1
