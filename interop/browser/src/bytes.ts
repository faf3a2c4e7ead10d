/**
 * Byte strings: what JavaScript's typed arrays lack.
 *
 * Owns: joining, comparing, spelling, integers in fixed layouts. Must not know: what any bytes mean.
 */
import { InvalidArgument } from "./errors.js";

const ENCODER = new TextEncoder();
const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    joined.set(part, position);
    position += part.length;
  }
  return joined;
}

/** Whether both are the same. Not for secrets: it stops at the first difference. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

/** Below, at or above zero, as `left` sorts before, with or after `right`; a prefix sorts first. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const shared = Math.min(left.length, right.length);
  for (let index = 0; index < shared; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Whether each sorts strictly after the one before. */
export function ascends(items: readonly Uint8Array[]): boolean {
  return items.every((item, index) => {
    const before = items[index - 1];
    return before === undefined || compareBytes(before, item) < 0;
  });
}

/** Lower case; also a good key for a Map, whose order then is that of the bytes when sorted. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Raises InvalidArgument for anything but pairs of hexadecimal digits. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) throw new InvalidArgument("not hexadecimal");
  return Uint8Array.from({ length: text.length / 2 }, (_, index) => parseInt(text.slice(2 * index, 2 * index + 2), 16));
}

/** UTF-8 of a text without lone surrogates; those become U+FFFD, so whoever must refuse them looks before. */
export function utf8(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** Code points, as the Python side counts characters. */
export function countCharacters(text: string): number {
  return Array.from(text).length;
}

/** Unpadded base64url. */
export function toBase64url(bytes: Uint8Array): string {
  let text = "";
  for (let position = 0; position < bytes.length; position += 3) {
    const [first = 0, second = 0, third = 0] = bytes.subarray(position, position + 3);
    const bits = (first << 16) | (second << 8) | third;
    const digits = Math.min(bytes.length - position, 3) + 1;
    for (let digit = 0; digit < digits; digit += 1) text += BASE64URL.charAt((bits >> (18 - 6 * digit)) & 63);
  }
  return text;
}

/** Null for anything that `toBase64url` does not write: padding, other characters, spare bits that are not zero. */
export function fromBase64url(text: string): Uint8Array | null {
  if (text.length % 4 === 1) return null;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let position = 0;
  for (const character of text) {
    const digit = BASE64URL.indexOf(character);
    if (digit < 0) return null;
    bits = ((bits << 6) | digit) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[position] = (bits >> held) & 255;
      position += 1;
    }
  }
  return (bits & ((1 << held) - 1)) === 0 ? bytes : null;
}

/** Big-endian. Raises InvalidArgument where it does not fit. */
export function u32(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw new InvalidArgument("not a u32");
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

/** Big-endian, within 2^53 - 1. Raises InvalidArgument where it does not fit. */
export function u64(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgument("not an integer within 2^53 - 1");
  return concatBytes(u32(Math.floor(value / 0x1_0000_0000)), u32(value % 0x1_0000_0000));
}

/** The u16 at `offset`; what is beyond the end reads as zero. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
}

/** The u32 at `offset`; what is beyond the end reads as zero. */
export function readU32(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset) * 0x1_0000 + readU16(bytes, offset + 2);
}
