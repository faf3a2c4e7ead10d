/** Byte strings as they stand in the vectors: hexadecimal, or parts of it and repeats. */
import { concatBytes, fromHex, toHex } from "../../src/bytes.js";

export type Packed = string | readonly (string | { readonly repeat: string; readonly count: number })[];
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export function unpacked(value: Packed): Uint8Array {
  if (typeof value === "string") return fromHex(value);
  return concatBytes(...value.flatMap((part) =>
    typeof part === "string" ? [fromHex(part)] : new Array<Uint8Array>(part.count).fill(fromHex(part.repeat))));
}

/** A field as plain JSON: structures are arrays of their fields, absent ones null, byte strings hexadecimal. */
export function plain(value: unknown): Json {
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value === "number" || typeof value === "boolean" || typeof value === "string") {
    return value;
  }
  if (typeof value !== "object") throw new TypeError("no field");
  return fieldsOf(value);
}

/** The fields of a structure in their order; an address as it travels. */
export function fieldsOf(record: object): Json[] {
  return Object.entries(record).filter(([name]) => name !== "is").map(([, value]) => plain(value));
}

/** Vectors with byte strings in one form, so that two of them can be compared. */
export function normal(value: Json): Json {
  if (Array.isArray(value)) {
    const parts = value as readonly Json[];
    const isPacked = parts.some((part) => typeof part === "object" && part !== null && "repeat" in part);
    return isPacked ? toHex(unpacked(parts as unknown as Packed)) : parts.map(normal);
  }
  if (typeof value === "object" && value !== null) {
    // A long byte string without repeats is a list of one part, which a list of one byte string looks like as well.
    const isOne = (key: string, inner: Json): boolean => key === "payload" && Array.isArray(inner);
    const entries = Object.entries(value);
    return Object.fromEntries(entries.map(([key, inner]) =>
      [key, isOne(key, inner) ? toHex(unpacked(inner as unknown as Packed)) : normal(inner)]));
  }
  return value;
}
