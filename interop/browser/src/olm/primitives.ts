/**
 * The primitives that Olm, Megolm and short codes are made of.
 *
 * Owns: how the libraries are called, and that a peer's bad key ends in the one error. Must not know: ratchets,
 * messages. Why these libraries: docs/decisions/0014-olm-in-typescript.md.
 */
import { cbc } from "@noble/ciphers/aes";
import { hkdf } from "@noble/hashes/hkdf";
import { hmac } from "@noble/hashes/hmac";
import { sha256 as digest } from "@noble/hashes/sha2";

import { utf8 } from "../bytes.js";
import { CryptoError, InvalidArgument } from "../errors.js";
import { sodium } from "../sodium.js";

export const KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
export const IV_BYTES = 16;

/** Where secrets come from: uniformly random bytes. */
export interface Entropy {
  randomBytes(count: number): Uint8Array;
}

/** 32 fresh random bytes. Raises InvalidArgument where the source is broken. */
export function freshSecret(entropy: Entropy): Uint8Array {
  const secret = entropy.randomBytes(KEY_BYTES);
  if (!(secret instanceof Uint8Array) || secret.length !== KEY_BYTES) {
    throw new InvalidArgument("the source of randomness gave another number of bytes than asked for");
  }
  return secret.slice();
}

/** SHA-256 over the parts, one after another: 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = digest.create();
  for (const part of parts) {
    hash.update(part);
  }
  return hash.digest();
}

/** HMAC-SHA-256, 32 bytes. */
export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return hmac(digest, key, data);
}

/** HKDF-SHA-256 (RFC 5869); no salt means 32 zero bytes. */
export function hkdfSha256(secret: Uint8Array, salt: Uint8Array | undefined, info: string, bytes: number): Uint8Array {
  return hkdf(digest, secret, salt, utf8(info), bytes);
}

/** The public half of a Curve25519 secret, 32 bytes. */
export function curvePublicKey(secret: Uint8Array): Uint8Array {
  return sodium.crypto_scalarmult_base(secret);
}

/** X25519, 32 bytes. Raises CryptoError where the peer's key adds nothing (a point of small order) or is none. */
export function agree(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  try {
    return sodium.crypto_scalarmult(secret, publicKey);
  } catch {
    throw new CryptoError();
  }
}

/** The signing key of a seed of 32 bytes: `publicKey` (32) and `privateKey` (64, secret). */
export function signingKeys(seed: Uint8Array): { publicKey: Uint8Array; privateKey: Uint8Array } {
  const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed);
  return { publicKey, privateKey };
}

/** An Ed25519 signature, 64 bytes. */
export function sign(privateKey: Uint8Array, content: Uint8Array): Uint8Array {
  return sodium.crypto_sign_detached(content, privateKey);
}

/** Raises CryptoError unless the signature is the key's. */
export function verify(publicKey: Uint8Array, content: Uint8Array, signature: Uint8Array): void {
  let fits: boolean;
  try {
    fits = sodium.crypto_sign_verify_detached(signature, content, publicKey);
  } catch {
    throw new CryptoError();
  }
  if (!fits) {
    throw new CryptoError();
  }
}

/** AES-256-CBC with PKCS #7 padding. */
export function aesEncrypt(key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array {
  return cbc(key, iv).encrypt(plaintext);
}

/** The reverse. Raises CryptoError; to be called only for what a MAC covers, or the padding would be an oracle. */
export function aesDecrypt(key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  try {
    return cbc(key, iv).decrypt(ciphertext);
  } catch {
    throw new CryptoError();
  }
}

/** Compare secrets or what is made of them, in a time that depends on the lengths alone. */
export function equalInConstantTime(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && sodium.memcmp(one, other);
}

/** Overwrite secrets that have served. Copies that the engine or the libraries made are beyond reach. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) {
    secret.fill(0);
  }
}
