/**
 * Which entries count, and which removals stand: the part of a roster's resolution that admins can fight over.
 *
 * Owns: walking chains, the admins and their distance from the creator, removals in any order, mutual removals.
 * Must not know: invites, settings, plain members. Spec: docs/spec/rooms.md, resolution. Devices and hashes are
 * hexadecimal. All of it is a function of the set of entries: no step looks at when an entry arrived.
 */
import { toHex } from "../bytes.js";
import { ROOM_ADMINS_MAX } from "../limits.js";
import { compareText } from "../ordered.js";
import type { StoredEntry } from "./rosterEntries.js";

/** Honest rosters need one or two; hostile admins cannot make it longer than this. */
const ROUNDS_MAX = 2 * ROOM_ADMINS_MAX;

/** Entries by author, number, hash. */
export type Tree = ReadonlyMap<string, ReadonlyMap<number, ReadonlyMap<string, StoredEntry>>>;

/** The last entry of a removed device that counts. Number 0: none does. */
export interface Pin {
  readonly number: number;
  readonly id: string;
}
export type Pins = ReadonlyMap<string, Pin>;

/** What is settled. `revoked`: those among the pinned that their own person put out, not an admin. */
export interface Standing {
  readonly pins: Pins;
  readonly admins: ReadonlyMap<string, number>;
  readonly chains: Chains;
  readonly revoked: ReadonlySet<string>;
}

/** One removal of one device. */
interface RemovalCase {
  readonly stored: StoredEntry;
  readonly target: string;
  readonly pin: Pin;
  readonly key: string;
}

interface World {
  readonly chains: Chains;
  readonly admins: ReadonlyMap<string, number>;
}

export function comparePins(left: Pin, right: Pin): number {
  return left.number - right.number || compareText(left.id, right.id);
}

/** The one that leaves less. */
export function shorterPin(left: Pin | undefined, right: Pin): Pin {
  return left !== undefined && comparePins(left, right) <= 0 ? left : right;
}

/** The hash of the entry before; the creation entry has none before it. */
export function previousOf({ entry }: StoredEntry): string {
  return entry.is === "Create" ? "" : toHex(entry.previous);
}

/** Each author's entries that count, under given pins. */
export class Chains {
  readonly #room: string;
  readonly #tree: Tree;
  readonly #pins: Pins;
  readonly #walked = new Map<string, readonly StoredEntry[]>();

  constructor(room: string, tree: Tree, pins: Pins) {
    this.#room = room;
    this.#tree = tree;
    this.#pins = pins;
  }

  /** Entries 1, 2, 3, ... of `author` that count; a leave ends them. */
  of(author: string): readonly StoredEntry[] {
    const known = this.#walked.get(author);
    if (known !== undefined) return known;
    const pin = this.#pins.get(author);
    const path = pin === undefined ? this.#grown(author) : this.#pinned(author, pin);
    const end = path.findIndex(({ entry }) => entry.is === "Leave");
    const chain = end < 0 ? path : path.slice(0, end + 1);
    this.#walked.set(author, chain);
    return chain;
  }

  /** Whether this entry is one of its author's that count. */
  holds(stored: StoredEntry): boolean {
    return this.of(stored.author)[stored.number - 1]?.id === stored.id;
  }

  /** The longest chain; where it forks, the smaller hash counts. */
  #grown(author: string): StoredEntry[] {
    const byNumber = this.#tree.get(author);
    const path: StoredEntry[] = [];
    let previous = this.#room;
    for (;;) {
      const variants = [...(byNumber?.get(path.length + 1)?.values() ?? [])];
      const linked = variants.filter((stored) => previousOf(stored) === previous);
      const [next] = linked.sort((left, right) => compareText(left.id, right.id));
      if (next === undefined) return path;
      path.push(next);
      previous = next.id;
    }
  }

  /** The chain that ends in the pinned entry; nothing while that is not here. */
  #pinned(author: string, pin: Pin): StoredEntry[] {
    const byNumber = this.#tree.get(author);
    const path: StoredEntry[] = [];
    let wanted = pin.id;
    for (let number = pin.number; number > 0; number -= 1) {
      const stored = byNumber?.get(number)?.get(wanted);
      if (stored === undefined) return [];
      path.push(stored);
      wanted = previousOf(stored);
    }
    return wanted === this.#room ? path.reverse() : [];
  }
}

/** Settle admins and removals of a room. */
export function settle(room: string, creator: string, tree: Tree): Standing {
  return new Settling(room, creator, tree).run();
}

class Settling {
  readonly #room: string;
  readonly #creator: string;
  readonly #tree: Tree;
  #pins: Pins = new Map();

  constructor(room: string, creator: string, tree: Tree) {
    this.#room = room;
    this.#creator = creator;
    this.#tree = tree;
  }

  run(): Standing {
    const done = new Set<string>();
    const standing: RemovalCase[] = [];
    for (let round = 0; round <= ROUNDS_MAX; round += 1) {
      const { chains, admins } = this.#world([]);
      const open = removalsOf(admins, chains).filter((removal) =>
        !done.has(removal.key) && removal.target !== removal.stored.author && !this.#voidsOne(standing, removal));
      if (open.length === 0) break;
      let chosen = surviving(open, this.#world(open));
      if (chosen.length === 0) chosen = this.#strongest(open, admins);
      if (round === ROUNDS_MAX) chosen = open;
      this.#pins = withPins(this.#pins, chosen);
      standing.push(...chosen);
      for (const { key } of chosen) done.add(key);
    }
    return { pins: this.#pins, ...this.#world([]), revoked: new Set() };
  }

  /** Chains and admins once `removals` stand, too. */
  #world(removals: readonly RemovalCase[]): World {
    const chains = new Chains(this.#room, this.#tree, withPins(this.#pins, removals));
    return { chains, admins: adminsOf(this.#creator, chains) };
  }

  /** Whether `removal` would void an entry by which another one stands. */
  #voidsOne(standing: readonly RemovalCase[], removal: RemovalCase): boolean {
    const threatened = standing.filter(({ stored }) => stored.author === removal.target);
    if (threatened.length === 0) return false;
    const chains = new Chains(this.#room, this.#tree, withPins(this.#pins, [removal]));
    return !threatened.every(({ stored }) => chains.holds(stored));
  }

  /** All removals of the author who wins among those that threaten each other. */
  #strongest(removals: readonly RemovalCase[], admins: ReadonlyMap<string, number>): RemovalCase[] {
    const distance = (author: string): number => admins.get(author) ?? 0;
    const authors = [...new Set(removals.map(({ stored }) => stored.author))].sort(
      (left, right) => distance(left) - distance(right) || compareText(left, right),
    );
    const threatens = new Map(authors.map((author) => {
      const own = removals.filter(({ stored }) => stored.author === author);
      const kept = new Set(surviving(removals, this.#world(own)).map(({ key }) => key));
      const hit = new Set(removals.filter(({ key }) => !kept.has(key)).map(({ stored }) => stored.author));
      hit.delete(author);
      return [author, hit] as const;
    }));
    const reached = new Map(authors.map((author) => [author, reachable(author, threatens)] as const));
    const reaches = (from: string, to: string): boolean => reached.get(from)?.has(to) ?? false;
    const winner = authors.find((author) =>
      authors.every((other) => !reaches(other, author) || reaches(author, other)));
    return removals.filter(({ stored }) => winner === undefined || stored.author === winner);
  }
}

/** Devices that were ever validly made admins, with their distance from the creator, nearest first. */
function adminsOf(creator: string, chains: Chains): Map<string, number> {
  const found = new Map([[creator, 0]]);
  let level = [creator];
  for (let distance = 1; level.length > 0; distance += 1) {
    const granted = new Set<string>();
    for (const { entry } of level.flatMap((author) => chains.of(author))) {
      if (entry.is === "Add" && entry.admin) granted.add(toHex(entry.device));
    }
    const fresh = [...granted].filter((device) => !found.has(device)).sort(compareText);
    level = fresh.slice(0, ROOM_ADMINS_MAX - found.size);
    for (const device of level) found.set(device, distance);
  }
  return found;
}

function removalsOf(admins: ReadonlyMap<string, number>, chains: Chains): RemovalCase[] {
  return [...admins.keys()].flatMap((author) => chains.of(author)).flatMap((stored) => {
    if (stored.entry.is !== "Remove") return [];
    return stored.entry.targets.map(({ device, lastNumber, lastHash }) => {
      const target = toHex(device);
      return { stored, target, pin: { number: lastNumber, id: toHex(lastHash) }, key: `${stored.id}:${target}` };
    });
  });
}

function withPins(pins: Pins, removals: readonly RemovalCase[]): Pins {
  const merged = new Map(pins);
  for (const { target, pin } of removals) merged.set(target, shorterPin(merged.get(target), pin));
  return merged;
}

function surviving(removals: readonly RemovalCase[], { chains, admins }: World): RemovalCase[] {
  return removals.filter(({ stored }) => admins.has(stored.author) && chains.holds(stored));
}

function reachable(start: string, edges: ReadonlyMap<string, ReadonlySet<string>>): Set<string> {
  const seen = new Set<string>();
  const waiting = [start];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const device of edges.get(next) ?? []) {
      if (!seen.has(device)) {
        seen.add(device);
        waiting.push(device);
      }
    }
  }
  return seen;
}
