"""Every decoder of the project as a fuzz target: what it takes, what it may raise, what must hold of what it accepts.

Owns: the list, the check that hypothesis and atheris share, the valid inputs that mutations start from.
Must not know: who feeds it. A target's ``decode`` returns a value or raises one of its ``errors``; with ``encode``,
what was accepted encodes to the very bytes that it came from.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import (
    CONTACT_TEXT_MAX,
    CONTENT_BYTES_MAX,
    FRAME_BYTES_MAX,
    INVITE_LINK_CHARACTERS_MAX,
    MESSAGE_BYTES_MAX,
)
from railgun.types import ENVELOPE_SIZES_BYTES, EnvelopeKind, NodeKey, RelayContact, SizeClass
from railgun.wire import cbor, contacts, content, envelope, framing, invites, records
from railgun.wire.frames import Publish
from railgun.wire.roster import PREKEYS
from railgun.wire.schema import Codec
from tests.fuzz.samples import Sampler, all_codecs, codec_samples, text_of

VECTORS = Path(__file__).resolve().parents[2] / "interop" / "vectors"
SEED = 20_240
MEMORY_BYTES_AN_ITEM = 128
COPIES_MAX = 8
MEMORY_BYTES_FREE = 2 << 20


@dataclass(frozen=True)
class Target:
    """One decoder.

    ``bytes_max`` is the longest input that it has to look at; a longer one is refused unread.
    """

    name: str
    decode: Callable[[bytes], Any]
    errors: tuple[type[BaseException], ...]
    seeds: Callable[[], Sequence[bytes]]
    encode: Callable[[Any], bytes] | None = None
    bytes_max: int = FRAME_BYTES_MAX
    group: str = field(default="wire", compare=False)

    def check(self, data: bytes) -> bool:
        """Whether ``data`` was accepted; whatever is against the rules raises."""
        try:
            value = self.decode(data)
        except self.errors:
            return False
        if self.encode is not None:
            again = self.encode(value)
            if again != data:
                raise AssertionError(f"{self.name}: accepted {data.hex()}, which encodes to {again.hex()}")
        return True

    def memory_bytes_max(self, input_bytes: int) -> int:
        """What decoding an input may take at most: items, a few copies of strings, and what a library needs anyway."""
        looked_at = min(input_bytes, self.bytes_max)
        return MEMORY_BYTES_AN_ITEM * min(looked_at, cbor.ITEMS_MAX) + COPIES_MAX * looked_at + MEMORY_BYTES_FREE

    @functools.cached_property
    def seed_inputs(self) -> tuple[bytes, ...]:
        """Valid inputs, made once."""
        return tuple(self.seeds())


@functools.cache
def vector_bytes(*names: str) -> tuple[bytes, ...]:
    """Every long hexadecimal string in the vectors of these names (all, without names): valid and refused inputs."""
    found: dict[bytes, None] = {}

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, str) and len(value) >= 40 and len(value) % 2 == 0:
            try:
                found[bytes.fromhex(value)] = None
            except ValueError:
                return

    for path in sorted(VECTORS.glob("*.json")):
        if not names or path.stem in names:
            walk(json.loads(path.read_text()))
    return tuple(found)


def _codec_target(label: str, codec: Codec[Any]) -> Target:
    return Target(
        name=label,
        decode=codec.decode,
        errors=(MalformedInput,),
        encode=codec.encode,
        seeds=lambda: codec_samples(codec, Random(SEED), each=2),
        bytes_max=codec.bytes_max,
        group="codec",
    )


def _decode_inner(data: bytes) -> tuple[envelope.Inner, SizeClass]:
    inner = envelope.unpack_inner(data)
    return inner, next(size for size in SizeClass if envelope.inner_bytes(size) == len(data))


def _encode_inner(opened: tuple[envelope.Inner, SizeClass]) -> bytes:
    inner, size_class = opened
    return envelope.pack_inner(inner.kind, inner.hint, inner.body, size_class)


def _inner_seeds() -> list[bytes]:
    kinds = [(1, b"hinthint"), (2, b"hinthint"), (3, envelope.NO_HINT), (0, envelope.NO_HINT)]
    return [
        envelope.pack_inner(EnvelopeKind(kind), hint, bytes([kind]) * length, size)
        for kind, hint in kinds
        for size in (SizeClass.SMALL, SizeClass.MEDIUM)
        for length in (0, 1, envelope.body_bytes_max(size))
    ]


def _envelope_seeds() -> list[bytes]:
    return [data for data in vector_bytes("envelopes") if len(data) in ENVELOPE_SIZES_BYTES]


def _encode_envelope(parsed: envelope.ParsedEnvelope) -> bytes:
    rest = parsed.nonce + parsed.sealed + parsed.signature
    return envelope.pack_header(parsed.header) + rest


def _decode_message(data: bytes) -> list[framing.Item]:
    decoder = framing.FrameDecoder()
    items = decoder.decode(data)
    if decoder.held_bytes > len(data):
        raise AssertionError("more is held than came")
    return items


def _message_seeds() -> list[bytes]:
    frames = [b"a", b"b" * 300, b"c" * 16_381, b"d" * FRAME_BYTES_MAX]
    messages = framing.FrameEncoder().encode(frames)
    return [*messages, framing.goodbye_message(RefusalCode.BUSY, 5), framing.handshake_message(b"h" * 90)]


def _contact_text(data: bytes) -> object:
    contact = contacts.parse_contact(text_of(data))
    if contacts.parse_contact(contacts.format_contact(contact)) != contact:
        raise AssertionError("a contact that does not settle")
    return contact


def _contact_seeds() -> list[bytes]:
    sampler = Sampler(Random(SEED))
    made = [RelayContact(NodeKey(bytes([i]) * 32), (sampler._address(),), bytes(32)) for i in range(8)]
    return [contacts.format_contact(contact).encode() for contact in made]


def _invite_text(data: bytes) -> object:
    invite = invites.parse_invite(text_of(data))
    if invites.parse_invite(invites.format_invite(invite)) != invite:
        raise AssertionError("an invite that does not settle")
    return invite


def _invite_seeds() -> list[bytes]:
    made = []
    for encoded in codec_samples(all_codecs()["wire.invites.invites"], Random(SEED), each=6):
        text = base64.urlsafe_b64encode(encoded + invites._checksum(encoded)).rstrip(b"=")
        made += [invites.LINK_PREFIX.encode() + text, b"https://x.example/#" + text]
    return made


def _content_seeds() -> list[bytes]:
    sampler = Sampler(Random(SEED))
    made = [sampler.instance(cls) for cls in content.CONTENT_TYPES.values() for _ in range(2)]
    return [*(content.encode_content(item) for item in made), cbor.encode([4_000, "later", b"type"])]


def _cbor_seeds() -> list[bytes]:
    publish = Publish(b"e" * 256, bytes(8), None)
    return [
        cbor.encode([1, -1, b"x", "y", None, True, {0: [], 23: {}}]),
        all_codecs()["wire.frames.frames"].encode(publish),
    ]


def _record_seeds() -> list[bytes]:
    made = codec_samples(all_codecs()["wire.records.record_codec"], Random(SEED), each=3)
    return [*made, *vector_bytes("records")]


@functools.cache
def wire_targets() -> tuple[Target, ...]:
    """What stands in `railgun.wire`, and every codec of the package."""
    malformed = (MalformedInput,)
    return (
        *(_codec_target(label, codec) for label, codec in all_codecs().items()),
        Target("cbor", lambda data: cbor.decode(data, bytes_max=FRAME_BYTES_MAX), malformed, _cbor_seeds, cbor.encode),
        Target(
            "content",
            content.decode_content,
            malformed,
            _content_seeds,
            content.encode_content,
            bytes_max=CONTENT_BYTES_MAX,
        ),
        Target(
            "record",
            records.decode_record,
            malformed,
            _record_seeds,
            records.encode_record,
            bytes_max=700,
        ),
        Target("envelope", envelope.parse_envelope, malformed, _envelope_seeds, _encode_envelope, bytes_max=65_536),
        Target("inner", _decode_inner, malformed, _inner_seeds, _encode_inner, bytes_max=65_406),
        Target("message", _decode_message, malformed, _message_seeds, bytes_max=MESSAGE_BYTES_MAX),
        Target("contact", _contact_text, malformed, _contact_seeds, bytes_max=CONTACT_TEXT_MAX),
        Target("invite", _invite_text, malformed, _invite_seeds, bytes_max=INVITE_LINK_CHARACTERS_MAX),
        Target("prekeys", PREKEYS.decode, malformed, lambda: codec_samples(PREKEYS, Random(SEED)), PREKEYS.encode),
    )


def all_targets() -> tuple[Target, ...]:
    """Every target of the project."""
    from tests.fuzz import targets_crypto, targets_files, targets_links

    return (
        *wire_targets(),
        *targets_crypto.crypto_targets(),
        *targets_links.links_targets(),
        *targets_files.files_targets(),
    )
