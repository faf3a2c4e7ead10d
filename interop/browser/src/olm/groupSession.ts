/**
 * Megolm: one sender's messages to many, each under its own key. Spec: docs/spec/sessions.md, "Megolm".
 *
 * Owns: both ends of a group session, the two forms of its key. Must not know: who the recipients are, which messages
 * were read before (the caller drops repetitions), whose session it is (the caller binds its id to a device).
 */
import { concatBytes } from "../bytes.js";
import { CryptoError, InvalidArgument } from "../errors.js";
import { GroupRatchet, INDEX_MAX, RATCHET_BYTES } from "./groupRatchet.js";
import { MEGOLM_KEYS, openMessage, sealMessage } from "./messageCipher.js";
import { decodeGroupMessage, encodeGroupMessage } from "./messages.js";
import {
  type Entropy,
  freshSecret,
  KEY_BYTES,
  sign,
  SIGNATURE_BYTES,
  signingKeys,
  verify,
  wipe,
} from "./primitives.js";
import { redact } from "./redaction.js";

const SHARED = 2;
const EXPORTED = 1;
const INDEX_BYTES = 4;
export const EXPORTED_KEY_BYTES = 1 + INDEX_BYTES + RATCHET_BYTES + KEY_BYTES;
export const SESSION_KEY_BYTES = EXPORTED_KEY_BYTES + SIGNATURE_BYTES;

/** What has to be kept of a sender's session; secret. `nextIndex` is 2^32 when all are used. */
export interface OutboundGroupState {
  readonly seed: Uint8Array;
  readonly parts: Uint8Array;
  readonly nextIndex: number;
}

/** What has to be kept of a recipient's session; secret. */
export interface InboundGroupState {
  readonly id: Uint8Array;
  readonly parts: Uint8Array;
  readonly firstIndex: number;
}

/** A sender's end. */
export class OutboundGroupSession {
  readonly #seed: Uint8Array;
  readonly #privateKey: Uint8Array;
  readonly #publicKey: Uint8Array;
  readonly #ratchet: GroupRatchet;
  #isSpent: boolean;

  constructor(state: OutboundGroupState) {
    this.#seed = state.seed;
    const { publicKey, privateKey } = signingKeys(state.seed);
    this.#publicKey = publicKey;
    this.#privateKey = privateKey;
    this.#isSpent = state.nextIndex > INDEX_MAX;
    this.#ratchet = new GroupRatchet(state.parts, Math.min(state.nextIndex, INDEX_MAX));
    redact(this, "OutboundGroupSession");
  }

  /** A new one, at index 0. */
  static create(entropy: Entropy): OutboundGroupSession {
    const seed = freshSecret(entropy);
    const parts = [freshSecret(entropy), freshSecret(entropy), freshSecret(entropy), freshSecret(entropy)];
    const state = { seed, parts: concatBytes(...parts), nextIndex: 0 };
    wipe(...parts);
    return new OutboundGroupSession(state);
  }

  /** The session's Ed25519 public key, 32 bytes. */
  get id(): Uint8Array {
    return this.#publicKey.slice();
  }

  get nextIndex(): number {
    return this.#isSpent ? INDEX_MAX + 1 : this.#ratchet.index;
  }

  /** What to keep. Secret, and shared with this object: to be encoded at once, not to be held. */
  get state(): OutboundGroupState {
    return { seed: this.#seed, parts: this.#ratchet.parts, nextIndex: this.nextIndex };
  }

  /** What lets a recipient read from the next index on: 229 bytes, secret. */
  sessionKey(): Uint8Array {
    this.#checkNotSpent();
    const key = encodeKey(SHARED, this.#ratchet, this.#publicKey);
    const signed = concatBytes(key, sign(this.#privateKey, key));
    wipe(key);
    return signed;
  }

  /** Encrypt under the next index. The session's next state has to be stored before the message leaves. */
  encrypt(plaintext: Uint8Array): { index: number; message: Uint8Array } {
    this.#checkNotSpent();
    const index = this.#ratchet.index;
    const authenticated = sealMessage(this.#ratchet.parts, MEGOLM_KEYS, plaintext, (ciphertext) =>
      encodeGroupMessage(index, ciphertext),
    );
    const message = concatBytes(authenticated, sign(this.#privateKey, authenticated));
    if (index === INDEX_MAX) {
      this.#isSpent = true;
      this.#ratchet.wipe();
    } else {
      this.#ratchet.advanceTo(index + 1);
    }
    return { index, message };
  }

  #checkNotSpent(): void {
    if (this.#isSpent) {
      throw new InvalidArgument("the session has used all of its indices");
    }
  }
}

/** A recipient's end: reads what it was given the key of, as often as it is asked to. */
export class InboundGroupSession {
  readonly #id: Uint8Array;
  readonly #first: GroupRatchet;
  /** Where the last message was, so that the next one is near. */
  #last: GroupRatchet;

  constructor(state: InboundGroupState) {
    this.#id = state.id;
    this.#first = new GroupRatchet(state.parts, state.firstIndex);
    this.#last = this.#first.copy();
    redact(this, "InboundGroupSession");
  }

  /** Of a sender's session key, which the session itself has signed. Raises CryptoError. */
  static fromSessionKey(sessionKey: Uint8Array): InboundGroupSession {
    if (sessionKey.length !== SESSION_KEY_BYTES) {
      throw new CryptoError();
    }
    const state = decodeKey(SHARED, sessionKey.subarray(0, EXPORTED_KEY_BYTES));
    verify(state.id, sessionKey.subarray(0, EXPORTED_KEY_BYTES), sessionKey.subarray(EXPORTED_KEY_BYTES));
    return new InboundGroupSession(state);
  }

  /** Of an export, in which nothing is signed: to be taken from oneself only. Raises CryptoError. */
  static fromExport(exported: Uint8Array): InboundGroupSession {
    return new InboundGroupSession(decodeKey(EXPORTED, exported));
  }

  /** The session's Ed25519 public key, 32 bytes. */
  get id(): Uint8Array {
    return this.#id.slice();
  }

  get firstIndex(): number {
    return this.#first.index;
  }

  /** What to keep. Secret, and shared with this object: to be encoded at once, not to be held. */
  get state(): InboundGroupState {
    return { id: this.#id, parts: this.#first.parts, firstIndex: this.#first.index };
  }

  /** The session from `index` on, 165 bytes, secret. Raises CryptoError for an index before the first. */
  exportAt(index: number): Uint8Array {
    if (!Number.isInteger(index) || index < 0 || index > INDEX_MAX) {
      throw new InvalidArgument("a message index has 32 bits");
    }
    return encodeKey(EXPORTED, this.#ratchetAt(index), this.#id);
  }

  /** Check and decrypt. Raises CryptoError. */
  decrypt(message: Uint8Array): { index: number; plaintext: Uint8Array } {
    const read = decodeGroupMessage(message);
    // Before the ratchet is wound: only the session's sender can have it wound far.
    verify(this.#id, read.signed, read.signature);
    return { index: read.index, plaintext: openMessage(this.#ratchetAt(read.index).parts, MEGOLM_KEYS, read) };
  }

  #ratchetAt(index: number): GroupRatchet {
    if (index < this.#first.index) {
      throw new CryptoError();
    }
    if (index < this.#last.index) {
      this.#last.wipe();
      this.#last = this.#first.copy();
    }
    this.#last.advanceTo(index);
    return this.#last;
  }
}

function encodeKey(form: number, ratchet: GroupRatchet, id: Uint8Array): Uint8Array {
  const index = new Uint8Array(INDEX_BYTES);
  new DataView(index.buffer).setUint32(0, ratchet.index);
  return concatBytes(Uint8Array.of(form), index, ratchet.parts, id);
}

function decodeKey(form: number, key: Uint8Array): InboundGroupState {
  if (key.length !== EXPORTED_KEY_BYTES || key[0] !== form) {
    throw new CryptoError();
  }
  const ratchetAt = 1 + INDEX_BYTES;
  return {
    firstIndex: new DataView(key.buffer, key.byteOffset).getUint32(1),
    parts: key.slice(ratchetAt, ratchetAt + RATCHET_BYTES),
    id: key.slice(ratchetAt + RATCHET_BYTES),
  };
}
