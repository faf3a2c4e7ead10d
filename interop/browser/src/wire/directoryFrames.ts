/**
 * Frames by which two peers make their directories alike.
 *
 * Owns: the fields and bounds of ranges, ids, requests and pushes. Must not know: what a directory is.
 * Spec: docs/spec/directory.md, reconciliation.
 */
import { ascends, compareBytes } from "../bytes.js";
import { InvalidArgument } from "../errors.js";
import {
  ADS_PER_FRAME_MAX,
  DIRECTORY_IDS_PER_FRAME_MAX,
  DIRECTORY_IDS_PER_RANGE_MAX,
  DIRECTORY_RANGES_PER_FRAME_MAX,
  OBITUARY_BYTES_MAX,
  U32_MAX,
} from "../limits.js";
import { array, bytes, nested, structure, uint, type Of } from "./schema.js";

const BOUND = bytes(0, 32);
const RECORD_HASH = bytes(32);

interface Bounds {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array;
}

/** What the sender holds in one range: how many records, and the fingerprint of their hashes. */
export const DIRECTORY_RANGE = structure("DirectoryRange", {
  lower: BOUND,
  upper: BOUND,
  count: uint(U32_MAX),
  fingerprint: bytes(16),
});
export type DirectoryRange = Of<typeof DIRECTORY_RANGE>;

/** All record hashes that the sender holds in one range, ascending. An empty `upper` means no upper bound. */
export const ID_RANGE = structure(
  "IdRange",
  { lower: BOUND, upper: BOUND, ids: array(RECORD_HASH, DIRECTORY_IDS_PER_RANGE_MAX) },
  ({ lower, upper, ids }) => {
    if (!ascends(ids)) throw new InvalidArgument("ids ascend");
    const [first, last] = [ids[0], ids[ids.length - 1]];
    if (first === undefined || last === undefined) return;
    if (compareBytes(first, lower) < 0 || (upper.length > 0 && compareBytes(last, upper) >= 0)) {
      throw new InvalidArgument("ids lie in their range");
    }
  },
);
export type IdRange = Of<typeof ID_RANGE>;

export const DIRECTORY_RANGES = structure(
  "DirectoryRanges",
  { ranges: array(nested(DIRECTORY_RANGE), DIRECTORY_RANGES_PER_FRAME_MAX, 1) },
  ({ ranges }) => { checkDisjoint(ranges); },
);

export const DIRECTORY_IDS = structure(
  "DirectoryIds",
  { ranges: array(nested(ID_RANGE), DIRECTORY_RANGES_PER_FRAME_MAX) },
  ({ ranges }) => {
    checkDisjoint(ranges);
    if (ranges.reduce((sum, { ids }) => sum + ids.length, 0) > DIRECTORY_IDS_PER_FRAME_MAX) {
      throw new InvalidArgument("too many ids");
    }
  },
);

export const ADS_REQUEST = structure("AdsRequest", { hashes: array(RECORD_HASH, ADS_PER_FRAME_MAX, 1) });

export const ADS_PUSH = structure("AdsPush", { records: array(bytes(1, OBITUARY_BYTES_MAX), ADS_PER_FRAME_MAX, 1) });

/** Raises InvalidArgument unless each range is non-empty and starts where, or after, the one before ends. */
function checkDisjoint(ranges: readonly Bounds[]): void {
  ranges.forEach(({ lower, upper }, index) => {
    if (upper.length > 0 && compareBytes(lower, upper) >= 0) {
      throw new InvalidArgument("a range's upper bound lies above its lower");
    }
    const before = ranges[index - 1];
    if (before !== undefined && (before.upper.length === 0 || compareBytes(lower, before.upper) < 0)) {
      throw new InvalidArgument("ranges ascend and are disjoint");
    }
  });
}
