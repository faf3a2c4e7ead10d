/**
 * How long a directory keeps a record, and which nodes it drops when there are too many.
 *
 * Owns: the two rules. Must not know: the records' signatures, or who asks. Spec: docs/spec/directory.md.
 */
import { fromHex, toHex } from "../bytes.js";
import { keyedHash } from "../crypto/hashing.js";
import type { NetworkParameters } from "../network.js";
import { compareText, insertSorted } from "../ordered.js";

type Times = Pick<NetworkParameters, "epochSeconds" | "overlapSeconds" | "adLifetimeSeconds">;
type Member = readonly [keepHash: string, node: string];

/** When a node's newest ad, or an obituary, may go: once nothing older of that node can live any more. */
export function keptUntil(instant: number, network: Times): number {
  return instant + network.adLifetimeSeconds + network.epochSeconds + tailSeconds(network);
}

/** When an ad may go whose node issued a newer one at `successorInstant`. */
export function supersededUntil(successorInstant: number, network: Times): number {
  return successorInstant + 2 * network.epochSeconds + tailSeconds(network);
}

/** How long an epoch is still served after its end: 2 O, and O more for skewed clocks. */
function tailSeconds(network: Times): number {
  return 3 * network.overlapSeconds;
}

/**
 * Nodes by the order in which they would be dropped.
 *
 * Each prefix ranks its nodes by H(-, 'railgun/keep/v1', node key); the node of the highest rank goes first, of equal
 * ranks that of the greatest hash. Node keys and prefixes are hexadecimal here.
 */
export class OverflowOrder {
  readonly #prefixOf = new Map<string, string>();
  readonly #members = new Map<string, Member[]>();

  get size(): number {
    return this.#prefixOf.size;
  }

  /** Add a node, or move it to another prefix. */
  place(node: string, prefix: string): void {
    if (this.#prefixOf.get(node) === prefix) return;
    this.remove(node);
    this.#prefixOf.set(node, prefix);
    const members = this.#members.get(prefix) ?? [];
    this.#members.set(prefix, members);
    insertSorted(members, [keepHash(node), node], ([left], [right]) => compareText(left, right));
  }

  /** Forget a node; nothing happens if it is unknown. */
  remove(node: string): void {
    const prefix = this.#prefixOf.get(node);
    if (prefix === undefined) return;
    this.#prefixOf.delete(node);
    const left = (this.#members.get(prefix) ?? []).filter(([, other]) => other !== node);
    if (left.length > 0) this.#members.set(prefix, left);
    else this.#members.delete(prefix);
  }

  /** The node to drop next, or null if there is none. */
  last(): string | null {
    let found: { readonly rank: number; readonly member: Member } | null = null;
    for (const members of this.#members.values()) {
      const member = members[members.length - 1];
      if (member === undefined) continue;
      const isLater = found === null || members.length > found.rank ||
        (members.length === found.rank && member[0] > found.member[0]);
      if (isLater) found = { rank: members.length, member };
    }
    return found === null ? null : found.member[1];
  }
}

function keepHash(node: string): string {
  return toHex(keyedHash(null, "railgun/keep/v1", fromHex(node)));
}
