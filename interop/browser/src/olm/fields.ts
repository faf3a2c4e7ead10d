/**
 * The little of protobuf that Olm's messages use: numbered fields that are integers or strings of bytes.
 *
 * Owns: one encoding for each value, so that a message has one set of bytes and one id. Must not know: what the fields
 * say. Spec: docs/spec/sessions.md.
 */
import { CryptoError } from "../errors.js";

const MORE = 0x80;
const INTEGER_BYTES_MAX = 10; // of 64 bits, seven in each byte
const BITS_IN_LAST_BYTE_MAX = 1;

/** An unsigned integer in its shortest form. */
export function encodeInteger(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= MORE) {
    bytes.push((rest % MORE) | MORE);
    rest = Math.floor(rest / MORE);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** Reads fields in the order that the caller names; whatever else is there raises CryptoError. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** An integer of 64 bits in its shortest form. One above 2^53 - 1 is read as 2^53 - 1: no use of it comes near. */
  integer(tag: number): number {
    this.#tag(tag);
    return this.#integer();
  }

  /** A string of bytes, as a view; of just `bytes` bytes where that is given. */
  string(tag: number, bytes?: number): Uint8Array {
    this.#tag(tag);
    const length = this.#integer();
    if (length > this.#bytes.length - this.#at || (bytes !== undefined && length !== bytes)) {
      throw new CryptoError();
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Nothing may follow. */
  end(): void {
    if (this.#at !== this.#bytes.length) {
      throw new CryptoError();
    }
  }

  #tag(tag: number): void {
    if (this.#byte() !== tag) {
      throw new CryptoError();
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) {
      throw new CryptoError();
    }
    this.#at += 1;
    return byte;
  }

  #integer(): number {
    let value = 0;
    let scale = 1;
    for (let count = 1; count <= INTEGER_BYTES_MAX; count += 1) {
      const byte = this.#byte();
      value += (byte % MORE) * scale;
      scale *= MORE;
      if (byte < MORE) {
        const isLong = byte === 0 && count > 1;
        if (isLong || (count === INTEGER_BYTES_MAX && byte > BITS_IN_LAST_BYTE_MAX)) {
          throw new CryptoError();
        }
        return Math.min(value, Number.MAX_SAFE_INTEGER);
      }
    }
    throw new CryptoError();
  }
}
