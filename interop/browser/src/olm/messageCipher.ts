/**
 * Authenticated encryption of one message under its own key: AES-256-CBC, then HMAC-SHA-256 cut to 8 bytes.
 *
 * Owns: the keys derived for it, and that the MAC is checked before anything is decrypted. Must not know: where a
 * message's key comes from. Spec: docs/spec/sessions.md.
 */
import { concatBytes } from "../bytes.js";
import { CryptoError } from "../errors.js";
import { MAC_BYTES } from "./messages.js";
import {
  aesDecrypt,
  aesEncrypt,
  equalInConstantTime,
  hkdfSha256,
  hmacSha256,
  IV_BYTES,
  KEY_BYTES,
  wipe,
} from "./primitives.js";

export const OLM_KEYS = "OLM_KEYS";
export const MEGOLM_KEYS = "MEGOLM_KEYS";

/** Which of the two derivations. */
export type KeyLabel = typeof OLM_KEYS | typeof MEGOLM_KEYS;

/** Encrypt, have `frame` put the ciphertext into its place, and return that with the MAC behind. */
export function sealMessage(
  messageKey: Uint8Array,
  label: KeyLabel,
  plaintext: Uint8Array,
  frame: (ciphertext: Uint8Array) => Uint8Array,
): Uint8Array {
  const keys = deriveKeys(messageKey, label);
  const authenticated = frame(aesEncrypt(keys.aes, keys.iv, plaintext));
  const mac = hmacSha256(keys.mac, authenticated);
  wipe(keys.all);
  return concatBytes(authenticated, mac.subarray(0, MAC_BYTES));
}

/** Check and decrypt. Raises CryptoError. */
export function openMessage(
  messageKey: Uint8Array,
  label: KeyLabel,
  message: { readonly authenticated: Uint8Array; readonly mac: Uint8Array; readonly ciphertext: Uint8Array },
): Uint8Array {
  const keys = deriveKeys(messageKey, label);
  try {
    const mac = hmacSha256(keys.mac, message.authenticated);
    if (!equalInConstantTime(mac.subarray(0, MAC_BYTES), message.mac)) {
      throw new CryptoError();
    }
    return aesDecrypt(keys.aes, keys.iv, message.ciphertext);
  } finally {
    wipe(keys.all);
  }
}

interface MessageKeys {
  readonly all: Uint8Array;
  readonly aes: Uint8Array;
  readonly mac: Uint8Array;
  readonly iv: Uint8Array;
}

function deriveKeys(messageKey: Uint8Array, label: KeyLabel): MessageKeys {
  const all = hkdfSha256(messageKey, undefined, label, 2 * KEY_BYTES + IV_BYTES);
  return {
    all,
    aes: all.subarray(0, KEY_BYTES),
    mac: all.subarray(KEY_BYTES, 2 * KEY_BYTES),
    iv: all.subarray(2 * KEY_BYTES),
  };
}
