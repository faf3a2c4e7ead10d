/**
 * Bodies in pieces: for rooms under strict cover, in which every envelope has 4096 bytes.
 *
 * Owns: cutting a body, putting one together again. Must not know: what bodies say, who sent them, when they leave.
 * Spec: docs/spec/cover.md, fragments. Every fragment names the hashes of all, so that nobody else can slip a false one
 * among them.
 */
import { concatBytes, equalBytes, isZero, toHex } from "../bytes.js";
import { contentHash, keyedHash } from "../crypto/hashing.js";
import { MalformedInput } from "../errors.js";
import { FRAGMENT_ASSEMBLIES_MAX, FRAGMENTED_REMEMBERED_MAX } from "../limits.js";
import { EnvelopeKind } from "../types.js";
import type { Inner } from "../wire/envelope.js";
import {
  FRAGMENT_DATA_BYTES,
  FRAGMENT_HASH_BYTES,
  SEALED_BODIES,
  SEALED_BODY_BYTES_MAX,
  type Fragment,
} from "../wire/sealed.js";

const NAME_BYTES = 16;

/** The sealed bodies that bring a body of more than 3,955 bytes; the same for the same body. Raises InvalidArgument. */
export function cut({ kind, hint, body }: Inner): Uint8Array[] {
  const count = Math.ceil(body.length / FRAGMENT_DATA_BYTES);
  const pieces = Array.from({ length: count }, (_, index) =>
    body.slice(index * FRAGMENT_DATA_BYTES, (index + 1) * FRAGMENT_DATA_BYTES));
  const hashes = pieces.map((data, index) => hashOf({ kind, hint, index, data }));
  return pieces.map((data, index) => SEALED_BODIES.encode({ is: "Fragment", kind, hint, hashes, index, data }));
}

/** Bodies of one room that are not whole yet: at most 64, the oldest gives way. */
export class FragmentAssembly {
  readonly #open = new Map<string, Map<number, Fragment>>();
  readonly #done = new Set<string>();

  /**
   * Take one fragment; the whole with the last of them, if it is a body that could have been sent whole.
   *
   * Raises MalformedInput: it is not what its own hash says, or of a kind and hint that no envelope has.
   */
  add(fragment: Fragment): Inner | null {
    const { kind, hint, hashes, index } = fragment;
    if (kind === EnvelopeKind.COVER || (kind === EnvelopeKind.SEALED && !isZero(hint))) {
      throw new MalformedInput("a fragment of what is no envelope");
    }
    const named = hashes[index];
    if (named === undefined || !equalBytes(hashOf(fragment), named)) {
      throw new MalformedInput("a fragment with another one's hash");
    }
    const name = toHex(contentHash(concatBytes(...hashes)).slice(0, NAME_BYTES));
    const held = this.#open.get(name) ?? new Map<number, Fragment>();
    if (this.#done.has(name) || held.has(index)) return null;
    held.set(index, fragment);
    if (held.size < hashes.length) {
      this.#open.set(name, held);
      trim(this.#open, FRAGMENT_ASSEMBLIES_MAX);
      return null;
    }
    this.#open.delete(name);
    this.#done.add(name);
    trim(this.#done, FRAGMENTED_REMEMBERED_MAX);
    return wholeOf([...held.values()].sort((left, right) => left.index - right.index));
  }
}

/** Null for what no honest member cuts. */
function wholeOf(pieces: readonly Fragment[]): Inner | null {
  const [first] = pieces;
  if (first === undefined) return null;
  const { kind, hint } = first;
  const body = concatBytes(...pieces.map(({ data }) => data));
  const isOne = pieces.every((piece) => piece.kind === kind && equalBytes(piece.hint, hint));
  return isOne && body.length <= SEALED_BODY_BYTES_MAX ? { kind, hint, body } : null;
}

function hashOf({ kind, hint, index, data }: Pick<Fragment, "kind" | "hint" | "index" | "data">): Uint8Array {
  const named = [Uint8Array.of(kind), hint, Uint8Array.of(index), data];
  return keyedHash(null, "railgun/fragment/v1", ...named).slice(0, FRAGMENT_HASH_BYTES);
}

/** Drop the oldest keys until `most` are left. */
function trim(items: Map<string, unknown> | Set<string>, most: number): void {
  for (const oldest of items.keys()) {
    if (items.size <= most) return;
    items.delete(oldest);
  }
}
