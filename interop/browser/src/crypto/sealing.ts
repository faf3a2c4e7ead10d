/**
 * Sealing, checking and opening envelopes, and members' contacts.
 *
 * Owns: the cipher and the signature around an inner part. Must not know: what a body means, or whose turn it is.
 * Spec: docs/spec/envelope.md, docs/spec/dht.md (sealed contacts).
 */
import { concatBytes, equalBytes, isZero, readU16 } from "../bytes.js";
import { CryptoError, InvalidArgument, PeerError, RefusalCode } from "../errors.js";
import { sodium } from "../sodium.js";
import type { SizeClass } from "../types.js";
import {
  NONCE_BYTES,
  packHeader,
  packInner,
  parseEnvelope,
  unpackInner,
  HEADER_BYTES,
  type Inner,
  type ParsedEnvelope,
} from "../wire/envelope.js";
import { SEALED_CONTACT_BYTES } from "../wire/frames.js";
import type { EpochKeys } from "./epoch.js";
import { contentHash, keyedHash } from "./hashing.js";
import { verifyDigest } from "./signing.js";

const ENVELOPE_LABEL = "railgun/envelope/v1";
const ENVELOPE_ID_BYTES = 16;
const CONTACT_BYTES_MAX = 700;

/** An envelope whose signature holds under its own tag, and its id (16 bytes). */
export interface CheckedEnvelope {
  readonly envelope: ParsedEnvelope;
  readonly id: Uint8Array;
}

/**
 * One envelope of exactly the class's size. `nonce` is 12 random bytes, never used twice under one K_e.
 *
 * Raises InvalidArgument: the body does not fit, or nonce or hint have the wrong length.
 */
export function sealEnvelope(keys: EpochKeys, inner: Inner, sizeClass: SizeClass, nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE_BYTES) throw new InvalidArgument("a nonce has 12 bytes");
  const header = packHeader({ sizeClass, epochStart: keys.start, tag: keys.tag });
  const unsigned = concatBytes(header, nonce, seal(packInner(inner, sizeClass), header, nonce, keys.headerKey));
  return concatBytes(unsigned, keys.signingKey.signDigest(ENVELOPE_LABEL, contentHash(unsigned)));
}

/**
 * What a relay checks of an envelope by itself: its layout, and the signature under its own tag.
 *
 * Raises MalformedInput (WRONG_SIZE, UNSUPPORTED_VERSION or MALFORMED), or PeerError (BAD_SIGNATURE).
 */
export function checkEnvelope(data: Uint8Array): CheckedEnvelope {
  const envelope = parseEnvelope(data);
  const digest = contentHash(envelope.signedPart);
  if (!verifyDigest(envelope.tag, ENVELOPE_LABEL, digest, envelope.signature)) {
    throw new PeerError(RefusalCode.BAD_SIGNATURE, "envelope");
  }
  return { envelope, id: digest.slice(0, ENVELOPE_ID_BYTES) };
}

/** The id of an envelope, 16 bytes, without checking its signature. Raises MalformedInput. */
export function envelopeId(data: Uint8Array): Uint8Array {
  return contentHash(parseEnvelope(data).signedPart).slice(0, ENVELOPE_ID_BYTES);
}

/**
 * What a member reads. The cipher's tag covers all that it reads, so it need not check the signature as well.
 *
 * Raises CryptoError: other keys, or altered; MalformedInput: its layout is wrong, or a member sealed nonsense.
 */
export function openEnvelope(keys: EpochKeys, data: Uint8Array): Inner {
  const envelope = parseEnvelope(data);
  if (!equalBytes(envelope.tag, keys.tag) || envelope.epochStart !== keys.start) throw new CryptoError();
  const header = data.subarray(0, HEADER_BYTES);
  return unpackInner(unseal(envelope.sealed, header, envelope.nonce, keys.headerKey));
}

/** 730 bytes, whatever the contact says (at most 700 bytes). `nonce`: 12 random bytes. Raises InvalidArgument. */
export function sealContact(keys: EpochKeys, contact: Uint8Array, nonce: Uint8Array): Uint8Array {
  if (contact.length > CONTACT_BYTES_MAX || nonce.length !== NONCE_BYTES) {
    throw new InvalidArgument("a contact has at most 700 bytes, a nonce 12");
  }
  const padded = new Uint8Array(2 + CONTACT_BYTES_MAX);
  padded.set([contact.length >> 8, contact.length & 255]);
  padded.set(contact, 2);
  return concatBytes(nonce, seal(padded, keys.tag, nonce, contactKey(keys)));
}

/** What `sealContact` sealed under the same epoch's keys. Raises CryptoError. */
export function openContact(keys: EpochKeys, sealed: Uint8Array): Uint8Array {
  if (sealed.length !== SEALED_CONTACT_BYTES) throw new CryptoError();
  const [nonce, box] = [sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES)];
  const padded = unseal(box, keys.tag, nonce, contactKey(keys));
  const length = readU16(padded, 0);
  if (length > CONTACT_BYTES_MAX || !isZero(padded.subarray(2 + length))) throw new CryptoError();
  return padded.slice(2, 2 + length);
}

function contactKey(keys: EpochKeys): Uint8Array {
  return keyedHash(keys.headerKey, "railgun/contact/v1", keys.tag);
}

/** ChaCha20-Poly1305; the last 16 bytes are the cipher's tag. */
export function seal(plaintext: Uint8Array, context: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array {
  return sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, context, null, nonce, key);
}

/** The reverse of `seal`. Raises CryptoError. */
export function unseal(sealed: Uint8Array, context: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array {
  try {
    return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, sealed, context, nonce, key);
  } catch {
    throw new CryptoError();
  }
}
