/**
 * Short codes that two people compare, and MACs under what they compared. Spec: docs/spec/sessions.md, "Codes that
 * people compare"; what goes into them: docs/spec/devices.md.
 *
 * Owns: one comparison. Must not know: what is linked or confirmed. Lives in memory alone.
 */
import { toHex, utf8 } from "../bytes.js";
import { CryptoError, InvalidArgument } from "../errors.js";
import {
  agree,
  curvePublicKey,
  type Entropy,
  equalInConstantTime,
  freshSecret,
  hkdfSha256,
  hmacSha256,
  KEY_BYTES,
  wipe,
} from "./primitives.js";
import { redact } from "./redaction.js";

export const SAS_MAC_BYTES = 32;
const CODE_BYTES = 5;
const NUMBER_MIN = 1_000;
const NUMBER_BITS = 13n;
const NUMBER_MASK = (1n << NUMBER_BITS) - 1n;
const UNUSED_BITS = 1n;

/** One end of a comparison. Serves once. */
export class Sas {
  readonly #publicKey: Uint8Array;
  #secret: Uint8Array | undefined;

  constructor(entropy: Entropy) {
    this.#secret = freshSecret(entropy);
    this.#publicKey = curvePublicKey(this.#secret);
    redact(this, "Sas");
  }

  /** Curve25519, 32 bytes. */
  get publicKey(): Uint8Array {
    return this.#publicKey.slice();
  }

  /** With the other end's key, 32 bytes. Raises CryptoError where it is none, or when called again. */
  establish(theirKey: Uint8Array): EstablishedSas {
    const secret = this.#secret;
    this.#secret = undefined;
    if (secret === undefined || theirKey.length !== KEY_BYTES) {
      throw new CryptoError();
    }
    try {
      return new EstablishedSas(agree(secret, theirKey));
    } finally {
      wipe(secret);
    }
  }
}

/** What two ends share once each has the other's key. */
export class EstablishedSas {
  readonly #shared: Uint8Array;

  /** Takes the agreed secret (32 bytes) over. */
  constructor(shared: Uint8Array) {
    if (shared.length !== KEY_BYTES) {
      throw new InvalidArgument("an agreed secret has 32 bytes");
    }
    this.#shared = shared;
    redact(this, "EstablishedSas");
  }

  /** Three numbers from 1,000 to 9,191 that people compare, for this context. */
  decimals(info: string): readonly [number, number, number] {
    let bits = 0n;
    for (const byte of hkdfSha256(this.#shared, undefined, info, CODE_BYTES)) {
      bits = (bits << 8n) | BigInt(byte);
    }
    const number = (place: bigint): number =>
      Number((bits >> (UNUSED_BITS + place * NUMBER_BITS)) & NUMBER_MASK) + NUMBER_MIN;
    return [number(2n), number(1n), number(0n)];
  }

  /** 32 bytes that only the two ends can make of `content` in this context. */
  mac(content: Uint8Array, info: string): Uint8Array {
    const key = hkdfSha256(this.#shared, undefined, info, KEY_BYTES);
    const mac = hmacSha256(key, utf8(toHex(content)));
    wipe(key);
    return mac;
  }

  /** Raises CryptoError unless `mac` is what the other end made. */
  checkMac(content: Uint8Array, info: string, mac: Uint8Array): void {
    if (!equalInConstantTime(this.mac(content, info), mac)) {
      throw new CryptoError();
    }
  }
}
