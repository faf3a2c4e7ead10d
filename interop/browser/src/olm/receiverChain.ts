/**
 * The other end's messages under one of its ratchet keys: a chain of message keys that is walked forward, once.
 *
 * Owns: which message keys are still there, and that a message that does not open changes nothing. Must not know: where
 * chains come from. Spec: docs/spec/sessions.md, "Olm".
 */
import { equalBytes } from "../bytes.js";
import { CryptoError } from "../errors.js";
import { OLM_KEYS, openMessage } from "./messageCipher.js";
import type { OlmMessage } from "./messages.js";
import { hmacSha256, wipe } from "./primitives.js";
import { redact } from "./redaction.js";

/** So many messages may be missing between two that arrive. */
export const MESSAGE_GAP_MAX = 2_000;
/** The keys of so many missing messages are kept in each chain; the oldest go first. */
export const SKIPPED_KEYS_MAX = 40;

const FOR_MESSAGE = Uint8Array.of(1);
const FOR_CHAIN = Uint8Array.of(2);

/** The key of the message that a chain key stands at. */
export function messageKeyOf(chainKey: Uint8Array): Uint8Array {
  return hmacSha256(chainKey, FOR_MESSAGE);
}

/** The chain key after it. */
export function chainKeyAfter(chainKey: Uint8Array): Uint8Array {
  return hmacSha256(chainKey, FOR_CHAIN);
}

/** The key of a message that has not come. */
export interface SkippedKey {
  readonly index: number;
  readonly key: Uint8Array;
}

/** What has to be kept of a chain; secret. */
export interface ReceiverChainState {
  readonly ratchetKey: Uint8Array;
  readonly chainKey: Uint8Array;
  /** The index of the next message. */
  readonly index: number;
  readonly skipped: readonly SkippedKey[];
}

export class ReceiverChain {
  #state: ReceiverChainState;

  constructor(state: ReceiverChainState) {
    this.#state = state;
    redact(this, "ReceiverChain");
  }

  /** A chain at its beginning. */
  static begin(ratchetKey: Uint8Array, chainKey: Uint8Array): ReceiverChain {
    return new ReceiverChain({ ratchetKey: ratchetKey.slice(), chainKey, index: 0, skipped: [] });
  }

  /** What to keep. Secret: for the session's own state alone. */
  get state(): ReceiverChainState {
    return this.#state;
  }

  belongsTo(ratchetKey: Uint8Array): boolean {
    return equalBytes(this.#state.ratchetKey, ratchetKey);
  }

  /** Decrypt, each message once. Raises CryptoError, and then the chain is as it was. */
  open(message: OlmMessage): Uint8Array {
    return message.chainIndex < this.#state.index ? this.#openSkipped(message) : this.#openNext(message);
  }

  #openSkipped(message: OlmMessage): Uint8Array {
    const kept = this.#state.skipped.find((skipped) => skipped.index === message.chainIndex);
    if (kept === undefined) {
      throw new CryptoError();
    }
    const plaintext = openMessage(kept.key, OLM_KEYS, message);
    this.#state = { ...this.#state, skipped: this.#state.skipped.filter((skipped) => skipped !== kept) };
    wipe(kept.key);
    return plaintext;
  }

  #openNext(message: OlmMessage): Uint8Array {
    if (message.chainIndex - this.#state.index > MESSAGE_GAP_MAX) {
      throw new CryptoError();
    }
    const walked = walk(this.#state.chainKey, this.#state.index, message.chainIndex);
    const messageKey = messageKeyOf(walked.chainKey);
    let plaintext: Uint8Array;
    try {
      plaintext = openMessage(messageKey, OLM_KEYS, message);
    } catch (error) {
      wipe(walked.chainKey, ...walked.skipped.map((skipped) => skipped.key));
      throw error;
    } finally {
      wipe(messageKey);
    }
    this.#moveOn(walked, message.chainIndex + 1);
    return plaintext;
  }

  #moveOn(walked: Walked, index: number): void {
    const known = [...this.#state.skipped, ...walked.skipped];
    const forgotten = known.splice(0, Math.max(0, known.length - SKIPPED_KEYS_MAX));
    wipe(this.#state.chainKey, ...forgotten.map((skipped) => skipped.key));
    const chainKey = chainKeyAfter(walked.chainKey);
    wipe(walked.chainKey);
    this.#state = { ratchetKey: this.#state.ratchetKey, chainKey, index, skipped: known };
  }
}

interface Walked {
  readonly chainKey: Uint8Array;
  readonly skipped: readonly SkippedKey[];
}

/** The chain key at `to`, and the keys of the last messages before it. The given key is left alone. */
function walk(from: Uint8Array, index: number, to: number): Walked {
  const skipped: SkippedKey[] = [];
  let chainKey: Uint8Array = from.slice();
  for (let at = index; at < to; at += 1) {
    if (to - at <= SKIPPED_KEYS_MAX) {
      skipped.push({ index: at, key: messageKeyOf(chainKey) });
    }
    const next = chainKeyAfter(chainKey);
    wipe(chainKey);
    chainKey = next;
  }
  return { chainKey, skipped };
}
