/**
 * Making two sets of record hashes alike by comparing ranges.
 *
 * Owns: fingerprints, splitting, and the answer to each frame. Must not know: what a record is, or who the peer is.
 * Spec: docs/spec/directory.md, reconciliation. Symmetric and without state: every answer concerns strictly less than
 * the question, so that an exchange ends whatever the peer does.
 */
import { compareBytes, equalBytes, toHex } from "../bytes.js";
import { keyedHash } from "../crypto/hashing.js";
import {
  ADS_PER_FRAME_MAX,
  DIRECTORY_IDS_PER_FRAME_MAX,
  DIRECTORY_IDS_PER_RANGE_MAX,
  DIRECTORY_PUSH_BYTES_MAX,
  DIRECTORY_RANGES_PER_FRAME_MAX,
} from "../limits.js";
import { lowerBound } from "../ordered.js";
import type { DirectoryRange, IdRange } from "../wire/directoryFrames.js";
import type { Frame } from "../wire/frames.js";

type Of<N extends Frame["is"]> = Extract<Frame, { readonly is: N }>;
export type DirectoryFrame = Of<"DirectoryRanges"> | Of<"DirectoryIds"> | Of<"AdsRequest"> | Of<"AdsPush">;
/** From a record's hash to its encoding, or null. */
export type Lookup = (hash: Uint8Array) => Uint8Array | null;

/** The hashes h with `lower <= h < upper`; empty `upper`: no bound. */
export interface Bounds {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array;
}

const FINGERPRINT_BYTES = 16;
/** Records in one push; well below the largest frame. */
const PUSH_FRAME_BYTES = 49_152;
const SPLIT_PARTS = 16;
const EMPTY = new Uint8Array(0);

/** 16 bytes that name a set, given ascending. */
export function fingerprint(hashes: readonly Uint8Array[]): Uint8Array {
  return keyedHash(null, "railgun/range/v1", ...hashes).slice(0, FINGERPRINT_BYTES);
}

/** The frame that starts a comparison: one range, everything. */
export function openComparison(hashes: readonly Uint8Array[]): Of<"DirectoryRanges"> {
  return { is: "DirectoryRanges", ranges: [describe(hashes, { lower: EMPTY, upper: EMPTY })] };
}

/** Our side of one range of ascending `hashes`. */
export function describe(hashes: readonly Uint8Array[], { lower, upper }: Bounds): DirectoryRange {
  const within = sliceOf(hashes, { lower, upper });
  return { lower, upper, count: within.length, fingerprint: fingerprint(within) };
}

/** Ids for ranges in which we hold few, smaller ranges for the others, an empty DirectoryIds if nothing differs. */
export function answerRanges(hashes: readonly Uint8Array[], frame: Of<"DirectoryRanges">): DirectoryFrame[] {
  const differing = frame.ranges.filter((range) => !isSame(describe(hashes, range), range));
  if (differing.length === 0) return [{ is: "DirectoryIds", ranges: [] }];
  const isLarge = (range: Bounds): boolean => sliceOf(hashes, range).length > DIRECTORY_IDS_PER_RANGE_MAX;
  const large = differing.filter(isLarge);
  const share = Math.floor((2 * DIRECTORY_RANGES_PER_FRAME_MAX) / Math.max(1, large.length));
  const parts = Math.max(2, Math.min(SPLIT_PARTS, share));
  const ranges = large.flatMap((range) => split(hashes, range, parts).map((part) => describe(hashes, part)));
  const ids = differing.filter((range) => !isLarge(range)).map(({ lower, upper }) =>
    ({ lower, upper, ids: sliceOf(hashes, { lower, upper }) }));
  return [...rangesFrames(ranges), ...idsFrames(ids)];
}

/** A request for what the peer has and we lack, and (if `push`) what we have and it lacks, up to 128 KiB. */
export function answerIds(
  hashes: readonly Uint8Array[],
  frame: Of<"DirectoryIds">,
  lookup: Lookup,
  push: boolean,
): DirectoryFrame[] {
  const wanted: Uint8Array[] = [];
  const pushed: Uint8Array[] = [];
  const rest: DirectoryRange[] = [];
  let roomBytes = DIRECTORY_PUSH_BYTES_MAX;
  for (const { lower, upper, ids } of frame.ranges) {
    const within = sliceOf(hashes, { lower, upper });
    const ours = new Set(within.map(toHex));
    const theirs = new Set(ids.map(toHex));
    wanted.push(...ids.filter((id) => !ours.has(toHex(id))));
    if (!push) continue;
    for (const hash of within) {
      const encoded = theirs.has(toHex(hash)) ? null : lookup(hash);
      if (encoded === null) continue;
      if (encoded.length > roomBytes) {
        roomBytes = 0;
        rest.push(describe(hashes, { lower: hash, upper }));
        break;
      }
      roomBytes -= encoded.length;
      pushed.push(encoded);
    }
  }
  const requests = chunked(wanted, ADS_PER_FRAME_MAX).map((chunk) => ({ is: "AdsRequest", hashes: chunk } as const));
  return [...requests, ...pushFrames(pushed), ...rangesFrames(rest)];
}

/** The records that were asked for and are still here. */
export function answerRequest(frame: Of<"AdsRequest">, lookup: Lookup): DirectoryFrame[] {
  const asked = new Map(frame.hashes.map((hash) => [toHex(hash), hash]));
  return pushFrames([...asked.values()].map(lookup).filter((encoded) => encoded !== null));
}

/** As many pushes as the records need, each within a frame's size. */
export function pushFrames(records: readonly Uint8Array[]): Of<"AdsPush">[] {
  return batched(records, (encoded) => encoded.length, PUSH_FRAME_BYTES, ADS_PER_FRAME_MAX)
    .map((batch) => ({ is: "AdsPush", records: batch }));
}

/** Cut a range into at most `parts` that together are it, each with about as many of our hashes (at least one). */
export function split(hashes: readonly Uint8Array[], bounds: Bounds, parts: number): Bounds[] {
  const within = sliceOf(hashes, bounds);
  const count = Math.min(parts, within.length);
  const edges = [bounds.lower];
  for (let part = 1; part < count; part += 1) {
    const cut = Math.floor((within.length * part) / count);
    edges.push(between(within[cut - 1] ?? EMPTY, within[cut] ?? EMPTY));
  }
  return edges.map((lower, index) => ({ lower, upper: edges[index + 1] ?? bounds.upper }));
}

/** The shortest prefix of `above` that is greater than `below`. */
function between(below: Uint8Array, above: Uint8Array): Uint8Array {
  return above.slice(0, above.findIndex((byte, index) => byte !== below[index]) + 1);
}

function sliceOf(hashes: readonly Uint8Array[], { lower, upper }: Bounds): readonly Uint8Array[] {
  const first = lowerBound(hashes, (hash) => compareBytes(hash, lower) < 0);
  const last = upper.length > 0 ? lowerBound(hashes, (hash) => compareBytes(hash, upper) < 0) : hashes.length;
  return hashes.slice(first, Math.max(first, last));
}

function isSame(left: DirectoryRange, right: DirectoryRange): boolean {
  return left.count === right.count && equalBytes(left.fingerprint, right.fingerprint);
}

function rangesFrames(ranges: readonly DirectoryRange[]): DirectoryFrame[] {
  const ordered = [...ranges].sort((left, right) => compareBytes(left.lower, right.lower));
  return chunked(ordered, DIRECTORY_RANGES_PER_FRAME_MAX).map((chunk) => ({ is: "DirectoryRanges", ranges: chunk }));
}

function idsFrames(ranges: readonly IdRange[]): DirectoryFrame[] {
  return batched(ranges, ({ ids }) => ids.length, DIRECTORY_IDS_PER_FRAME_MAX, DIRECTORY_RANGES_PER_FRAME_MAX)
    .map((batch) => ({ is: "DirectoryIds", ranges: batch }));
}

function chunked<T>(items: readonly T[], most: number): T[][] {
  return batched(items, () => 0, 0, most);
}

/** In order, as many to a batch as fit by size and by count. */
function batched<T>(items: readonly T[], sizeOf: (item: T) => number, sizeMax: number, countMax: number): T[][] {
  const batches: T[][] = [];
  let batch: T[] = [];
  let size = 0;
  for (const item of items) {
    if (batch.length > 0 && (batch.length === countMax || size + sizeOf(item) > sizeMax)) {
      batches.push(batch);
      batch = [];
      size = 0;
    }
    batch.push(item);
    size += sizeOf(item);
  }
  return batch.length > 0 ? [...batches, batch] : batches;
}
