"""Every decoder that both languages have, what it gives as plain JSON, and valid inputs to start from.

Owns: the Python half of interop/browser/test/differential/decoders.ts. Must not know: how the other half is run.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from railgun.core.roster_entries import open_entry
from railgun.crypto.contact_sealing import open_contact, seal_contact
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.network_ids import network_content, read_network
from railgun.crypto.records import SignedAd, compose_obituary, sign_testimony, verify_record
from railgun.crypto.sealing import check_envelope, open_envelope, seal_envelope
from railgun.crypto.sessions import VodozemacSessions
from railgun.dht.records import RecordKind, read_record, sign_record
from railgun.errors import ConfigurationError, CryptoError, PeerError, RailGunError, RefusalCode, UsageError
from railgun.links.handshake import CODEC as HANDSHAKES
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Address, EnvelopeKind, NetworkId, NodeKey, RelayContact, RoomId, SizeClass
from railgun.wire import cbor, content, records, roster, sealed
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.contacts import format_contact, parse_contact
from railgun.wire.direct_contacts import DIRECT_CONTACTS
from railgun.wire.envelope import NO_HINT, body_bytes_max
from railgun.wire.frames import FRAMES, PULSES
from railgun.wire.framing import Frame, FrameDecoder, FrameEncoder, Goodbye, goodbye_message, handshake_message
from railgun.wire.invites import Invite, format_invite, parse_invite
from railgun.wire.pairwise import PAIRWISE_BODIES, SHARED_KEYS
from railgun.wire.schema import Codec, shapes_of
from railgun.wire.tag_payloads import COMMITTEE_CHANGES, TRAVERSAL_HINTS
from tests.fuzz.samples import Sampler, codec_samples
from tests.support import ads, rosters

Json = Any
CBOR_BYTES_MAX = 262_144
KEYS = derive_epoch_keys(b"\x01" * 32, 1, 1_700_000_400)
HPKE_SECRET = b"\x02" * 32
HPKE_INFO = b"info"
ISSUED = 1_700_000_000
SERVERS = ("wss://rendezvous.example", "ws://192.0.2.1:8080/v1", "wss://[2001:db8::1]:65535", "wss://a.b/c/d")
SESSIONS = VodozemacSessions()


@dataclass(frozen=True)
class Decoder:
    """``run`` gives plain JSON or raises; ``sample`` makes a valid input. Inputs of a ``text`` decoder are text."""

    name: str
    run: Callable[[Any], Json]
    sample: Callable[[Random], bytes]
    is_text: bool = False


def code_of(error: Exception) -> str:
    """The code by which vectors and the other half name a refusal. Raises what is none."""
    if isinstance(error, PeerError):
        return error.code.name.lower()
    if isinstance(error, CryptoError):
        return "crypto"
    if isinstance(error, ConfigurationError):
        return "invalid_argument"
    if isinstance(error, UsageError):
        return "clock"
    if type(error) is ValueError:
        return "invalid_argument"
    raise error


def outcome(run: Callable[[Any], Json], given: Any) -> dict[str, Json]:
    """As the other half tells it."""
    try:
        return {"answer": run(given)}
    except (RailGunError, ValueError) as error:
        return {"refused": code_of(error)}


def plain(value: Any) -> Json:
    """A field as plain JSON: structures are arrays of their fields, byte strings hexadecimal, absent ones null."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (enum.IntEnum, enum.IntFlag)):
        return int(value)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Address):
        return [value.packed.hex(), value.port]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value


# --- what they give ------------------------------------------------------------------------------


def _of_codec(codec: Codec[Any]) -> Callable[[bytes], Json]:
    def run(data: bytes) -> Json:
        item = codec.decode(data)
        assert codec.encode(item) == data
        kind = next(number for number, cls in codec.classes.items() if cls is type(item))
        return {"kind": kind, "fields": [plain(getattr(item, name)) for name, _ in shapes_of(type(item))]}

    return run


def _tagged(value: cbor.Value) -> Json:
    if isinstance(value, bytes):
        return {"b": value.hex()}
    if isinstance(value, str):
        return {"t": value}
    if isinstance(value, dict):
        return {"m": [[key, _tagged(item)] for key, item in value.items()]}
    return [_tagged(item) for item in value] if isinstance(value, list) else value


def _content(data: bytes) -> Json:
    found = content.decode_content(data)
    if isinstance(found, content.UnsupportedContent):
        return [found.type]
    number = next(number for number, cls in content.CONTENT_TYPES.items() if cls is type(found))
    return [number, *plain(found)]


def _record(data: bytes) -> Json:
    signed = verify_record(data)
    return [signed.hash.hex(), *plain(signed.ad if isinstance(signed, SignedAd) else signed.obituary)]


def _dht_record(data: bytes) -> Json:
    signed = read_record(data, now=ISSUED + 400)
    return [signed.key.hex(), signed.hash.hex(), *plain(signed.record)]


def _entry(data: bytes) -> Json:
    stored = open_entry(data)
    return [stored.author.hex(), stored.number, stored.hash.hex()]


def _messages(data: bytes) -> Json:
    decoder, items, position = FrameDecoder(), [], 0
    while position + 2 <= len(data):
        end = position + 2 + int.from_bytes(data[position : position + 2], "big")
        try:
            items += [_item(item) for item in decoder.decode(data[position + 2 : end])]
        except PeerError as error:
            if not items:
                raise
            return [*items, code_of(error), decoder.frames_dropped]
        position = end
    return [*items, decoder.frames_dropped]


def _item(item: Any) -> Json:
    if isinstance(item, Goodbye):
        return {"type": 2, "code": item.code.name.lower(), "retry_after_ms": item.retry_after_ms}
    return {"type": 0 if isinstance(item, Frame) else 3, "data": item.data.hex()}


def _network(data: bytes) -> Json:
    found = read_network(data)
    kind = 1 if found.kind is NetworkKind.LAN else 0
    return [found.name, kind, found.epoch_seconds, found.overlap_seconds, found.ad_lifetime_seconds]


def _invite(text: str) -> Json:
    found = parse_invite(text)
    contacts = [
        [contact.node_key.hex(), contact.certificate_hash.hex(), [str(address) for address in contact.addresses]]
        for contact in found.contacts
    ]
    keys = [found.network.hex(), found.room.hex(), found.seed.hex()]
    return [*keys, contacts, list(found.rendezvous), format_invite(found)]


def _contact(text: str) -> Json:
    found = parse_contact(text)
    keys = [found.node_key.hex(), found.certificate_hash.hex()]
    return [*keys, [str(address) for address in found.addresses], format_contact(found)]


# --- valid inputs --------------------------------------------------------------------------------


def _of_samples(codec: Codec[Any]) -> Callable[[Random], bytes]:
    def sample(random: Random) -> bytes:
        return Sampler(random, 0.01).encoded(codec, random.choice(list(codec.classes.values())))

    return sample


def _cbor_sample(random: Random) -> bytes:
    codecs: list[Codec[Any]] = [FRAMES, roster.ENTRIES, sealed.SEALED_BODIES, PULSES]
    codec = random.choice(codecs)
    return Sampler(random, 0.01).encoded(codec, random.choice(list(codec.classes.values())))


def _content_sample(random: Random) -> bytes:
    if random.random() < 0.1:
        return cbor.encode([random.randrange(16, 65_536), "whatever"])
    return content.encode_content(Sampler(random, 0.01).instance(random.choice(list(content.CONTENT_TYPES.values()))))


def _record_sample(random: Random) -> bytes:
    index = random.randrange(64)
    if random.random() < 0.5:
        return ads.signed_ad(index, ISSUED + random.randrange(10_000)).encoded
    dead = NodeKey(ads.signed_ad(index, ISSUED).ad.node_key)
    signers = random.sample(range(100, 140), random.randint(1, 5))
    words = tuple(sign_testimony(ads.seed_of(signer), dead, ISSUED + random.randrange(999)) for signer in signers)
    return compose_obituary(dead, words).encoded


def _dht_record_sample(random: Random) -> bytes:
    kind = random.choice(list(RecordKind))
    issued = ISSUED + random.choice((0, 0, 0, 0, 300, 400, 459, 461))
    if kind is RecordKind.RELAY_AD:
        index = random.randrange(9)
        ad = ads.signed_ad(index, issued)
        times = {"version": issued, "issued": issued, "expires": ad.ad.expires}
        return sign_record(ads.seed_of(index), kind, ad.encoded, **times).encoded
    times = {"version": random.randrange(99), "issued": issued, "expires": issued + random.choice((401, 3_600, 86_400))}
    payload = random.randbytes(random.choice((0, 20, 800)))
    return sign_record(random.randbytes(32), kind, payload, item=random.randrange(3), **times).encoded


@functools.cache
def _entries() -> tuple[bytes, ...]:
    """Entries of a room in which something of each kind has happened."""
    names = ("ann", "bob", "cas", "dan", "eve")
    ann, bob, cas, dan, eve = (rosters.Device(name) for name in names)
    room = rosters.new_roster(ann)
    rosters.add(room, ann, bob, admin=True)
    rosters.add(room, bob, cas)
    rosters.invite(room, ann, b"s" * 32)
    rosters.add_by_invite(room, bob, dan, b"s" * 32)
    rosters.change_settings(room, bob, roster.RoomSettings(7))
    rosters.leave(room, dan)
    rosters.remove(room, ann, cas)
    rosters.add_own(room, bob, rosters.Device("bob's other", "bob"))
    rosters.add(room, bob, eve)
    return tuple(room.export())


def _messages_sample(random: Random) -> bytes:
    sizes = random.choices((1, 20, 300, 16_381, 16_382, 40_000), k=random.randint(1, 4))
    frames = [random.randbytes(size) for size in sizes]
    messages = FrameEncoder().encode(frames)
    if random.random() < 0.3:
        messages.append(handshake_message(random.randbytes(random.randint(1, 99))))
    if random.random() < 0.3:
        messages.append(goodbye_message(random.choice(list(RefusalCode)), random.choice((None, 5_000))))
    if random.random() < 0.3:
        random.shuffle(messages)
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def _network_sample(random: Random) -> bytes:
    length = random.randint(10, 86_400)
    overlap = random.randint(1, max(1, length // 4))
    name = random.choice(("home", "Zürich 7", "railgun", "\U0001f600", "a b", "\u4e16\u754c"))
    kind = random.choice(list(NetworkKind))
    return network_content(NetworkParameters(name, kind, length, overlap, random.randint(60, 86_400)))


def _envelope_sample(random: Random) -> bytes:
    size_class = random.choice((SizeClass.SMALL, SizeClass.SMALL, SizeClass.MEDIUM))
    kind = random.choice(list(EnvelopeKind))
    hint = random.randbytes(8) if kind in (EnvelopeKind.GROUP, EnvelopeKind.PAIRWISE) else NO_HINT
    body = random.randbytes(random.randint(0, body_bytes_max(size_class)))
    return seal_envelope(KEYS, kind, hint, body, size_class, random.randbytes(12))


def _sealed_contact_sample(random: Random) -> bytes:
    return seal_contact(KEYS, random.randbytes(random.randint(0, 700)), random.randbytes(12))


def _hpke_sample(random: Random) -> bytes:
    public = SESSIONS.hpke_public_key(HPKE_SECRET)
    return SESSIONS.hpke_seal(public, HPKE_INFO, random.randbytes(random.randint(0, 200)))


def _contact_of(random: Random) -> RelayContact:
    sampler = Sampler(random)
    addresses = tuple(sampler.shape(records.AddressShape()) for _ in range(random.randint(1, 4)))
    return RelayContact(NodeKey(random.randbytes(32)), addresses, random.randbytes(32))


def _invite_sample(random: Random) -> bytes:
    contacts = tuple(_contact_of(random) for _ in range(random.randrange(4)))
    servers = tuple(random.sample(SERVERS, random.choice((0, 0, 1, 2))))
    keys = NetworkId(random.randbytes(32)), RoomId(random.randbytes(32)), random.randbytes(32)
    invite = Invite(*keys, contacts, servers)
    text = format_invite(invite, random.choice((None, "https://example.org/chat")))
    return (random.choice(("", " ", "\n\t", "\u3000")) + text + random.choice(("", "\r\n", "\x1f"))).encode()


def _contact_sample(random: Random) -> bytes:
    return format_contact(_contact_of(random)).encode()


CODECS: dict[str, Codec[Any]] = {
    "frames": FRAMES,
    "pulses": PULSES,
    "handshakes": HANDSHAKES,
    "certificates": CERTIFICATES,
    "prekeys": roster.PREKEYS,
    "entries": roster.ENTRIES,
    "signed_entries": roster.SIGNED_ENTRIES,
    "join_requests": roster.JOIN_REQUESTS,
    "sealed_bodies": sealed.SEALED_BODIES,
    "day_secrets": sealed.DAY_SECRETS,
    "answers": sealed.ANSWERS,
    "signed_answers": sealed.SIGNED_ANSWERS,
    "pairwise_bodies": PAIRWISE_BODIES,
    "shared_keys": SHARED_KEYS,
    "committee_changes": COMMITTEE_CHANGES,
    "traversal_hints": TRAVERSAL_HINTS,
    "direct_contacts": DIRECT_CONTACTS,
}


def _extras_sample(random: Random) -> bytes:
    return codec_samples(records._EXTRAS_CODEC, random)[0]


def decoders() -> list[Decoder]:
    """All of them."""
    return [
        *(Decoder(name, _of_codec(codec), _of_samples(codec)) for name, codec in CODECS.items()),
        Decoder("cbor", lambda data: _tagged(cbor.decode(data, bytes_max=CBOR_BYTES_MAX)), _cbor_sample),
        Decoder("content", _content, _content_sample),
        Decoder("extras", lambda data: plain(records.decode_extras(data)), _extras_sample),
        Decoder("record", _record, _record_sample),
        Decoder("dht_record", _dht_record, _dht_record_sample),
        Decoder("entry", _entry, lambda random: random.choice(_entries())),
        Decoder("messages", _messages, _messages_sample),
        Decoder("network", _network, _network_sample),
        Decoder("envelope", lambda data: check_envelope(data)[1].hex(), _envelope_sample),
        Decoder("opened_envelope", lambda data: plain(open_envelope(KEYS, data)), _envelope_sample),
        Decoder("sealed_contact", lambda data: open_contact(KEYS, data).hex(), _sealed_contact_sample),
        Decoder("hpke", lambda data: SESSIONS.hpke_open(HPKE_SECRET, HPKE_INFO, data).hex(), _hpke_sample),
        Decoder("invite", _invite, _invite_sample, is_text=True),
        Decoder("contact", _contact, _contact_sample, is_text=True),
    ]
