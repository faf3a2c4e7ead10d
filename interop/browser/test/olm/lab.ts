/** Two ends that carry their states along as a caller has to, and randomness that repeats. */
import { Sessions, type EncryptedOlm } from "../../src/olm/sessions.js";
import { sha256, type Entropy } from "../../src/olm/primitives.js";
import { concatBytes, u32, utf8 } from "../../src/bytes.js";

/** Bytes that follow from a seed. */
export class SeededEntropy implements Entropy {
  readonly #seed: Uint8Array;
  #count = 0;

  constructor(seed: string) {
    this.#seed = utf8(seed);
  }

  randomBytes(count: number): Uint8Array {
    const blocks: Uint8Array[] = [];
    while (blocks.length * 32 < count) {
      this.#count += 1;
      blocks.push(sha256(this.#seed, u32(this.#count)));
    }
    return concatBytes(...blocks).slice(0, count);
  }

  /** Uniform enough for tests: from 0 to `most` - 1. */
  below(most: number): number {
    const [a = 0, b = 0, c = 0] = this.randomBytes(3);
    return ((a << 16) | (b << 8) | c) % most;
  }
}

export class End {
  readonly sessions: Sessions;
  state: Uint8Array;

  constructor(sessions: Sessions, state: Uint8Array) {
    this.sessions = sessions;
    this.state = state;
  }

  say(plaintext: string): EncryptedOlm {
    const encrypted = this.sessions.olmEncrypt(this.state, utf8(plaintext));
    this.state = encrypted.state;
    return encrypted;
  }

  hear(encrypted: { message: Uint8Array; isFirst: boolean }): string {
    const { session, plaintext } = this.sessions.olmDecrypt(this.state, encrypted.message, encrypted.isFirst);
    this.state = session.state;
    return new TextDecoder().decode(plaintext);
  }
}

/** Anna has started a session with Bert and said hello, which he has heard. */
export function pair(seed = "pair"): { anna: End; bert: End } {
  const sessions = new Sessions(new SeededEntropy(seed));
  const annas = sessions.olmAccountNew();
  const berts = sessions.olmNewFallback(sessions.olmAccountNew().state);
  const anna = new End(sessions, sessions.olmStart(annas.state, berts.identityKey, berts.fallbackKey).state);
  const accepted = sessions.olmAccept(berts.state, annas.identityKey, anna.say("hello").message);
  return { anna, bert: new End(sessions, accepted.session.state) };
}
