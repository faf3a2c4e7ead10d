"""Fuzz targets of `railgun.links`: what arrives before and while a peer proves who it is."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from random import Random

from aioice import stun as ice

from railgun.errors import LinkError, MalformedInput, PeerError
from railgun.links import dtls_cookie, stun
from railgun.links.handshake import CODEC, DiallerProof, Hello, Instant, ListenerProof, LocalEnd, ProofReply
from railgun.links.settings import VERSION
from railgun.types import NetworkId, NodeKey
from railgun.wire.framing import HANDSHAKE_BYTES_MAX
from tests.fuzz.samples import codec_samples
from tests.fuzz.sctp_lab import FIRST_TSN, SctpLab, chunk, data_chunk
from tests.fuzz.targets import SEED, Target

DATAGRAM_BYTES_MAX = 65_507
TRANSACTION = b"transaction!"
NOW = Instant(10.0, 1_700_000_000.0)
NETWORK = NetworkId(b"\x61" * 32)
LISTENER = LocalEnd(NETWORK, b"\x62" * 32, True, b"\x63" * 32, b"\x64" * 32)
DIALLER = LocalEnd(NETWORK, b"\x65" * 32, False, b"\x66" * 32, b"\x67" * 32)


class Refused(Exception):
    """A decoder that answers None for what it does not take: an error here."""


# --- STUN ------------------------------------------------------------------------------------------


def _answer(data: bytes) -> bytes:
    if not stun.is_stun(data):
        raise Refused
    for host in ("192.0.2.1", "2001:db8::1"):
        response = stun.answer(data, host, 9_000)
        if response is None:
            continue
        if len(response) > len(data):
            raise AssertionError("a STUN answer longer than its question")
        if not stun.is_answer(response, data[8:20]):
            raise AssertionError("a STUN answer that a dialler does not take")
        if ice.parse_message(response).attributes["XOR-MAPPED-ADDRESS"] != (str(ipaddress.ip_address(host)), 9_000):
            raise AssertionError("a STUN answer with another address")
    return data


def _is_answer(data: bytes) -> None:
    if not stun.is_answer(data, TRANSACTION):
        raise Refused


def _stun_seeds() -> list[bytes]:
    check = stun.check("abcd", TRANSACTION, 7)
    long_check = stun.check("abcd" * 60, TRANSACTION, 2**64 - 1)
    answers = [stun.answer(long_check, host, 9_000) for host in ("192.0.2.1", "2001:db8::1")]
    return [check, long_check, *(answer for answer in answers if answer is not None)]


# --- DTLS hellos -----------------------------------------------------------------------------------


def _hello(data: bytes) -> bytes:
    hello = dtls_cookie.parse_hello(data)
    if hello is None:
        raise Refused
    if len(hello.client_random) != 32 or len(hello.record_sequence) != 6:
        raise AssertionError("a hello with fields of another length")
    if hello.client_random not in data or hello.cookie not in data:
        raise AssertionError("a hello of bytes that did not come")
    request = dtls_cookie.hello_verify_request(hello, bytes(dtls_cookie.COOKIE_BYTES))
    if len(request) > len(data):
        raise AssertionError("a HelloVerifyRequest longer than its hello")
    jar = dtls_cookie.CookieJar(bytes)
    jar.spend(("192.0.2.1", 9), hello.client_random, hello.cookie, 0.0)
    return data


def _hello_seeds() -> list[bytes]:
    from tests.support.raw_dialler import first_hello

    _, plain = first_hello()
    hello = dtls_cookie.parse_hello(plain)
    assert hello is not None
    position = plain.index(hello.client_random) + 32
    after = position + 1 + plain[position]
    grown = dtls_cookie.COOKIE_BYTES
    with_cookie = bytearray(plain[:after] + bytes([grown]) + b"c" * grown + plain[after + 1 :])
    with_cookie[11:13] = (len(with_cookie) - 13).to_bytes(2, "big")
    with_cookie[14:17] = with_cookie[22:25] = (len(with_cookie) - 25).to_bytes(3, "big")
    return [plain, bytes(with_cookie)]


# --- the in-band proof -----------------------------------------------------------------------------


def _listener(data: bytes) -> object:
    """A listener after a good Hello, and one before it."""
    errors = []
    for greeted in (False, True):
        proof = ListenerProof(LISTENER, DIALLER.certificate_hash)
        if greeted:
            proof.receive(CODEC.encode(Hello(VERSION, NETWORK, DIALLER.nonce)), NOW)
        try:
            return proof.receive(data, NOW)
        except PeerError as error:
            errors.append(error)
    raise errors[-1]


def _dialler(data: bytes) -> object:
    expected = NodeKey(stun_free_public_key())
    proof = DiallerProof(DIALLER, expected, LISTENER.certificate_hash)
    proof.begin(NOW)
    return proof.receive(data, NOW)


def stun_free_public_key() -> bytes:
    """The listener's node key."""
    from railgun.crypto.signing import public_key_of

    return public_key_of(LISTENER.signing_seed)


def _proof_seeds() -> list[bytes]:
    listener = ListenerProof(LISTENER, DIALLER.certificate_hash)
    dialler = DiallerProof(DIALLER, NodeKey(stun_free_public_key()), LISTENER.certificate_hash)
    hello = dialler.begin(NOW)
    proof = listener.receive(hello, NOW)
    assert proof is not None
    reply = dialler.receive(proof, NOW)
    assert reply is not None
    assert isinstance(CODEC.decode(reply), ProofReply)
    listener.receive(reply, NOW)
    return [hello, proof, reply, listener.accepted(), *codec_samples(CODEC, Random(SEED))]


# --- SCTP ------------------------------------------------------------------------------------------


def _chunks_of(data: bytes) -> list[bytes]:
    """One or more packets' chunks: cut at 0xFE bytes pairs, so that a fuzzer can make sequences."""
    return data.split(b"\xfe\xfe\xfe\xfe")[:16]


def _sctp(up: bool, is_listener: bool) -> Callable[[bytes], object]:
    def decode(data: bytes) -> None:
        with SctpLab(up=up, is_listener=is_listener) as lab:
            for chunks in _chunks_of(data):
                if not lab.feed(chunks):
                    raise Refused
            receiving = lab.victim._receiving
            if receiving is not None and receiving.held_bytes > len(data):
                raise AssertionError("more is held than came")

    return decode


def _sctp_seeds() -> list[bytes]:
    made = [data_chunk(FIRST_TSN, b"whole"), data_chunk(FIRST_TSN, b"first", 6) + data_chunk(FIRST_TSN + 1, b"last", 5)]
    made += [chunk(kind, 0, bytes(24)) for kind in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 14, 130, 192)]
    with SctpLab(up=False) as lab:
        while lab.to_victim or lab.to_other:
            for wire, association in ((lab.to_victim, lab.victim), (lab.to_other, lab.other)):
                packets, wire[:] = wire[:], []
                for packet in packets:
                    made.append(packet[12:])
                    association.receive(packet)
    return [*made, b"\xfe\xfe\xfe\xfe".join(made[:3])]


@functools.cache
def links_targets() -> tuple[Target, ...]:
    """All of them."""
    refused = (Refused,)
    return (
        Target("stun_answer", _answer, refused, _stun_seeds, bytes, DATAGRAM_BYTES_MAX, group="links"),
        Target("stun_is_answer", _is_answer, refused, _stun_seeds, bytes_max=DATAGRAM_BYTES_MAX, group="links"),
        Target("dtls_hello", _hello, refused, _hello_seeds, bytes, DATAGRAM_BYTES_MAX, group="links"),
        Target("listener", _listener, (PeerError,), _proof_seeds, bytes_max=HANDSHAKE_BYTES_MAX, group="links"),
        Target("dialler", _dialler, (PeerError, LinkError), _proof_seeds, bytes_max=HANDSHAKE_BYTES_MAX, group="links"),
        *(
            Target(
                f"sctp_{'up' if up else 'new'}_{'listener' if is_listener else 'dialler'}",
                _sctp(up, is_listener),
                (Refused, MalformedInput),
                _sctp_seeds,
                bytes_max=16_384,
                group="sctp",
            )
            for up in (True, False)
            for is_listener in (True, False)
        ),
    )
