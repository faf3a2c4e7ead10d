/**
 * Bodies of sealed envelopes: keys on their way to devices, requests for them, what is said in a lobby, pieces.
 *
 * Owns: their fields and bounds, what signatures and HPKE contexts cover. Must not know: who deserves what.
 * Spec: docs/spec/rooms.md, sealed bodies.
 */
import { InvalidArgument } from "../errors.js";
import {
  DELIVERY_ITEMS_MAX,
  FRAGMENTS_MAX,
  GENERATIONS_LIVE_MAX,
  KEY_REQUEST_ITEMS_MAX,
  KEY_REQUEST_SENDERS_MAX,
  LOBBY_CHUNKS_MAX,
  ROOM_DEVICES_MAX,
  ROSTER_ENTRIES_MAX,
  ROSTER_ENTRY_BYTES_MAX,
  U32_MAX,
} from "../limits.js";
import { EnvelopeKind, SizeClass } from "../types.js";
import { encode } from "./cbor.js";
import { bodyBytesMax, HINT_BYTES } from "./envelope.js";
import { CERTIFICATE, DAY, HASH, JOIN_PROOF_FIELD, KEY, PREKEY_FIELD, SIGNATURE, TIME } from "./roster.js";
import { array, bytes, Codec, nested, oneOf, optional, structure, uint, type Coded, type Of } from "./schema.js";

export const SEALED_BODY_BYTES_MAX = bodyBytesMax(SizeClass.LARGE);
export const HPKE_ADDED_BYTES = 1_136;
/** Plaintext of one chunk of an answer; with HPKE and fields it fits the largest envelope. */
export const CHUNK_BYTES = 60_000;
const ANSWER_BYTES_MAX = CHUNK_BYTES * LOBBY_CHUNKS_MAX;
/** Data of one fragment; with its fields, and the hashes of 19 of them, it fits an envelope of 4096 bytes. */
export const FRAGMENT_DATA_BYTES = 3_600;
export const FRAGMENT_HASH_BYTES = 16;

const GENERATION = uint(U32_MAX);

/** A generation's secret under HPKE for one device, signed by the admin's. */
const SEALED_SECRET = structure("SealedSecret", {
  recipient: KEY,
  sealed: bytes(HPKE_ADDED_BYTES + 1, HPKE_ADDED_BYTES + 256),
  signature: SIGNATURE,
});

/** D_d of generation (g, c), whose first day is `firstDay`. */
const DAY_SECRET = structure("DaySecret", {
  generation: GENERATION,
  commitment: HASH,
  firstDay: DAY,
  day: DAY,
  secret: bytes(32),
});
export type DaySecret = Of<typeof DAY_SECRET>;
const DAY_SECRET_ARRAY = array(nested(DAY_SECRET), GENERATIONS_LIVE_MAX, 1);

const GENERATION_DELIVERY = structure("GenerationDelivery", {
  author: KEY,
  generation: GENERATION,
  commitment: HASH,
  firstDay: DAY,
  items: array(nested(SEALED_SECRET), DELIVERY_ITEMS_MAX, 1),
});
const KEY_REQUEST = structure(
  "KeyRequest",
  {
    author: KEY,
    time: TIME,
    hints: array(bytes(8), KEY_REQUEST_ITEMS_MAX),
    senders: array(KEY, KEY_REQUEST_SENDERS_MAX),
    prekey: optional(PREKEY_FIELD),
    signature: SIGNATURE,
  },
  ({ hints, senders }) => {
    if (hints.length === 0 && senders.length === 0) throw new InvalidArgument("a request for nothing");
  },
);
const GENERATION_REQUEST = structure("GenerationRequest", {
  author: KEY,
  commitments: array(HASH, GENERATIONS_LIVE_MAX, 1),
  signature: SIGNATURE,
});
const DAY_DELIVERY = structure("DayDelivery", {
  author: KEY,
  recipient: KEY,
  sealed: bytes(HPKE_ADDED_BYTES + 1, HPKE_ADDED_BYTES + 2_048),
  signature: SIGNATURE,
});
const JOIN_POST = structure("JoinPost", {
  room: KEY,
  device: KEY,
  certificate: CERTIFICATE,
  proof: JOIN_PROOF_FIELD,
  prekey: optional(PREKEY_FIELD),
});
export const ANSWER_CHUNK = structure(
  "AnswerChunk",
  {
    recipient: KEY,
    answerId: bytes(8),
    index: uint(LOBBY_CHUNKS_MAX - 1),
    count: uint(LOBBY_CHUNKS_MAX),
    sealed: bytes(HPKE_ADDED_BYTES + 1, HPKE_ADDED_BYTES + CHUNK_BYTES),
  },
  ({ index, count }) => {
    if (index >= count) throw new InvalidArgument("chunk beyond the last");
  },
);
const ROSTER_REQUEST = structure("RosterRequest", { author: KEY, time: TIME, digest: HASH, signature: SIGNATURE });
/** A piece of a body, for rooms in which one size alone is sent. `hashes` are those of all pieces in order. */
const FRAGMENT = structure(
  "Fragment",
  {
    kind: oneOf(EnvelopeKind),
    hint: bytes(HINT_BYTES),
    hashes: array(bytes(FRAGMENT_HASH_BYTES), FRAGMENTS_MAX, 2),
    index: uint(FRAGMENTS_MAX - 1),
    data: bytes(1, FRAGMENT_DATA_BYTES),
  },
  ({ index, hashes }) => {
    if (index >= hashes.length) throw new InvalidArgument("fragment beyond the last");
  },
);

export const SEALED_BODIES = new Codec(
  {
    GenerationDelivery: [2, GENERATION_DELIVERY],
    KeyRequest: [3, KEY_REQUEST],
    GenerationRequest: [4, GENERATION_REQUEST],
    DayDelivery: [5, DAY_DELIVERY],
    JoinPost: [6, JOIN_POST],
    AnswerChunk: [7, ANSWER_CHUNK],
    RosterRequest: [8, ROSTER_REQUEST],
    Fragment: [9, FRAGMENT],
  } as const,
  SEALED_BODY_BYTES_MAX,
);
export type SealedBody = Coded<typeof SEALED_BODIES>;
export type Fragment = Extract<SealedBody, { readonly is: "Fragment" }>;

/** What a holder gives: the secrets of one day of every live generation that it has. */
export const DAY_SECRETS = new Codec(
  { DaySecrets: [1, structure("DaySecrets", { secrets: DAY_SECRET_ARRAY })] } as const,
  2_048,
);

/** What a joiner is told: the whole roster, the newest bundles, and the keys from this day on. */
const ANSWER = structure("Answer", {
  room: KEY,
  author: KEY,
  recipient: KEY,
  time: TIME,
  entries: array(bytes(1, ROSTER_ENTRY_BYTES_MAX), 2 * ROSTER_ENTRIES_MAX, 1),
  prekeys: array(PREKEY_FIELD, ROOM_DEVICES_MAX),
  secrets: DAY_SECRET_ARRAY,
});
export const ANSWERS = new Codec({ Answer: [1, ANSWER] } as const, ANSWER_BYTES_MAX - 128);
/** `RemovalNotice`: to a device that is out and asks, the entries that say so; they prove themselves. */
export const SIGNED_ANSWERS = new Codec(
  {
    RemovalNotice: [2, structure("RemovalNotice", {
      entries: array(bytes(1, ROSTER_ENTRY_BYTES_MAX), ROSTER_ENTRIES_MAX, 1),
    })],
    SignedAnswer: [1, structure("SignedAnswer", { body: bytes(1, ANSWER_BYTES_MAX - 128), signature: SIGNATURE })],
  } as const,
  ANSWER_BYTES_MAX,
);

/** HPKE's `info`, and what a signature covers: label and parts as one canonical array, so that no two agree. */
export function context(label: string, ...parts: readonly (Uint8Array | number)[]): Uint8Array {
  return encode([label, ...parts]);
}

/** What the signature of a KeyRequest covers. */
export function keyRequestContent(
  room: Uint8Array,
  author: Uint8Array,
  time: number,
  hints: readonly Uint8Array[],
  senders: readonly Uint8Array[],
): Uint8Array {
  return encode([room, author, time, hints, senders]);
}

/** What the signature of a GenerationRequest covers. */
export function generationRequestContent(
  room: Uint8Array,
  author: Uint8Array,
  commitments: readonly Uint8Array[],
): Uint8Array {
  return encode([room, author, commitments]);
}
