/**
 * What is kept of accounts and sessions, as bytes: canonical CBOR with a version, each kind under its own name.
 *
 * Owns: that form. Must not know: where it is kept, or under which key it is encrypted there (it has secrets in the
 * open: whoever stores it seals it). Every decoder raises CryptoError, and nothing else, for what no encoder made. A
 * session's size tells how many messages are missing in it; whoever hides sizes pads.
 */
import { CryptoError, PeerError } from "../errors.js";
import { decode, encode, type Value } from "../wire/cbor.js";
import {
  array,
  bytes,
  nested,
  type Of,
  packFields,
  type Structure,
  structure,
  uint,
  unpackFields,
} from "../wire/schema.js";
import { type AccountState, FALLBACK_KEYS_MAX } from "./account.js";
import { INDEX_MAX, RATCHET_BYTES } from "./groupRatchet.js";
import type { InboundGroupState, OutboundGroupState } from "./groupSession.js";
import { KEY_BYTES } from "./primitives.js";
import { type ReceiverChainState, SKIPPED_KEYS_MAX } from "./receiverChain.js";
import { RECEIVER_CHAINS_MAX, type SessionState } from "./session.js";

/** Of all kinds together: raised when any of them changes, and with it a reader of the form before. */
export const STATE_VERSION = 1;
/** The largest are sessions with the keys of 40 missing messages in each of five chains: about 9 kB. */
export const STATE_BYTES_MAX = 16_384;

const KEY = bytes(KEY_BYTES);
const ACCOUNT = structure("account", { identitySecret: KEY, fallbackSecrets: array(KEY, FALLBACK_KEYS_MAX) });
const KEYS = structure("session keys", { identityKey: KEY, baseKey: KEY, oneTimeKey: KEY });
const SKIPPED = structure("skipped key", { index: uint(), key: KEY });
const CHAIN = structure("chain", {
  ratchetKey: KEY,
  chainKey: KEY,
  index: uint(),
  skipped: array(nested(SKIPPED), SKIPPED_KEYS_MAX),
});
const ACTIVE = structure("active session", {
  keys: nested(KEYS),
  rootKey: KEY,
  ratchetSecret: KEY,
  chainKey: KEY,
  index: uint(),
  chains: array(nested(CHAIN), RECEIVER_CHAINS_MAX),
});
const WAITING = structure("waiting session", {
  keys: nested(KEYS),
  rootKey: KEY,
  theirRatchetKey: KEY,
  chains: array(nested(CHAIN), RECEIVER_CHAINS_MAX, 1),
});
const OUTBOUND = structure("outbound group session", {
  seed: KEY,
  parts: bytes(RATCHET_BYTES),
  nextIndex: uint(INDEX_MAX + 1),
});
const INBOUND = structure("inbound group session", {
  id: KEY,
  parts: bytes(RATCHET_BYTES),
  firstIndex: uint(INDEX_MAX),
});

export function encodeAccount(state: AccountState): Uint8Array {
  return pack(ACCOUNT, state);
}

export function decodeAccount(encoded: Uint8Array): AccountState {
  return unpack(ACCOUNT, open(encoded));
}

export function encodeSession(state: SessionState): Uint8Array {
  const { keys, sender, chains } = state;
  return "chainKey" in sender ? pack(ACTIVE, { keys, ...sender, chains }) : pack(WAITING, { keys, ...sender, chains });
}

export function decodeSession(encoded: Uint8Array): SessionState {
  const values = open(encoded);
  if (values[1] === WAITING.name) {
    const { keys, rootKey, theirRatchetKey, chains } = unpack(WAITING, values);
    return { keys, sender: { rootKey, theirRatchetKey }, chains: checkedChains(chains) };
  }
  const { keys, rootKey, ratchetSecret, chainKey, index, chains } = unpack(ACTIVE, values);
  return { keys, sender: { rootKey, ratchetSecret, chainKey, index }, chains: checkedChains(chains) };
}

export function encodeOutboundGroup(state: OutboundGroupState): Uint8Array {
  return pack(OUTBOUND, state);
}

export function decodeOutboundGroup(encoded: Uint8Array): OutboundGroupState {
  return unpack(OUTBOUND, open(encoded));
}

export function encodeInboundGroup(state: InboundGroupState): Uint8Array {
  return pack(INBOUND, state);
}

export function decodeInboundGroup(encoded: Uint8Array): InboundGroupState {
  return unpack(INBOUND, open(encoded));
}

function pack<T>(kind: Structure<T>, state: T): Uint8Array {
  return encode([STATE_VERSION, kind.name, ...packFields(kind, state)]);
}

/** Version, name of the kind, fields. */
function open(encoded: Uint8Array): readonly Value[] {
  const values = refusing(() => decode(encoded, STATE_BYTES_MAX));
  if (!Array.isArray(values) || values[0] !== STATE_VERSION) {
    throw new CryptoError();
  }
  return values as readonly Value[];
}

function unpack<T>(kind: Structure<T>, values: readonly Value[]): T {
  const [, name, ...fields] = values;
  if (name !== kind.name || fields.length !== kind.fields.length) {
    throw new CryptoError();
  }
  return refusing(() => unpackFields(kind, fields));
}

/** Keys that are kept belong to messages before the next one, each to another. */
function checkedChains(chains: readonly Of<typeof CHAIN>[]): readonly ReceiverChainState[] {
  for (const { index, skipped } of chains) {
    const indices = new Set(skipped.map((one) => one.index));
    if (indices.size !== skipped.length || skipped.some((one) => one.index >= index)) {
      throw new CryptoError();
    }
  }
  return chains;
}

function refusing<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof PeerError) {
      throw new CryptoError();
    }
    throw error;
  }
}
