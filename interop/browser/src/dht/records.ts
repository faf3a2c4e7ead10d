/**
 * Records that the DHT holds, as a client checks them: typed, signed by their author, numbered, expiring.
 *
 * Owns: the kinds and their bounds, where a record lies, what makes one valid. Must not know: who holds a record, how
 * it travels, what a payload means beyond being the right kind. Spec: docs/spec/dht.md. A record proves itself.
 */
import { concatBytes, equalBytes, utf8 } from "../bytes.js";
import { contentHash } from "../crypto/hashing.js";
import { verifyRecord } from "../crypto/records.js";
import { verify, type SigningKey } from "../crypto/signing.js";
import { InvalidArgument, MalformedInput, RefusalCode } from "../errors.js";
import {
  DHT_FUTURE_SECONDS,
  DHT_ITEMS_MAX,
  DHT_PAYLOAD_BYTES_MAX,
  DHT_RECORD_BYTES_MAX,
  U32_MAX,
} from "../limits.js";
import { sodium } from "../sodium.js";
import { encode } from "../wire/cbor.js";
import { bytes, Codec, oneOf, structure, uint, type Coded } from "../wire/schema.js";

const RECORD_LABEL = "railgun/dht/record/v1";
const KEY_LABEL = utf8("railgun/dht/key/v1\0");
const DAY = 86_400;

/** What a record is, and with it whose key signs it. */
export const RecordKind = {
  RELAY_AD: 1,
  KEY_BUNDLE: 2,
  COMMITTEE_CHANGE: 3,
  TRAVERSAL_HINTS: 4,
  SEALED_CONTACT: 5,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

interface KindRules {
  readonly lifetimeSecondsMax: number;
  readonly itemsMax: number;
}

const RULES: Readonly<Record<RecordKind, KindRules>> = {
  [RecordKind.RELAY_AD]: { lifetimeSecondsMax: DAY, itemsMax: 1 },
  [RecordKind.KEY_BUNDLE]: { lifetimeSecondsMax: 14 * DAY, itemsMax: 3 },
  [RecordKind.COMMITTEE_CHANGE]: { lifetimeSecondsMax: 2 * DAY, itemsMax: 8 },
  [RecordKind.TRAVERSAL_HINTS]: { lifetimeSecondsMax: 2 * DAY, itemsMax: 8 },
  [RecordKind.SEALED_CONTACT]: { lifetimeSecondsMax: 2 * DAY, itemsMax: DHT_ITEMS_MAX },
};

const RECORD = structure(
  "DhtRecord",
  {
    kind: oneOf<RecordKind>(RecordKind),
    author: bytes(32),
    item: uint(DHT_ITEMS_MAX - 1),
    version: uint(),
    issued: uint(U32_MAX),
    expires: uint(U32_MAX),
    payload: bytes(0, DHT_PAYLOAD_BYTES_MAX),
    signature: bytes(64),
  },
  ({ kind, item, issued, expires }) => {
    const { lifetimeSecondsMax, itemsMax } = RULES[kind];
    if (item >= itemsMax) throw new InvalidArgument("no such item of this kind");
    if (expires <= issued || expires > issued + lifetimeSecondsMax) {
      throw new InvalidArgument("a record lives for some time, and no longer than its kind may");
    }
  },
);
const RECORDS = new Codec({ DhtRecord: [1, RECORD] } as const, DHT_RECORD_BYTES_MAX);
export type DhtRecord = Coded<typeof RECORDS>;

/** A record whose signature and payload hold. `key`: where it lies, 20 bytes; `hash`: content hash of `encoded`. */
export interface SignedDhtRecord {
  readonly record: DhtRecord;
  readonly encoded: Uint8Array;
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
}

/** BLAKE2b-160 of label, zero byte, kind and author's key: where an author's records of a kind lie. */
export function recordKey(kind: RecordKind, author: Uint8Array): Uint8Array {
  return sodium.crypto_generichash(20, concatBytes(KEY_LABEL, Uint8Array.of(kind), author), null);
}

/** A record by `key`. Times are Unix seconds. Raises InvalidArgument where a field does not fit. */
export function signRecord(
  key: SigningKey,
  fields: Omit<DhtRecord, "is" | "author" | "signature">,
): SignedDhtRecord {
  const unsigned: DhtRecord = { is: "DhtRecord", author: key.publicKey, ...fields, signature: new Uint8Array(64) };
  const record = { ...unsigned, signature: key.sign(RECORD_LABEL, signedContent(unsigned)) };
  return signedOf(record, RECORDS.encode(record));
}

/**
 * Decode a record and check all that can be checked without knowing where it came from. `now`: Unix seconds.
 *
 * Raises MalformedInput: malformed (MALFORMED), expired or from the future (OUTSIDE_WINDOW), forged (BAD_SIGNATURE).
 */
export function readRecord(encoded: Uint8Array, now: number): SignedDhtRecord {
  const record = RECORDS.decode(encoded);
  if (record.issued > now + DHT_FUTURE_SECONDS || record.expires <= now) {
    throw new MalformedInput("the record is expired, or from the future", RefusalCode.OUTSIDE_WINDOW);
  }
  if (!verify(record.author, RECORD_LABEL, signedContent(record), record.signature)) {
    throw new MalformedInput("the record is not signed by its author", RefusalCode.BAD_SIGNATURE);
  }
  if (record.kind === RecordKind.RELAY_AD) checkAd(record);
  return signedOf(record, encoded);
}

/** A key bundle in parts that fit one record each: the first byte says how many there are. Raises InvalidArgument. */
export function splitPayload(payload: Uint8Array): Uint8Array[] {
  const room = DHT_PAYLOAD_BYTES_MAX - 1;
  const count = Math.max(1, Math.ceil(payload.length / room));
  if (count > RULES[RecordKind.KEY_BUNDLE].itemsMax) throw new InvalidArgument("too long for a key bundle");
  return Array.from({ length: count }, (_, index) =>
    concatBytes(Uint8Array.of(count), payload.subarray(index * room, (index + 1) * room)));
}

function signedContent(record: DhtRecord): Uint8Array {
  return encode(RECORDS.pack(record, ["signature"]));
}

function signedOf(record: DhtRecord, encoded: Uint8Array): SignedDhtRecord {
  return { record, encoded, key: recordKey(record.kind, record.author), hash: contentHash(encoded) };
}

function checkAd({ author, version, issued, expires, payload }: DhtRecord): void {
  const { record: ad } = verifyRecord(payload);
  if (ad.is !== "Ad" || !equalBytes(ad.nodeKey, author)) throw new MalformedInput("not the ad of its author");
  if (ad.issued !== version || ad.issued !== issued || ad.expires !== expires) {
    throw new MalformedInput("an ad's record repeats its times");
  }
}
