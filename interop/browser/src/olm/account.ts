/**
 * A device's Olm account: the key that its certificate names, and the fallback keys that sessions with it start from.
 *
 * Owns: which first messages can be opened. Must not know: who sends them, where states are kept. One-time keys are not
 * used: docs/spec/sessions.md, "Olm".
 */
import { equalBytes } from "../bytes.js";
import { CryptoError } from "../errors.js";
import { decodeFirstMessage } from "./messages.js";
import { curvePublicKey, type Entropy, freshSecret, KEY_BYTES, wipe } from "./primitives.js";
import { redact } from "./redaction.js";
import { OlmSession } from "./session.js";

/** The newest fallback key and the one before it. */
export const FALLBACK_KEYS_MAX = 2;

/** What has to be kept of an account; secret. Of the fallback secrets the newest comes first. */
export interface AccountState {
  readonly identitySecret: Uint8Array;
  readonly fallbackSecrets: readonly Uint8Array[];
}

interface FallbackKey {
  readonly secret: Uint8Array;
  readonly publicKey: Uint8Array;
}

export class OlmAccount {
  readonly #identitySecret: Uint8Array;
  readonly #identityKey: Uint8Array;
  #fallbackKeys: readonly FallbackKey[];

  constructor(state: AccountState) {
    this.#identitySecret = state.identitySecret;
    this.#identityKey = curvePublicKey(state.identitySecret);
    this.#fallbackKeys = state.fallbackSecrets.map(fallbackKeyOf);
    redact(this, "OlmAccount");
  }

  /** A new one, still without a fallback key. */
  static create(entropy: Entropy): OlmAccount {
    return new OlmAccount({ identitySecret: freshSecret(entropy), fallbackSecrets: [] });
  }

  /** Curve25519, 32 bytes. */
  get identityKey(): Uint8Array {
    return this.#identityKey.slice();
  }

  /** The newest, Curve25519, 32 bytes; empty while there is none. */
  get fallbackKey(): Uint8Array {
    return this.#fallbackKeys[0]?.publicKey.slice() ?? new Uint8Array(0);
  }

  /** What to keep. Secret, and shared with this object: to be encoded at once, not to be held. */
  get state(): AccountState {
    return {
      identitySecret: this.#identitySecret,
      fallbackSecrets: this.#fallbackKeys.map((fallback) => fallback.secret),
    };
  }

  /** Make a new fallback key. The one before still serves, until the next one is made. */
  newFallbackKey(entropy: Entropy): void {
    const all = [fallbackKeyOf(freshSecret(entropy)), ...this.#fallbackKeys];
    wipe(...all.splice(FALLBACK_KEYS_MAX).map((fallback) => fallback.secret));
    this.#fallbackKeys = all;
  }

  /** Start a session with another account. Raises CryptoError where a key is none. */
  startSession(identityKey: Uint8Array, fallbackKey: Uint8Array, entropy: Entropy): OlmSession {
    if (identityKey.length !== KEY_BYTES || fallbackKey.length !== KEY_BYTES) {
      throw new CryptoError();
    }
    return OlmSession.start(this.#identitySecret, identityKey, fallbackKey, entropy);
  }

  /**
   * Take a first message of the account with this identity key. The same is accepted again, so its session has to be
   * looked for first. Raises CryptoError.
   */
  acceptSession(identityKey: Uint8Array, message: Uint8Array): { session: OlmSession; plaintext: Uint8Array } {
    const first = decodeFirstMessage(message);
    const fallback = this.#fallbackKeys.find((known) => equalBytes(known.publicKey, first.keys.oneTimeKey));
    if (fallback === undefined || !equalBytes(first.keys.identityKey, identityKey)) {
      throw new CryptoError();
    }
    return OlmSession.accept(this.#identitySecret, fallback.secret, first);
  }
}

function fallbackKeyOf(secret: Uint8Array): FallbackKey {
  return { secret, publicKey: curvePublicKey(secret) };
}
