/**
 * The envelope's layout: fixed binary, exactly 256, 4096 or 65536 bytes.
 *
 * Owns: where each field stands, what the inner part looks like, how much fits. Must not know: keys, ciphers, hashes.
 * Spec: docs/spec/envelope.md.
 */
import { concatBytes, isZero, readU16, readU32, u32 } from "../bytes.js";
import { InvalidArgument, MalformedInput, RefusalCode } from "../errors.js";
import { EnvelopeKind, ENVELOPE_SIZES_BYTES, SizeClass } from "../types.js";

export const ENVELOPE_VERSION = 1;
export const NONCE_BYTES = 12;
export const SIGNATURE_BYTES = 64;
export const HINT_BYTES = 8;
export const HEADER_BYTES = 38;
export const INNER_HEADER_BYTES = 11;
const TAG_BYTES = 32;
const SEALED_OFFSET = HEADER_BYTES + NONCE_BYTES;
const CIPHER_TAG_BYTES = 16;
const OVERHEAD_BYTES = SEALED_OFFSET + CIPHER_TAG_BYTES + SIGNATURE_BYTES;

/** What a relay reads of an envelope. `epochStart`: Unix seconds; `tag`: 32 bytes. */
export interface EnvelopeHeader {
  readonly sizeClass: SizeClass;
  readonly epochStart: number;
  readonly tag: Uint8Array;
}

/** An envelope whose layout is right; nothing of it is proved yet. The parts are views of `data`. */
export interface ParsedEnvelope extends EnvelopeHeader {
  readonly data: Uint8Array;
  readonly nonce: Uint8Array;
  readonly sealed: Uint8Array;
  readonly signedPart: Uint8Array;
  readonly signature: Uint8Array;
}

/** The inner part once opened. `hint` has 8 bytes, zeros for the kinds cover and sealed. */
export interface Inner {
  readonly kind: EnvelopeKind;
  readonly hint: Uint8Array;
  readonly body: Uint8Array;
}

export function envelopeBytes(sizeClass: SizeClass): number {
  return ENVELOPE_SIZES_BYTES[sizeClass];
}

/** Length of the inner part before sealing: size - 130 bytes. */
export function innerBytes(sizeClass: SizeClass): number {
  return envelopeBytes(sizeClass) - OVERHEAD_BYTES;
}

/** The longest body in bytes: 115, 3955 or 65395. */
export function bodyBytesMax(sizeClass: SizeClass): number {
  return innerBytes(sizeClass) - INNER_HEADER_BYTES;
}

/** The smallest class whose body holds `bodyBytes` bytes. Raises InvalidArgument where none does. */
export function smallestClassFor(bodyBytes: number): SizeClass {
  for (const sizeClass of Object.values(SizeClass)) {
    if (bodyBytes <= bodyBytesMax(sizeClass)) return sizeClass;
  }
  throw new InvalidArgument(`${bodyBytes} bytes fit no envelope`);
}

/**
 * Check an envelope's layout, in order of cost.
 *
 * Raises MalformedInput: WRONG_SIZE (no envelope has this length, or the class names another one),
 * UNSUPPORTED_VERSION, or MALFORMED (unknown class).
 */
export function parseEnvelope(data: Uint8Array): ParsedEnvelope {
  const byLength = classOf(data.length);
  if (byLength === null) throw new MalformedInput(`${data.length} bytes are no envelope`, RefusalCode.WRONG_SIZE);
  const [version = 0, classNumber = 0] = data;
  if (version !== ENVELOPE_VERSION) {
    throw new MalformedInput(`envelope version ${version}`, RefusalCode.UNSUPPORTED_VERSION);
  }
  if (classNumber >= ENVELOPE_SIZES_BYTES.length) throw new MalformedInput("unknown size class");
  if (classNumber !== byLength) throw new MalformedInput("size class names another length", RefusalCode.WRONG_SIZE);
  const end = data.length - SIGNATURE_BYTES;
  return {
    sizeClass: byLength,
    epochStart: readU32(data, 2),
    tag: data.subarray(6, HEADER_BYTES),
    data,
    nonce: data.subarray(HEADER_BYTES, SEALED_OFFSET),
    sealed: data.subarray(SEALED_OFFSET, end),
    signedPart: data.subarray(0, end),
    signature: data.subarray(end),
  };
}

/** The first 38 bytes. Raises InvalidArgument where a field does not fit. */
export function packHeader(header: EnvelopeHeader): Uint8Array {
  if (header.tag.length !== TAG_BYTES) throw new InvalidArgument("a tag has 32 bytes");
  return concatBytes(Uint8Array.of(ENVELOPE_VERSION, header.sizeClass), u32(header.epochStart), header.tag);
}

/**
 * The inner part, padded with zeros to size - 130 bytes.
 *
 * Raises InvalidArgument: the body is too long for the class, or the hint does not fit the kind.
 */
export function packInner(inner: Inner, sizeClass: SizeClass): Uint8Array {
  const { kind, hint, body } = inner;
  if (hint.length !== HINT_BYTES || (!isHinted(kind) && !isZero(hint))) {
    throw new InvalidArgument("a hint has 8 bytes, zeros for the kinds cover and sealed");
  }
  if (body.length > bodyBytesMax(sizeClass)) {
    throw new InvalidArgument(`${body.length} bytes do not fit, at most ${bodyBytesMax(sizeClass)} do`);
  }
  const packed = new Uint8Array(innerBytes(sizeClass));
  packed.set([kind, ...hint, body.length >> 8, body.length & 255]);
  packed.set(body, INNER_HEADER_BYTES);
  return packed;
}

/**
 * Read an inner part that was unsealed.
 *
 * Raises MalformedInput: no class has this length, the kind is unknown, the hint does not fit it, the body overruns,
 * or the padding is not all zeros.
 */
export function unpackInner(inner: Uint8Array): Inner {
  if (classOf(inner.length + OVERHEAD_BYTES) === null) {
    throw new MalformedInput("inner part of the wrong length", RefusalCode.WRONG_SIZE);
  }
  const kind = Object.values(EnvelopeKind).find((known) => known === inner[0]);
  if (kind === undefined) throw new MalformedInput("unknown envelope kind");
  const hint = inner.slice(1, 1 + HINT_BYTES);
  if (!isHinted(kind) && !isZero(hint)) throw new MalformedInput("a hint on a kind that has none");
  const end = INNER_HEADER_BYTES + readU16(inner, 1 + HINT_BYTES);
  if (end > inner.length) throw new MalformedInput("body overruns the envelope");
  if (!isZero(inner.subarray(end))) throw new MalformedInput("padding is not all zeros");
  return { kind, hint, body: inner.slice(INNER_HEADER_BYTES, end) };
}

function isHinted(kind: EnvelopeKind): boolean {
  return kind === EnvelopeKind.GROUP || kind === EnvelopeKind.PAIRWISE;
}

function classOf(length: number): SizeClass | null {
  return Object.values(SizeClass).find((sizeClass) => ENVELOPE_SIZES_BYTES[sizeClass] === length) ?? null;
}
