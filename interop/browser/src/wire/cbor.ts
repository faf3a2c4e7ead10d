/**
 * Canonical CBOR: one encoding for one value, and a decoder that refuses all others.
 *
 * Owns: the subset of CBOR that Rail Gun speaks. Must not know: what a value means. Spec: docs/spec/encoding.md.
 * The decoder goes over the bytes once and refuses at the first that a canonical encoding would not have.
 */
import { utf8 } from "../bytes.js";
import { InvalidArgument, MalformedInput } from "../errors.js";

export type Value = number | Uint8Array | string | boolean | null | readonly Value[] | ReadonlyMap<number, Value>;

export const INTEGER_MAX = Number.MAX_SAFE_INTEGER;
export const DEPTH_MAX = 8;
export const MAP_KEY_MAX = 23;
/** Items of one value, keys included: a byte may be an item, and an item takes far more memory than a byte. */
export const ITEMS_MAX = 65_536;

const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const SIMPLE = 7;
const FALSE = 20;
const TRUE = 21;
const NULL = 22;
const LONE_SURROGATE = /\p{Cs}/u;

/** Encode canonically. Raises InvalidArgument: the value lies outside the subset (the caller's bug, not a peer's). */
export function encode(value: Value): Uint8Array {
  const writer = new Writer();
  writer.value(value, DEPTH_MAX);
  return writer.written();
}

/**
 * Decode exactly one canonical value of at most `bytesMax` bytes. Byte strings in it are copies.
 *
 * Raises MalformedInput for anything else, in time and memory linear in `bytesMax`.
 */
export function decode(data: Uint8Array, bytesMax: number): Value {
  if (data.length > bytesMax) throw new MalformedInput(`${data.length} bytes, at most ${bytesMax} allowed`);
  const reader = new Reader(data);
  const value = reader.value(DEPTH_MAX);
  if (!reader.atEnd) throw notCanonical();
  return value;
}

/** Whether UTF-8 has a form for it. */
export function isWellFormed(text: string): boolean {
  return !LONE_SURROGATE.test(text);
}

function notCanonical(): MalformedInput {
  return new MalformedInput("not canonical CBOR");
}

class Writer {
  #buffer = new Uint8Array(256);
  #length = 0;

  written(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  value(value: Value, depth: number): void {
    if (value === null) this.#head(SIMPLE, NULL);
    else if (typeof value === "boolean") this.#head(SIMPLE, value ? TRUE : FALSE);
    else if (typeof value === "number") this.#integer(value);
    else if (typeof value === "string") this.#text(value);
    else if (value instanceof Uint8Array) {
      this.#head(BYTES, value.length);
      this.#append(value);
    } else if (depth === 0) throw new InvalidArgument("nested too deeply");
    else if (value instanceof Map) this.#map(value as ReadonlyMap<number, Value>, depth);
    else this.#array(value as readonly Value[], depth);
  }

  #integer(value: number): void {
    if (!Number.isSafeInteger(value)) throw new InvalidArgument("integer out of range");
    if (value < 0) this.#head(NEGATIVE, -1 - value);
    else this.#head(UNSIGNED, value);
  }

  #text(value: string): void {
    if (!isWellFormed(value)) throw new InvalidArgument("lone surrogates are no valid UTF-8");
    const encoded = utf8(value);
    this.#head(TEXT, encoded.length);
    this.#append(encoded);
  }

  #array(value: readonly Value[], depth: number): void {
    this.#head(ARRAY, value.length);
    for (const item of value) this.value(item, depth - 1);
  }

  #map(value: ReadonlyMap<number, Value>, depth: number): void {
    this.#head(MAP, value.size);
    for (const [key, item] of [...value].sort(([left], [right]) => left - right)) {
      if (!Number.isInteger(key) || key < 0 || key > MAP_KEY_MAX) {
        throw new InvalidArgument("map keys are integers 0 to 23");
      }
      this.#head(UNSIGNED, key);
      this.value(item, depth - 1);
    }
  }

  #head(major: number, number: number): void {
    const first = major << 5;
    if (number < 24) this.#append([first | number]);
    else if (number < 0x100) this.#append([first | 24, number]);
    else if (number < 0x1_0000) this.#append([first | 25, number >> 8, number & 255]);
    else if (number < 0x1_0000_0000) this.#append([first | 26, ...quad(number)]);
    else this.#append([first | 27, ...quad(Math.floor(number / 0x1_0000_0000)), ...quad(number % 0x1_0000_0000)]);
  }

  #append(bytes: ArrayLike<number>): void {
    const end = this.#length + bytes.length;
    if (end > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#buffer.length));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = end;
  }
}

function quad(number: number): [number, number, number, number] {
  return [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255];
}

class Reader {
  readonly #data: Uint8Array;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #position = 0;
  #items = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  get atEnd(): boolean {
    return this.#position === this.#data.length;
  }

  value(depth: number): Value {
    this.#items += 1;
    if (this.#items > ITEMS_MAX) throw new MalformedInput(`more than ${ITEMS_MAX} items`);
    const first = this.#byte();
    const major = first >> 5;
    const number = this.#number(first & 31);
    switch (major) {
      case UNSIGNED:
        return number;
      case NEGATIVE:
        if (number >= INTEGER_MAX) throw notCanonical();
        return -1 - number;
      case BYTES:
        return this.#take(number).slice();
      case TEXT:
        return this.#text(number);
      case ARRAY:
        return this.#array(number, depth);
      case MAP:
        return this.#map(number, depth);
      case SIMPLE:
        return simple(first & 31);
      default:
        throw notCanonical();
    }
  }

  #byte(): number {
    const byte = this.#data[this.#position];
    if (byte === undefined) throw notCanonical();
    this.#position += 1;
    return byte;
  }

  /** What the head's low five bits announce, in its shortest form only. */
  #number(low: number): number {
    if (low < 24) return low;
    if (low > 27) throw notCanonical();
    const width = 1 << (low - 24);
    let number = 0;
    for (const byte of this.#take(width)) number = number * 256 + byte;
    const least = [24, 0x100, 0x1_0000, 0x1_0000_0000][low - 24] ?? 0;
    if (number < least || number > INTEGER_MAX) throw notCanonical();
    return number;
  }

  #take(count: number): Uint8Array {
    const end = this.#position + count;
    if (end > this.#data.length) throw notCanonical();
    const taken = this.#data.subarray(this.#position, end);
    this.#position = end;
    return taken;
  }

  #text(count: number): string {
    const encoded = this.#take(count);
    try {
      return this.#decoder.decode(encoded);
    } catch {
      throw notCanonical();
    }
  }

  #array(count: number, depth: number): Value[] {
    if (depth === 0) throw notCanonical();
    const items: Value[] = [];
    for (let index = 0; index < count; index += 1) items.push(this.value(depth - 1));
    return items;
  }

  #map(count: number, depth: number): Map<number, Value> {
    if (depth === 0 || count > MAP_KEY_MAX + 1) throw notCanonical();
    const items = new Map<number, Value>();
    let before = -1;
    for (let index = 0; index < count; index += 1) {
      const key = this.value(0);
      if (typeof key !== "number" || key <= before || key > MAP_KEY_MAX) throw notCanonical();
      before = key;
      items.set(key, this.value(depth - 1));
    }
    return items;
  }
}

function simple(low: number): boolean | null {
  if (low === NULL) return null;
  if (low !== FALSE && low !== TRUE) throw notCanonical();
  return low === TRUE;
}
