/**
 * HPKE (RFC 9180, base mode, single shot) with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305.
 *
 * Owns: the key schedule around libsodium's X-Wing. Must not know: who seals what for whom.
 * Spec: docs/spec/sessions.md. Randomness is passed in.
 */
import { expand, extract } from "@noble/hashes/hkdf";
import { sha256 } from "@noble/hashes/sha2";

import { concatBytes, utf8 } from "../bytes.js";
import { CryptoError, InvalidArgument } from "../errors.js";
import { HPKE_PLAINTEXT_BYTES_MAX } from "../limits.js";
import { sodium } from "../sodium.js";
import { HPKE_ADDED_BYTES } from "../wire/sealed.js";
import { seal, unseal } from "./sealing.js";

export const XWING_SECRET_BYTES = 32;
export const XWING_PUBLIC_KEY_BYTES = 1_216;
/** What an encapsulation takes of randomness: 32 bytes for ML-KEM-768, 32 for X25519. */
export const XWING_RANDOM_BYTES = 64;
const ENCAPSULATION_BYTES = 1_120;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const EMPTY = new Uint8Array(0);
const VERSION = utf8("HPKE-v1");
const SUITE = concatBytes(utf8("HPKE"), Uint8Array.of(0x64, 0x7a, 0x00, 0x01, 0x00, 0x03));

/** The public key, 1,216 bytes, of a secret of 32 random bytes. Raises InvalidArgument for another length. */
export function hpkePublicKey(secret: Uint8Array): Uint8Array {
  return xwingPair(secret).publicKey;
}

/**
 * Encapsulation and ciphertext, 1,136 bytes more than the plaintext. `random`: 64 fresh random bytes.
 *
 * Raises CryptoError for a key that is none, InvalidArgument where the plaintext is too long.
 */
export function hpkeSeal(
  publicKey: Uint8Array,
  info: Uint8Array,
  plaintext: Uint8Array,
  random: Uint8Array,
): Uint8Array {
  if (plaintext.length > HPKE_PLAINTEXT_BYTES_MAX) throw new InvalidArgument("too long to be sealed");
  if (random.length !== XWING_RANDOM_BYTES) throw new InvalidArgument("64 random bytes, please");
  if (publicKey.length !== XWING_PUBLIC_KEY_BYTES) throw new CryptoError();
  const { ciphertext, sharedSecret } = encapsulate(publicKey, random);
  const { key, nonce } = schedule(sharedSecret, info);
  return concatBytes(ciphertext, seal(plaintext, EMPTY, nonce, key));
}

/** The plaintext. Another length, key or `info`, altered bytes: all are the one CryptoError. */
export function hpkeOpen(secret: Uint8Array, info: Uint8Array, sealed: Uint8Array): Uint8Array {
  const { privateKey } = xwingPair(secret);
  const added = sealed.length - HPKE_ADDED_BYTES;
  if (added < 0 || added > HPKE_PLAINTEXT_BYTES_MAX) throw new CryptoError();
  const { key, nonce } = schedule(decapsulate(sealed.subarray(0, ENCAPSULATION_BYTES), privateKey), info);
  return unseal(sealed.subarray(ENCAPSULATION_BYTES), EMPTY, nonce, key);
}

function xwingPair(secret: Uint8Array): { readonly publicKey: Uint8Array; readonly privateKey: Uint8Array } {
  if (secret.length !== XWING_SECRET_BYTES) throw new InvalidArgument("an X-Wing secret has 32 bytes");
  return sodium.crypto_kem_xwing_seed_keypair(secret);
}

function encapsulate(
  publicKey: Uint8Array,
  random: Uint8Array,
): { readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array } {
  try {
    return sodium.crypto_kem_xwing_enc_deterministic(publicKey, random);
  } catch {
    throw new CryptoError();
  }
}

function decapsulate(encapsulation: Uint8Array, privateKey: Uint8Array): Uint8Array {
  try {
    return sodium.crypto_kem_xwing_dec(encapsulation, privateKey);
  } catch {
    throw new CryptoError();
  }
}

function schedule(shared: Uint8Array, info: Uint8Array): { readonly key: Uint8Array; readonly nonce: Uint8Array } {
  const context = concatBytes(
    Uint8Array.of(0),
    labeledExtract(EMPTY, "psk_id_hash", EMPTY),
    labeledExtract(EMPTY, "info_hash", info),
  );
  const secret = labeledExtract(shared, "secret", EMPTY);
  return {
    key: labeledExpand(secret, "key", context, KEY_BYTES),
    nonce: labeledExpand(secret, "base_nonce", context, NONCE_BYTES),
  };
}

function labeledExtract(salt: Uint8Array, label: string, input: Uint8Array): Uint8Array {
  return extract(sha256, concatBytes(VERSION, SUITE, utf8(label), input), salt);
}

function labeledExpand(key: Uint8Array, label: string, info: Uint8Array, length: number): Uint8Array {
  const prefix = concatBytes(Uint8Array.of(length >> 8, length & 255), VERSION, SUITE, utf8(label));
  return expand(sha256, key, concatBytes(prefix, info), length);
}
