/**
 * The three messages that travel: Olm's later and first ones, and Megolm's. Spec: docs/spec/sessions.md.
 *
 * Owns: their bytes. Must not know: keys, what is encrypted. Every decoder raises CryptoError, and nothing else, for
 * whatever its encoder does not make.
 */
import { concatBytes } from "../bytes.js";
import { CryptoError } from "../errors.js";
import { encodeInteger, FieldReader } from "./fields.js";
import { KEY_BYTES, SIGNATURE_BYTES } from "./primitives.js";

/** The same number in all three. Olm's other version, with its longer MACs, is not spoken here. */
export const VERSION = 3;
export const MAC_BYTES = 8;
export const OLM_MESSAGE_BYTES_MAX = 16_384;
const INDEX_MAX = 0xffff_ffff;

const RATCHET_KEY = 0x0a;
const CHAIN_INDEX = 0x10;
const CIPHERTEXT = 0x22;
const ONE_TIME_KEY = 0x0a;
const BASE_KEY = 0x12;
const IDENTITY_KEY = 0x1a;
const INNER_MESSAGE = 0x22;
const MESSAGE_INDEX = 0x08;
const GROUP_CIPHERTEXT = 0x12;

/** One message under an established session; all parts are views of what was read. */
export interface OlmMessage {
  readonly ratchetKey: Uint8Array;
  readonly chainIndex: number;
  readonly ciphertext: Uint8Array;
  /** What the MAC covers. */
  readonly authenticated: Uint8Array;
  readonly mac: Uint8Array;
}

/** The three public keys that a session is made of; its id is their hash. */
export interface SessionKeys {
  readonly identityKey: Uint8Array;
  readonly baseKey: Uint8Array;
  /** The recipient's fallback key here: one-time keys are not used. */
  readonly oneTimeKey: Uint8Array;
}

/** A first message: the keys of a session, and a message under it. */
export interface FirstMessage {
  readonly keys: SessionKeys;
  readonly message: OlmMessage;
}

/** One message of a group session; all parts are views of what was read. */
export interface GroupMessage {
  readonly index: number;
  readonly ciphertext: Uint8Array;
  /** What the MAC covers. */
  readonly authenticated: Uint8Array;
  readonly mac: Uint8Array;
  /** What the signature covers: the above and the MAC. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

function string(tag: number, value: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(tag), encodeInteger(value.length), value);
}

function integer(tag: number, value: number): Uint8Array {
  return concatBytes(Uint8Array.of(tag), encodeInteger(value));
}

/** What comes before the MAC of an Olm message. */
export function encodeOlmMessage(ratchetKey: Uint8Array, chainIndex: number, ciphertext: Uint8Array): Uint8Array {
  return concatBytes(
    Uint8Array.of(VERSION),
    string(RATCHET_KEY, ratchetKey),
    integer(CHAIN_INDEX, chainIndex),
    string(CIPHERTEXT, ciphertext),
  );
}

/** Read one, whole with its MAC. */
export function decodeOlmMessage(bytes: Uint8Array): OlmMessage {
  checkOlmSize(bytes);
  const end = bytes.length - MAC_BYTES;
  if (end < 1 || bytes[0] !== VERSION) {
    throw new CryptoError();
  }
  const reader = new FieldReader(bytes.subarray(1, end));
  const ratchetKey = reader.string(RATCHET_KEY, KEY_BYTES);
  const chainIndex = reader.integer(CHAIN_INDEX);
  const ciphertext = reader.string(CIPHERTEXT);
  reader.end();
  return { ratchetKey, chainIndex, ciphertext, authenticated: bytes.subarray(0, end), mac: bytes.subarray(end) };
}

/** A first message around a whole later one. */
export function encodeFirstMessage(keys: SessionKeys, message: Uint8Array): Uint8Array {
  return concatBytes(
    Uint8Array.of(VERSION),
    string(ONE_TIME_KEY, keys.oneTimeKey),
    string(BASE_KEY, keys.baseKey),
    string(IDENTITY_KEY, keys.identityKey),
    string(INNER_MESSAGE, message),
  );
}

/** Read one. */
export function decodeFirstMessage(bytes: Uint8Array): FirstMessage {
  checkOlmSize(bytes);
  if (bytes[0] !== VERSION) {
    throw new CryptoError();
  }
  const reader = new FieldReader(bytes.subarray(1));
  const oneTimeKey = reader.string(ONE_TIME_KEY, KEY_BYTES);
  const baseKey = reader.string(BASE_KEY, KEY_BYTES);
  const identityKey = reader.string(IDENTITY_KEY, KEY_BYTES);
  const message = decodeOlmMessage(reader.string(INNER_MESSAGE));
  reader.end();
  return { keys: { identityKey, baseKey, oneTimeKey }, message };
}

/** What comes before the MAC and the signature of a group message. */
export function encodeGroupMessage(index: number, ciphertext: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(VERSION), integer(MESSAGE_INDEX, index), string(GROUP_CIPHERTEXT, ciphertext));
}

/** Read one, whole with MAC and signature. */
export function decodeGroupMessage(bytes: Uint8Array): GroupMessage {
  const signatureAt = bytes.length - SIGNATURE_BYTES;
  const macAt = signatureAt - MAC_BYTES;
  if (macAt < 1 || bytes[0] !== VERSION) {
    throw new CryptoError();
  }
  const reader = new FieldReader(bytes.subarray(1, macAt));
  const index = reader.integer(MESSAGE_INDEX);
  const ciphertext = reader.string(GROUP_CIPHERTEXT);
  reader.end();
  if (index > INDEX_MAX) {
    throw new CryptoError();
  }
  return {
    index,
    ciphertext,
    authenticated: bytes.subarray(0, macAt),
    mac: bytes.subarray(macAt, signatureAt),
    signed: bytes.subarray(0, signatureAt),
    signature: bytes.subarray(signatureAt),
  };
}

function checkOlmSize(bytes: Uint8Array): void {
  if (bytes.length > OLM_MESSAGE_BYTES_MAX) {
    throw new CryptoError();
  }
}
