/**
 * Bodies of pairwise envelopes: what one device tells others, each under Olm, packed together.
 *
 * Owns: their fields and bounds, what the signature covers, what stands under Olm. Must not know: sessions, who may
 * say what. Spec: docs/spec/messages.md, pairwise bodies.
 */
import { OLM_MESSAGE_BYTES_MAX, PAIRWISE_ITEMS_MAX, PAIRWISE_KEYS_MAX } from "../limits.js";
import { encode } from "./cbor.js";
import { HASH, KEY, SIGNATURE, TIME } from "./roster.js";
import { array, BOOL, bytes, Codec, nested, structure, type Coded, type Of } from "./schema.js";
import { HPKE_ADDED_BYTES, SEALED_BODY_BYTES_MAX } from "./sealed.js";

export const PAIRWISE_LABEL = "railgun/pairwise/v1";
export const SESSION_KEY_BYTES = 229;

/** For the device whose hint it is: an Olm message; a `first` one is under HPKE to the device's prekey. */
const PAIRWISE_ITEM = structure("PairwiseItem", {
  hint: bytes(8),
  first: BOOL,
  message: bytes(1, OLM_MESSAGE_BYTES_MAX + HPKE_ADDED_BYTES),
});
export type PairwiseItem = Of<typeof PAIRWISE_ITEM>;

/** The author's messages to some devices; `made` (Unix seconds) goes into their hints. */
const PAIRWISE_BODY = structure("PairwiseBody", {
  author: KEY,
  made: TIME,
  items: array(nested(PAIRWISE_ITEM), PAIRWISE_ITEMS_MAX, 1),
  signature: SIGNATURE,
});
export const PAIRWISE_BODIES = new Codec({ PairwiseBody: [1, PAIRWISE_BODY] } as const, SEALED_BODY_BYTES_MAX);
export type PairwiseBody = Coded<typeof PAIRWISE_BODIES>;

/** What stands under Olm: Megolm session keys. `context` names room, author and recipient, `made` as outside. */
const SHARED_KEY_SET = structure("SharedKeys", {
  context: HASH,
  made: TIME,
  keys: array(bytes(SESSION_KEY_BYTES), PAIRWISE_KEYS_MAX, 1),
});
export const SHARED_KEYS = new Codec({ SharedKeys: [1, SHARED_KEY_SET] } as const, PAIRWISE_KEYS_MAX * 256 + 64);
export type SharedKeys = Coded<typeof SHARED_KEYS>;

/** What the signature of a pairwise body covers. */
export function pairwiseContent(
  room: Uint8Array,
  author: Uint8Array,
  made: number,
  items: readonly PairwiseItem[],
): Uint8Array {
  return encode([room, author, made, items.map(({ hint, first, message }) => [hint, first, message])]);
}
