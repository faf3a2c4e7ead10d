/**
 * Olm, Megolm and short codes as the machines see them: state goes in and comes back as a new one, so that the caller
 * stores first and sends then. A crash in between costs an index, and never uses one twice.
 *
 * Owns: that what was read last need not be read again. Must not know: rooms, rosters, who talks to whom, where states
 * are kept. Spec: docs/spec/sessions.md.
 *
 * A state is secret, a value (never to be written to), and has to be sealed where it is stored. All methods raise
 * CryptoError where a peer's or a stored value does not fit.
 */
import { OlmAccount } from "./account.js";
import { InboundGroupSession, OutboundGroupSession } from "./groupSession.js";
import type { Entropy } from "./primitives.js";
import { redact } from "./redaction.js";
import { Sas } from "./sas.js";
import { OlmSession, sessionIdOfFirstMessage } from "./session.js";
import {
  decodeAccount,
  decodeInboundGroup,
  decodeOutboundGroup,
  decodeSession,
  encodeAccount,
  encodeInboundGroup,
  encodeOutboundGroup,
  encodeSession,
} from "./state.js";

/** A sender's Megolm session. `sessionKey` (secret, 229 bytes) lets a recipient read from `nextIndex` on. */
export interface OutboundMegolm {
  readonly sessionId: Uint8Array;
  readonly nextIndex: number;
  readonly sessionKey: Uint8Array;
  readonly state: Uint8Array;
}

/** One encrypted message, and the state that has to be stored before `message` leaves. */
export interface EncryptedMegolm {
  readonly index: number;
  readonly message: Uint8Array;
  readonly state: Uint8Array;
}

/** A recipient's Megolm session: reads messages from `firstIndex` on. */
export interface InboundMegolm {
  readonly sessionId: Uint8Array;
  readonly firstIndex: number;
  readonly state: Uint8Array;
}

/** One decrypted message and its index in the session. */
export interface DecryptedMegolm {
  readonly index: number;
  readonly plaintext: Uint8Array;
}

/** A device's account. `fallbackKey` is the newest, empty while there is none. */
export interface AccountKeys {
  readonly identityKey: Uint8Array;
  readonly fallbackKey: Uint8Array;
  readonly state: Uint8Array;
}

/** One end of a pairwise session. `sessionId` (32 bytes) is the same at both. */
export interface PairwiseSession {
  readonly sessionId: Uint8Array;
  readonly state: Uint8Array;
}

/** One encrypted message, and the state that has to be stored before `message` leaves. */
export interface EncryptedOlm {
  readonly message: Uint8Array;
  readonly isFirst: boolean;
  readonly state: Uint8Array;
}

/** One decrypted message, and the session after it: to be stored together with what the message said. */
export interface DecryptedOlm {
  readonly session: PairwiseSession;
  readonly plaintext: Uint8Array;
}

/** The objects behind states that were made or read last; a state that is no longer held takes its object along. */
class Live<T> {
  readonly #objects = new WeakMap<Uint8Array, T>();

  /** The object of a state, which may change it: nobody finds it under this state again. */
  take(state: Uint8Array, read: (state: Uint8Array) => T): T {
    const live = this.#objects.get(state) ?? read(state);
    this.#objects.delete(state);
    return live;
  }

  /** The object of a state, to be read from. */
  look(state: Uint8Array, read: (state: Uint8Array) => T): T {
    return this.put(state, this.#objects.get(state) ?? read(state));
  }

  put(state: Uint8Array, live: T): T {
    this.#objects.set(state, live);
    return live;
  }
}

export class Sessions {
  readonly #entropy: Entropy;
  readonly #accounts = new Live<OlmAccount>();
  readonly #pairs = new Live<OlmSession>();
  readonly #outbound = new Live<OutboundGroupSession>();
  readonly #inbound = new Live<InboundGroupSession>();

  constructor(entropy: Entropy) {
    this.#entropy = entropy;
    redact(this, "Sessions");
  }

  // --- Megolm -----------------------------------------------------------------------------------

  /** Start a sender's session at index 0. */
  megolmNew(): OutboundMegolm {
    return this.#describeOutbound(OutboundGroupSession.create(this.#entropy));
  }

  /** What a sender's state holds: to share its session key, as of the next index, with a newcomer. */
  megolmOutbound(state: Uint8Array): OutboundMegolm {
    const session = this.#outbound.look(state, readOutbound);
    return outboundOf(session, state);
  }

  /** Encrypt under the next index. Store the new state before the message leaves. */
  megolmEncrypt(state: Uint8Array, plaintext: Uint8Array): EncryptedMegolm {
    const session = this.#outbound.take(state, readOutbound);
    const { index, message } = session.encrypt(plaintext);
    const after = encodeOutboundGroup(session.state);
    this.#outbound.put(after, session);
    return redact({ index, message, state: after }, "EncryptedMegolm");
  }

  /** Make a recipient's session of a sender's session key, 229 bytes, which the session itself has signed. */
  megolmImport(sessionKey: Uint8Array): InboundMegolm {
    return this.#describeInbound(InboundGroupSession.fromSessionKey(sessionKey));
  }

  /** Make a recipient's session of an export, 165 bytes. Nothing in it is signed: take it from oneself only. */
  megolmRestore(exported: Uint8Array): InboundMegolm {
    return this.#describeInbound(InboundGroupSession.fromExport(exported));
  }

  /** A recipient's session from `index` on, 165 bytes, secret: for another device of one's own. */
  megolmExport(state: Uint8Array, index: number): Uint8Array {
    return this.#inbound.look(state, readInbound).exportAt(index);
  }

  /** Decrypt, as often as asked to. The caller drops repetitions; the recipient's state stays as it is. */
  megolmDecrypt(state: Uint8Array, message: Uint8Array): DecryptedMegolm {
    return redact(this.#inbound.look(state, readInbound).decrypt(message), "DecryptedMegolm");
  }

  // --- Olm --------------------------------------------------------------------------------------

  /** Create a device's account, whose identity key its certificate names. */
  olmAccountNew(): AccountKeys {
    return this.#describeAccount(OlmAccount.create(this.#entropy));
  }

  /** What an account's state holds. */
  olmAccount(state: Uint8Array): AccountKeys {
    const account = this.#accounts.look(state, readAccount);
    return accountOf(account, state);
  }

  /** The account with a new fallback key. The one before still serves, until the next one is made. */
  olmNewFallback(state: Uint8Array): AccountKeys {
    const account = this.#accounts.take(state, readAccount);
    account.newFallbackKey(this.#entropy);
    return this.#describeAccount(account);
  }

  /** Start a session of the account with another, by its identity key and fallback key, 32 bytes each. */
  olmStart(state: Uint8Array, identityKey: Uint8Array, fallbackKey: Uint8Array): PairwiseSession {
    const account = this.#accounts.look(state, readAccount);
    return this.#describePair(account.startSession(identityKey, fallbackKey, this.#entropy));
  }

  /** Take a first message of the account with this identity key. It is accepted again: look for its session first. */
  olmAccept(state: Uint8Array, identityKey: Uint8Array, message: Uint8Array): DecryptedOlm {
    const { session, plaintext } = this.#accounts.look(state, readAccount).acceptSession(identityKey, message);
    return redact({ session: this.#describePair(session), plaintext }, "DecryptedOlm");
  }

  /** The session, 32 bytes, that a first message starts. */
  olmSessionId(message: Uint8Array): Uint8Array {
    return sessionIdOfFirstMessage(message);
  }

  /** Encrypt. Store the new state before the message leaves. */
  olmEncrypt(state: Uint8Array, plaintext: Uint8Array): EncryptedOlm {
    const session = this.#pairs.take(state, readPair);
    const { message, isFirst } = session.encrypt(plaintext, this.#entropy);
    return redact({ message, isFirst, state: this.#describePair(session).state }, "EncryptedOlm");
  }

  /** Decrypt, in any order, each message once; up to 2,000 may be missing, and the last 40 of those may still come. */
  olmDecrypt(state: Uint8Array, message: Uint8Array, isFirst: boolean): DecryptedOlm {
    const session = this.#pairs.take(state, readPair);
    const plaintext = session.decrypt(message, isFirst);
    return redact({ session: this.#describePair(session), plaintext }, "DecryptedOlm");
  }

  /** Start a comparison of short codes. */
  sasNew(): Sas {
    return new Sas(this.#entropy);
  }

  // --- states -----------------------------------------------------------------------------------

  #describeOutbound(session: OutboundGroupSession): OutboundMegolm {
    const state = encodeOutboundGroup(session.state);
    this.#outbound.put(state, session);
    return outboundOf(session, state);
  }

  #describeInbound(session: InboundGroupSession): InboundMegolm {
    const state = encodeInboundGroup(session.state);
    this.#inbound.put(state, session);
    return redact({ sessionId: session.id, firstIndex: session.firstIndex, state }, "InboundMegolm");
  }

  #describeAccount(account: OlmAccount): AccountKeys {
    const state = encodeAccount(account.state);
    this.#accounts.put(state, account);
    return accountOf(account, state);
  }

  #describePair(session: OlmSession): PairwiseSession {
    const state = encodeSession(session.state);
    this.#pairs.put(state, session);
    return redact({ sessionId: session.id, state }, "PairwiseSession");
  }
}

function outboundOf(session: OutboundGroupSession, state: Uint8Array): OutboundMegolm {
  const { id: sessionId, nextIndex } = session;
  return redact({ sessionId, nextIndex, sessionKey: session.sessionKey(), state }, "OutboundMegolm");
}

function accountOf({ identityKey, fallbackKey }: OlmAccount, state: Uint8Array): AccountKeys {
  return redact({ identityKey, fallbackKey, state }, "AccountKeys");
}

function readOutbound(state: Uint8Array): OutboundGroupSession {
  return new OutboundGroupSession(decodeOutboundGroup(state));
}

function readInbound(state: Uint8Array): InboundGroupSession {
  return new InboundGroupSession(decodeInboundGroup(state));
}

function readAccount(state: Uint8Array): OlmAccount {
  return new OlmAccount(decodeAccount(state));
}

function readPair(state: Uint8Array): OlmSession {
  return new OlmSession(decodeSession(state));
}
