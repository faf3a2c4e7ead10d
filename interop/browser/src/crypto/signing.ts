/**
 * Ed25519 in the one form that every signature takes.
 *
 * Owns: signing and checking label || 0x00 || BLAKE2b-256(content). Must not know: what is signed.
 * Spec: docs/spec/encoding.md. Only libsodium judges: what is gossiped must be judged alike by all.
 */
import { concatBytes, utf8 } from "../bytes.js";
import { InvalidArgument } from "../errors.js";
import { sodium } from "../sodium.js";
import { contentHash, HASH_BYTES } from "./hashing.js";

export const SEED_BYTES = 32;
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
const ZERO = new Uint8Array(1);

/** A key pair. The secret half shows in no inspection and no JSON. */
export class SigningKey {
  readonly publicKey: Uint8Array;
  readonly #secret: Uint8Array;

  /** Of 32 secret bytes. Raises InvalidArgument for another length. */
  constructor(seed: Uint8Array) {
    if (seed.length !== SEED_BYTES) throw new InvalidArgument("a signing seed has 32 bytes");
    const pair = sodium.crypto_sign_seed_keypair(seed);
    this.publicKey = pair.publicKey;
    this.#secret = pair.privateKey;
  }

  /** Signature, 64 bytes, over `content` under `label` (ASCII). */
  sign(label: string, content: Uint8Array): Uint8Array {
    return this.signDigest(label, contentHash(content));
  }

  /** As `sign`, for content that is hashed already (32 bytes). */
  signDigest(label: string, digest: Uint8Array): Uint8Array {
    if (digest.length !== HASH_BYTES) throw new InvalidArgument("a digest has 32 bytes");
    return sodium.crypto_sign_detached(statement(label, digest), this.#secret);
  }
}

/** Whether `signature` is one by `publicKey` over `content` under `label`. Wrong lengths are false, not an error. */
export function verify(publicKey: Uint8Array, label: string, content: Uint8Array, signature: Uint8Array): boolean {
  return verifyDigest(publicKey, label, contentHash(content), signature);
}

/** As `verify`, for content that is hashed already. */
export function verifyDigest(
  publicKey: Uint8Array,
  label: string,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  if (digest.length !== HASH_BYTES) return false;
  return sodium.crypto_sign_verify_detached(signature, statement(label, digest), publicKey);
}

function statement(label: string, digest: Uint8Array): Uint8Array {
  return concatBytes(utf8(label), ZERO, digest);
}
