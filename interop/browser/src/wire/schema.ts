/**
 * Shapes: how a record maps onto canonical CBOR and back.
 *
 * Owns: the combinators, and the codec built from structures. Must not know: any particular frame or record.
 * Each shape checks both ways, so that a value that cannot be decoded cannot be sent either.
 * Spec: docs/spec/encoding.md, structures. An absent optional field is null here, and no key on the wire.
 */
import { utf8 } from "../bytes.js";
import { InvalidArgument, MalformedInput } from "../errors.js";
import { decode as decodeValue, encode as encodeValue, INTEGER_MAX, isWellFormed, type Value } from "./cbor.js";

/** How one field looks on the wire. `pack` raises InvalidArgument, `unpack` MalformedInput, where it does not fit. */
export interface Shape<T> {
  readonly optional: boolean;
  pack(value: T): Value;
  unpack(value: Value): T;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- shapes are invariant in what they carry
type AnyShape = Shape<any>;
type Fields = Readonly<Record<string, AnyShape>>;
type ShapeValue<S> = S extends Shape<infer T> ? T : never;
type Values<F extends Fields> = { readonly [N in keyof F]: ShapeValue<F[N]> };

/** Fields in the order in which they stand on the wire, and what must hold between them. */
export interface Structure<T> {
  readonly name: string;
  readonly fields: readonly (readonly [string, AnyShape])[];
  /** Raises InvalidArgument where the fields contradict each other. */
  readonly check: (value: T) => void;
}

/** The type of a structure's values. */
export type Of<S> = S extends Structure<infer T> ? T : never;

/** A shape by a test of what is already CBOR's own type. */
function plain<T extends Value>(what: string, fits: (value: unknown) => boolean): Shape<T> {
  return {
    optional: false,
    pack(value) {
      if (!fits(value)) throw new InvalidArgument(`expected ${what}`);
      return value;
    },
    unpack(value) {
      if (!fits(value)) throw new MalformedInput(`expected ${what}`);
      return value as T;
    },
  };
}

/** A byte string of `least` to `most` bytes. */
export function bytes(least: number, most = least): Shape<Uint8Array> {
  return plain(`${least} to ${most} bytes`, (value) =>
    value instanceof Uint8Array && least <= value.length && value.length <= most);
}

/** An integer from 0 to `most`. */
export function uint(most: number = INTEGER_MAX): Shape<number> {
  return plain(`an integer from 0 to ${most}`, (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most);
}

/** A signed integer from -`most` to `most`. */
export function int(most: number): Shape<number> {
  return plain(`an integer within ${most}`, (value) =>
    typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= most);
}

/** One of these numbers. */
export function oneOf<T extends number>(numbers: Readonly<Record<string, T>>): Shape<T> {
  const known = new Set<unknown>(Object.values(numbers));
  return plain("a known number", (value) => known.has(value));
}

export const BOOL: Shape<boolean> = plain("true or false", (value) => typeof value === "boolean");

/** Text of `least` to `most` bytes of UTF-8, not normalised. */
export function text(most: number, least = 0): Shape<string> {
  return plain(`text of ${least} to ${most} bytes`, (value) => {
    if (typeof value !== "string" || !isWellFormed(value)) return false;
    const length = utf8(value).length;
    return least <= length && length <= most;
  });
}

/** `least` to `most` items of one shape. */
export function array<T>(item: Shape<T>, most: number, least = 0): Shape<readonly T[]> {
  return {
    optional: false,
    pack(value) {
      if (value.length < least || value.length > most) throw new InvalidArgument(`expected ${least} to ${most} items`);
      return value.map((one) => item.pack(one));
    },
    unpack(value) {
      if (!Array.isArray(value) || value.length < least || value.length > most) {
        throw new MalformedInput("array of the wrong length");
      }
      return (value as readonly Value[]).map((one) => item.unpack(one));
    },
  };
}

/** Absent where null. */
export function optional<T>(item: Shape<T>): Shape<T | null> {
  return {
    optional: true,
    pack: (value) => (value === null ? null : item.pack(value)),
    unpack: (value) => item.unpack(value),
  };
}

/** Fields in order, and a check of all of them together. */
export function structure<F extends Fields>(
  name: string,
  fields: F,
  check: (value: Values<F>) => void = () => undefined,
): Structure<Values<F>> {
  return { name, fields: Object.entries(fields), check };
}

/** Another structure, as an array of its fields in order. */
export function nested<T>(inner: Structure<T>): Shape<T> {
  return {
    optional: false,
    pack: (value) => packFields(inner, value),
    unpack(value) {
      if (!Array.isArray(value) || value.length !== inner.fields.length) {
        throw new MalformedInput("structure of the wrong length");
      }
      return unpackFields(inner, value as readonly Value[]);
    },
  };
}

/** All fields in their order, none of them optional. Raises InvalidArgument. */
export function packFields<T>(inner: Structure<T>, value: T): Value[] {
  inner.check(value);
  return inner.fields.map(([name, shape]) => shape.pack((value as Record<string, unknown>)[name]));
}

/** The reverse of `packFields`, for as many values as there are fields. Raises MalformedInput. */
export function unpackFields<T>(inner: Structure<T>, values: readonly Value[]): T {
  const entries = inner.fields.map(([name, shape], index) => [name, shape.unpack(values[index] ?? null)] as const);
  return checked(inner, Object.fromEntries(entries) as T);
}

/** `value`, or MalformedInput where its fields contradict each other. */
export function checked<T>(inner: Structure<T>, value: T): T {
  try {
    inner.check(value);
  } catch (error) {
    if (error instanceof InvalidArgument) throw new MalformedInput(error.message);
    throw error;
  }
  return value;
}

type Kind = readonly [number, Structure<never>];
type Kinds = Readonly<Record<string, readonly [number, Structure<never>]>>;
type KindValue<K> = K extends readonly [number, Structure<infer T>] ? T : never;

/** A decoded record: its fields, and in `is` which of the codec's kinds it is. */
export type Item<K> = { [N in keyof K & string]: { readonly is: N } & KindValue<K[N]> }[keyof K & string];

/** The type of a codec's records. */
export type Coded<C> = C extends Codec<infer K> ? Item<K> : never;

/** Encodes a closed set of structures as maps: key 0 is the kind, keys 1 to 23 the fields in order. */
export class Codec<K> {
  readonly bytesMax: number;
  readonly kinds: K;
  readonly #byNumber: ReadonlyMap<number, readonly [string, Structure<unknown>]>;

  /** `kinds`: name to kind number (0 to 255) and structure; encodings are at most `bytesMax` bytes. */
  constructor(kinds: K, bytesMax: number) {
    this.kinds = kinds;
    this.bytesMax = bytesMax;
    const entries = Object.entries(kinds as unknown as Kinds);
    this.#byNumber = new Map(entries.map(([name, [number, inner]]) => [number, [name, inner as Structure<unknown>]]));
  }

  /** Encode. Raises InvalidArgument where a field does not fit its shape. */
  encode(item: Item<K>): Uint8Array {
    const encoded = encodeValue(this.pack(item));
    if (encoded.length > this.bytesMax) {
      throw new InvalidArgument(`${item.is} takes ${encoded.length} bytes, at most ${this.bytesMax} allowed`);
    }
    return encoded;
  }

  /** The map that `encode` writes, without the fields in `but`: what signatures cover. Raises InvalidArgument. */
  pack(item: Item<K>, but: readonly string[] = []): Map<number, Value> {
    const [number, inner] = (this.kinds as unknown as Kinds)[item.is] as Kind;
    (inner as Structure<unknown>).check(item);
    const map = new Map<number, Value>([[0, number]]);
    inner.fields.forEach(([name, shape], index) => {
      const value = (item as unknown as Record<string, unknown>)[name];
      if (but.includes(name) || (shape.optional && value === null)) return;
      map.set(index + 1, shape.pack(value));
    });
    return map;
  }

  /** Decode one record, or raise MalformedInput. */
  decode(data: Uint8Array): Item<K> {
    const value = decodeValue(data, this.bytesMax);
    if (!(value instanceof Map)) throw new MalformedInput("expected a map");
    const map = value as ReadonlyMap<number, Value>;
    const number = map.get(0);
    const known = typeof number === "number" ? this.#byNumber.get(number) : undefined;
    if (known === undefined) throw new MalformedInput("unknown kind");
    const [is, inner] = known;
    let used = 1;
    const entries = inner.fields.map(([name, shape], index) => {
      const field = map.get(index + 1);
      if (field === undefined && !shape.optional) throw new MalformedInput("missing field");
      if (field === undefined) return [name, null] as const;
      used += 1;
      return [name, shape.unpack(field) as unknown] as const;
    });
    if (used !== map.size) throw new MalformedInput("unknown field");
    return checked(inner, Object.fromEntries([["is", is], ...entries])) as Item<K>;
  }
}
