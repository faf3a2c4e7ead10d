/**
 * H and the content hash.
 *
 * Owns: BLAKE2b with labels. Must not know: what is hashed. Spec: docs/spec/encoding.md.
 */
import { concatBytes, utf8 } from "../bytes.js";
import { sodium } from "../sodium.js";

export const HASH_BYTES = 32;
const ZERO = new Uint8Array(1);

/** H(key, label, parts joined), 32 bytes; `key` is null for none, else 1 to 64 bytes. */
export function keyedHash(key: Uint8Array | null, label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return sodium.crypto_generichash(HASH_BYTES, concatBytes(utf8(label), ZERO, ...parts), key);
}

/** BLAKE2b-256 without key or label: what signatures cover. */
export function contentHash(data: Uint8Array): Uint8Array {
  return sodium.crypto_generichash(HASH_BYTES, data, null);
}
