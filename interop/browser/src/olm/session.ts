/**
 * One end of an Olm session: a double ratchet between two devices. Spec: docs/spec/sessions.md, "Olm".
 *
 * Owns: the ratchet's steps, and that a message that does not open changes nothing. Must not know: who talks to whom,
 * when a session is renewed, where its state is kept.
 */
import { concatBytes, equalBytes } from "../bytes.js";
import { CryptoError } from "../errors.js";
import { OLM_KEYS, sealMessage } from "./messageCipher.js";
import {
  decodeFirstMessage,
  decodeOlmMessage,
  encodeFirstMessage,
  encodeOlmMessage,
  type FirstMessage,
  type OlmMessage,
  type SessionKeys,
} from "./messages.js";
import {
  agree,
  curvePublicKey,
  type Entropy,
  freshSecret,
  hkdfSha256,
  KEY_BYTES,
  sha256,
  wipe,
} from "./primitives.js";
import { chainKeyAfter, messageKeyOf, ReceiverChain, type ReceiverChainState } from "./receiverChain.js";
import { redact } from "./redaction.js";

/** The other end's chains that are kept; the oldest goes first. */
export const RECEIVER_CHAINS_MAX = 5;
const ROOT_INFO = "OLM_ROOT";
const RATCHET_INFO = "OLM_RATCHET";

/** We speak: under a ratchet key of ours, until the other end answers to it. */
export interface ActiveSender {
  readonly rootKey: Uint8Array;
  readonly ratchetSecret: Uint8Array;
  readonly chainKey: Uint8Array;
  readonly index: number;
}

/** We have heard a new ratchet key, and make one of ours when we speak next. */
export interface WaitingSender {
  readonly rootKey: Uint8Array;
  readonly theirRatchetKey: Uint8Array;
}

/** What has to be kept of a session; secret. */
export interface SessionState {
  readonly keys: SessionKeys;
  readonly sender: ActiveSender | WaitingSender;
  readonly chains: readonly ReceiverChainState[];
}

/** A message, and whether it starts the session at its recipient. */
export interface Encrypted {
  readonly message: Uint8Array;
  readonly isFirst: boolean;
}

/** The id, 32 bytes, that both ends give the session of these keys. */
export function sessionIdOf(keys: SessionKeys): Uint8Array {
  return sha256(keys.identityKey, keys.baseKey, keys.oneTimeKey);
}

/** The id of the session that a first message starts. Raises CryptoError. */
export function sessionIdOfFirstMessage(message: Uint8Array): Uint8Array {
  return sessionIdOf(decodeFirstMessage(message).keys);
}

export class OlmSession {
  readonly #keys: SessionKeys;
  #sender: ActiveSender | WaitingSender;
  #chains: readonly ReceiverChain[];
  /** The public half of the ratchet key that we speak under, once it was needed. */
  #ratchetKey: Uint8Array | undefined;

  constructor(state: SessionState) {
    this.#keys = state.keys;
    this.#sender = state.sender;
    this.#chains = state.chains.map((chain) => new ReceiverChain(chain));
    redact(this, "OlmSession");
  }

  /** Start one with a device, by its identity key and fallback key. Raises CryptoError where they are none. */
  static start(
    identitySecret: Uint8Array,
    theirIdentityKey: Uint8Array,
    theirFallbackKey: Uint8Array,
    entropy: Entropy,
  ): OlmSession {
    const baseSecret = freshSecret(entropy);
    const shared = concatBytes(
      agree(identitySecret, theirFallbackKey),
      agree(baseSecret, theirIdentityKey),
      agree(baseSecret, theirFallbackKey),
    );
    const [rootKey, chainKey] = deriveTwo(shared, undefined, ROOT_INFO);
    const keys = {
      identityKey: curvePublicKey(identitySecret),
      baseKey: curvePublicKey(baseSecret),
      oneTimeKey: theirFallbackKey.slice(),
    };
    wipe(baseSecret);
    return new OlmSession({
      keys,
      sender: { rootKey, ratchetSecret: freshSecret(entropy), chainKey, index: 0 },
      chains: [],
    });
  }

  /** Take one that a first message starts, whose fallback key's secret is given. Raises CryptoError. */
  static accept(
    identitySecret: Uint8Array,
    fallbackSecret: Uint8Array,
    first: FirstMessage,
  ): { session: OlmSession; plaintext: Uint8Array } {
    const { keys, message } = first;
    const shared = concatBytes(
      agree(fallbackSecret, keys.identityKey),
      agree(identitySecret, keys.baseKey),
      agree(fallbackSecret, keys.baseKey),
    );
    const [rootKey, chainKey] = deriveTwo(shared, undefined, ROOT_INFO);
    const chain = ReceiverChain.begin(message.ratchetKey, chainKey);
    const plaintext = chain.open(message);
    const session = new OlmSession({
      keys: {
        identityKey: keys.identityKey.slice(),
        baseKey: keys.baseKey.slice(),
        oneTimeKey: keys.oneTimeKey.slice(),
      },
      sender: { rootKey, theirRatchetKey: message.ratchetKey.slice() },
      chains: [chain.state],
    });
    return { session, plaintext };
  }

  /** 32 bytes, the same at both ends. */
  get id(): Uint8Array {
    return sessionIdOf(this.#keys);
  }

  /** What to keep. Secret, and shared with this object: to be encoded at once, not to be held. */
  get state(): SessionState {
    return { keys: this.#keys, sender: this.#sender, chains: this.#chains.map((chain) => chain.state) };
  }

  /**
   * Encrypt. The session's next state has to be stored before the message leaves. Raises CryptoError where the other
   * end's ratchet key turns out to be none: that end chose it, and nothing can be said to it.
   */
  encrypt(plaintext: Uint8Array, entropy: Entropy): Encrypted {
    const sender = "chainKey" in this.#sender ? this.#sender : takeTurn(this.#sender, entropy);
    this.#sender = sender;
    const ratchetKey = (this.#ratchetKey ??= curvePublicKey(sender.ratchetSecret));
    const messageKey = messageKeyOf(sender.chainKey);
    const message = sealMessage(messageKey, OLM_KEYS, plaintext, (ciphertext) =>
      encodeOlmMessage(ratchetKey, sender.index, ciphertext),
    );
    this.#sender = { ...sender, chainKey: chainKeyAfter(sender.chainKey), index: sender.index + 1 };
    wipe(messageKey, sender.chainKey);
    const isFirst = this.#chains.length === 0;
    return { message: isFirst ? encodeFirstMessage(this.#keys, message) : message, isFirst };
  }

  /** Decrypt, in any order, each message once. Raises CryptoError, and then the session is as it was. */
  decrypt(message: Uint8Array, isFirst: boolean): Uint8Array {
    if (!isFirst) {
      return this.#open(decodeOlmMessage(message));
    }
    const first = decodeFirstMessage(message);
    if (!equalBytes(sessionIdOf(first.keys), this.id)) {
      throw new CryptoError();
    }
    return this.#open(first.message);
  }

  #open(message: OlmMessage): Uint8Array {
    const known = this.#chains.find((chain) => chain.belongsTo(message.ratchetKey));
    return known === undefined ? this.#openUnderNewKey(message) : known.open(message);
  }

  #openUnderNewKey(message: OlmMessage): Uint8Array {
    // Who has not spoken since the last new ratchet key cannot be sent another: nothing was there to answer.
    if (!("chainKey" in this.#sender)) {
      throw new CryptoError();
    }
    const { rootKey: before, ratchetSecret, chainKey: spoken } = this.#sender;
    const [rootKey, chainKey] = deriveTwo(agree(ratchetSecret, message.ratchetKey), before, RATCHET_INFO);
    const chain = ReceiverChain.begin(message.ratchetKey, chainKey);
    const plaintext = chain.open(message);
    this.#chains = [...this.#chains, chain].slice(-RECEIVER_CHAINS_MAX);
    this.#sender = { rootKey, theirRatchetKey: message.ratchetKey.slice() };
    this.#ratchetKey = undefined;
    wipe(before, ratchetSecret, spoken);
    return plaintext;
  }
}

/** A ratchet key of ours in answer to theirs. */
function takeTurn(waiting: WaitingSender, entropy: Entropy): ActiveSender {
  const ratchetSecret = freshSecret(entropy);
  const [rootKey, chainKey] = deriveTwo(agree(ratchetSecret, waiting.theirRatchetKey), waiting.rootKey, RATCHET_INFO);
  wipe(waiting.rootKey);
  return { rootKey, ratchetSecret, chainKey, index: 0 };
}

/** Two keys of a secret, which is wiped. */
function deriveTwo(secret: Uint8Array, salt: Uint8Array | undefined, info: string): [Uint8Array, Uint8Array] {
  const both = hkdfSha256(secret, salt, info, 2 * KEY_BYTES);
  const two: [Uint8Array, Uint8Array] = [both.slice(0, KEY_BYTES), both.slice(KEY_BYTES)];
  wipe(secret, both);
  return two;
}
