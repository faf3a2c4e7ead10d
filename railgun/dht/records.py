"""Records that the DHT holds: typed, signed by their author, numbered, expiring.

Owns: the kinds and their bounds, where a record lies, what makes one valid, which of two is newer.
Must not know: who holds a record, how it travels, what a payload means beyond being the right kind.

Spec: docs/spec/dht.md. A record proves itself: its key is worked out from its kind and author, so that nobody else can
write under it.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

from railgun.crypto.hashing import content_hash
from railgun.crypto.records import verify_record
from railgun.crypto.signing import public_key_of, sign, verify
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import DHT_FUTURE_SECONDS, DHT_ITEMS_MAX, DHT_PAYLOAD_BYTES_MAX, DHT_RECORD_BYTES_MAX
from railgun.wire import cbor
from railgun.wire.cbor import Value
from railgun.wire.records import Ad
from railgun.wire.schema import Bytes, Codec, Uint, shapes_of

RECORD_LABEL: Final = "railgun/dht/record/v1"
KEY_LABEL: Final = "railgun/dht/key/v1"
_TIME_MAX: Final = 2**32 - 1
_RECORD_KIND: Final = 1


class RecordFromFuture(MalformedInput):
    """Issued later than any honest clock says. Code OUTSIDE_WINDOW."""

    def __init__(self) -> None:
        super().__init__("the record is from the future", RefusalCode.OUTSIDE_WINDOW)


class RecordKind(enum.IntEnum):
    """What a record is, and with it whose key signs it."""

    RELAY_AD = 1
    """A relay's ad; by its node key."""
    KEY_BUNDLE = 2
    """A device's prekeys, in up to three parts; by its device key."""
    COMMITTEE_CHANGE = 3
    """Who replaces a dead seat; by r_e, under the tag."""
    TRAVERSAL_HINTS = 4
    """STUN and TURN addresses for a room's members; by r_e, under the tag."""
    SEALED_CONTACT = 5
    """How a member can be reached, sealed under K_e; by r_e, under the tag."""


@dataclass(frozen=True, slots=True)
class KindRules:
    """Bounds of one kind. ``items_max``: records that one author may hold at once, numbered from 0."""

    lifetime_seconds_max: int
    items_max: int


RULES: Final[Mapping[RecordKind, KindRules]] = MappingProxyType(
    {
        RecordKind.RELAY_AD: KindRules(86_400, 1),
        RecordKind.KEY_BUNDLE: KindRules(14 * 86_400, 3),
        RecordKind.COMMITTEE_CHANGE: KindRules(2 * 86_400, 8),
        RecordKind.TRAVERSAL_HINTS: KindRules(2 * 86_400, 8),
        RecordKind.SEALED_CONTACT: KindRules(2 * 86_400, DHT_ITEMS_MAX),
    }
)
"""An epoch lasts a day at most and is kept for some time after: hence two days under a tag."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as signed.

    Attributes:
        author: Ed25519 public key, 32 bytes: node key, device key or R_e, by kind.
        item: which of the author's records of this kind, from 0.
        version: grows with each change; of two the greater counts, of equal ones the greater content hash.
        issued, expires: Unix seconds.
        payload: at most 840 bytes.
        signature: Ed25519, 64 bytes, label ``railgun/dht/record/v1``, over the map without its key.
    """

    kind: Annotated[RecordKind, Uint(255, RecordKind)]
    author: Annotated[bytes, Bytes(32)]
    item: Annotated[int, Uint(DHT_ITEMS_MAX - 1)]
    version: Annotated[int, Uint()]
    issued: Annotated[int, Uint(_TIME_MAX)]
    expires: Annotated[int, Uint(_TIME_MAX)]
    payload: Annotated[bytes, Bytes(0, DHT_PAYLOAD_BYTES_MAX)]
    signature: Annotated[bytes, Bytes(64)]

    def __post_init__(self) -> None:
        rules = RULES[self.kind]
        if self.item >= rules.items_max:
            raise ValueError("no such item of this kind")
        if not self.issued < self.expires <= self.issued + rules.lifetime_seconds_max:
            raise ValueError("a record lives for some time, and no longer than its kind may")


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A record whose signature and payload hold. ``hash`` is the content hash of ``encoded``, 32 bytes."""

    record: Record
    encoded: bytes
    hash: bytes

    @property
    def key(self) -> bytes:
        """Where it lies, 20 bytes."""
        return record_key(self.record.kind, self.record.author)

    @property
    def rank(self) -> tuple[int, bytes]:
        """Of two records with one key and item the greater rank counts."""
        return self.record.version, self.hash


_CODEC: Final[Codec[Record]] = Codec({_RECORD_KIND: Record}, bytes_max=DHT_RECORD_BYTES_MAX)


def record_key(kind: RecordKind, author: bytes) -> bytes:
    """BLAKE2b-160 of label, zero byte, kind and author's key (32 bytes): where an author's records of a kind lie."""
    content = KEY_LABEL.encode() + b"\0" + bytes([kind]) + author
    return hashlib.blake2b(content, digest_size=20).digest()


def sign_record(
    seed: bytes, kind: RecordKind, payload: bytes, *, version: int, issued: int, expires: int, item: int = 0
) -> SignedRecord:
    """A record by the key of a 32-byte seed. Times are Unix seconds. Raises ValueError where a field does not fit."""
    fields = (kind, public_key_of(seed), item, version, issued, expires, payload)
    record = Record(*fields, sign(seed, RECORD_LABEL, signed_content(Record(*fields, bytes(64)))))
    encoded = _CODEC.encode(record)
    return SignedRecord(record, encoded, content_hash(encoded))


def signed_content(record: Record) -> bytes:
    """What the signature covers: the record's map without the signature's key."""
    fields: dict[int, Value] = {0: _RECORD_KIND}
    for index, (name, shape) in enumerate(shapes_of(Record), start=1):
        if name != "signature":
            fields[index] = shape.pack(getattr(record, name))
    return cbor.encode(fields)


def read_record(encoded: bytes, *, now: float) -> SignedRecord:
    """Decode a record and check all that can be checked without knowing where it came from. ``now``: Unix seconds.

    Raises:
        MalformedInput: malformed (MALFORMED), expired or from the future (OUTSIDE_WINDOW), forged (BAD_SIGNATURE).
    """
    record = _CODEC.decode(encoded)
    if record.issued > now + DHT_FUTURE_SECONDS:
        raise RecordFromFuture
    if record.expires <= now:
        raise MalformedInput("the record is expired", RefusalCode.OUTSIDE_WINDOW)
    if not verify(record.author, RECORD_LABEL, signed_content(record), record.signature):
        raise MalformedInput("the record is not signed by its author", RefusalCode.BAD_SIGNATURE)
    if record.kind is RecordKind.RELAY_AD:
        _check_ad(record)
    return SignedRecord(record, encoded, content_hash(encoded))


def _check_ad(record: Record) -> None:
    inner = verify_record(record.payload)
    ad = getattr(inner, "ad", None)
    if not isinstance(ad, Ad) or ad.node_key != record.author:
        raise MalformedInput("not the ad of its author")
    if (ad.issued, ad.issued, ad.expires) != (record.version, record.issued, record.expires):
        raise MalformedInput("an ad's record repeats its times")


def split_payload(payload: bytes) -> tuple[bytes, ...]:
    """A key bundle in parts that fit one record each: the first byte says how many there are.

    Raises ValueError for more than three parts.
    """
    room = DHT_PAYLOAD_BYTES_MAX - 1
    parts = [payload[at : at + room] for at in range(0, len(payload), room)] or [b""]
    if len(parts) > RULES[RecordKind.KEY_BUNDLE].items_max:
        raise ValueError(f"{len(payload)} bytes do not fit {RULES[RecordKind.KEY_BUNDLE].items_max} records")
    return tuple(bytes([len(parts)]) + part for part in parts)


def join_payload(records: Sequence[SignedRecord]) -> bytes | None:
    """What `split_payload` split, from the parts of the newest version that is whole; None if none is."""
    by_version: dict[int, dict[int, bytes]] = {}
    for signed in records:
        by_version.setdefault(signed.record.version, {})[signed.record.item] = signed.record.payload
    for version in sorted(by_version, reverse=True):
        parts = by_version[version]
        first = parts.get(0, b"")
        count = first[0] if first else 0
        whole = [parts.get(item, b"") for item in range(count)]
        if whole and all(part[:1] == first[:1] for part in whole):
            return b"".join(part[1:] for part in whole)
    return None
