/**
 * Which relays serve a room in an epoch: the order that every peer computes alike.
 *
 * Owns: prefixes, the order under a tag, seats, standbys, fallbacks, and how a subscriber ranks seats.
 * Must not know: which ads count (that is the directory's), rooms, or time. Spec: docs/spec/committee.md.
 */
import { compareBytes, concatBytes, equalBytes, toHex } from "../bytes.js";
import { keyedHash } from "../crypto/hashing.js";
import { InvalidArgument } from "../errors.js";
import { COMMITTEE_MAX, COMMITTEE_MIN } from "../limits.js";
import { NetworkKind } from "../network.js";
import { isFallback, Role } from "../types.js";
import type { Ad } from "../wire/records.js";

const SEATS_HASH_BYTES = 8;

/** Not global, as first bytes and how many bits of them matter. The list is part of the protocol. */
const NOT_GLOBAL_IPV4: readonly (readonly [readonly number[], number])[] = [
  [[0], 8], [[10], 8], [[100, 64], 10], [[127], 8], [[169, 254], 16], [[172, 16], 12], [[192, 0, 0], 24],
  [[192, 0, 2], 24], [[192, 88, 99], 24], [[192, 168], 16], [[198, 18], 15], [[198, 51, 100], 24],
  [[203, 0, 113], 24], [[224], 3],
];
const GLOBAL_IPV6: readonly [readonly number[], number] = [[0x20], 3];
const NOT_GLOBAL_IPV6: readonly (readonly [readonly number[], number])[] = [
  [[0x20, 0x01, 0x00], 23], [[0x20, 0x01, 0x0d, 0xb8], 32], [[0x20, 0x02], 16], [[0x3f, 0xff, 0x00], 20],
];

/** What the order looks at. */
export type RankedAd = Pick<Ad, "nodeKey" | "address" | "roles">;

/** Through whom a room's messages go at the moment, as far as relays go. */
export type ServiceMode = "volunteers" | "hybrid";

/** The relays of one tag, in order; all three parts together are the ranking. */
export class Committee<A extends RankedAd = RankedAd> {
  readonly tag: Uint8Array;
  readonly seats: readonly A[];
  readonly standbys: readonly A[];
  readonly fallbacks: readonly A[];

  constructor(tag: Uint8Array, committeeSize: number, ranking: readonly A[]) {
    const ranked = ranksKept(committeeSize);
    this.tag = tag;
    this.seats = ranking.slice(0, committeeSize);
    this.standbys = ranking.slice(committeeSize, ranked);
    this.fallbacks = ranking.slice(ranked);
  }

  /** Receipts that complete a send: floor(n/2) + 1. */
  get majority(): number {
    return Math.floor(this.seats.length / 2) + 1;
  }

  get ranking(): readonly A[] {
    return [...this.seats, ...this.standbys, ...this.fallbacks];
  }

  /** 8 bytes that two peers compare to see whether they name the same seats in the same order. */
  get seatsHash(): Uint8Array {
    return seatsHash(this.seats.map(({ nodeKey }) => nodeKey));
  }

  /** Place in the ranking from 0, or null. */
  rankOf(nodeKey: Uint8Array): number | null {
    const rank = this.ranking.findIndex((ad) => equalBytes(ad.nodeKey, nodeKey));
    return rank < 0 ? null : rank;
  }

  /** How a room is served for who is attached to these relays; null while to no relay. */
  mode(attached: readonly Uint8Array[]): ServiceMode | null {
    if (attached.length === 0) return null;
    const serving = this.ranking.filter((ad) => attached.some((key) => equalBytes(key, ad.nodeKey)));
    return [...this.seats, ...serving].some((ad) => isFallback(ad.roles)) ? "hybrid" : "volunteers";
  }
}

/** Ads sorted into prefixes once, to be ordered under many tags. */
export class RelayPool<A extends RankedAd = RankedAd> {
  readonly #relays = new Map<string, A[]>();
  readonly #fallbacks = new Map<string, A[]>();
  readonly #prefixes = new Map<string, Uint8Array>();

  /** Raises InvalidArgument: two ads of one node; which of them counts is the directory's to say. */
  constructor(ads: Iterable<A>, kind: NetworkKind) {
    const seen = new Set<string>();
    for (const ad of ads) {
      const name = toHex(ad.nodeKey);
      if (seen.has(name)) throw new InvalidArgument("two ads of one node");
      seen.add(name);
      const prefix = adPrefix(ad, kind);
      if (prefix === null) continue;
      this.#prefixes.set(toHex(prefix), prefix);
      if ((ad.roles & Role.RELAY) !== 0) add(this.#relays, toHex(prefix), ad);
      if ((ad.roles & Role.FALLBACK) !== 0) add(this.#fallbacks, toHex(prefix), ad);
    }
  }

  /** The committee of `tag`. Raises InvalidArgument where K is not 3 to 7. */
  order(tag: Uint8Array, committeeSize: number): Committee<A> {
    if (!Number.isInteger(committeeSize) || committeeSize < COMMITTEE_MIN || committeeSize > COMMITTEE_MAX) {
      throw new InvalidArgument(`a committee has ${COMMITTEE_MIN} to ${COMMITTEE_MAX} seats`);
    }
    const ranked = ranksKept(committeeSize);
    const relays = this.#inOrder(this.#relays, tag, ranked);
    const chosen = new Set(relays.map(({ nodeKey }) => toHex(nodeKey)));
    // A node of both roles is a relay first; as many more are looked at as may be dropped for that.
    const fallbacks = this.#inOrder(this.#fallbacks, tag, 2 * ranked).filter((ad) => !chosen.has(toHex(ad.nodeKey)));
    return new Committee(tag, committeeSize, [...relays, ...fallbacks.slice(0, ranked)]);
  }

  #inOrder(groups: ReadonlyMap<string, readonly A[]>, tag: Uint8Array, most: number): A[] {
    const named = [...groups.keys()].map((name) => this.#prefixes.get(name) ?? new Uint8Array(0));
    // `most` prefixes fill the first round already, so that later prefixes are never reached.
    const prefixes = sortedBy(named, (prefix) => keyedHash(null, "railgun/net/v1", tag, prefix)).slice(0, most);
    const queues = prefixes.map((prefix) =>
      sortedBy(groups.get(toHex(prefix)) ?? [], (ad) => keyedHash(null, "railgun/seat/v1", tag, ad.nodeKey)));
    return interleave(queues, most);
  }
}

/** 2K + 2: seats and standbys together. */
export function ranksKept(committeeSize: number): number {
  return 2 * committeeSize + 2;
}

/** The prefix that an ad competes in; null where its address cannot count in a public network. */
export function adPrefix(ad: Pick<Ad, "nodeKey" | "address">, kind: NetworkKind): Uint8Array | null {
  return kind === NetworkKind.LAN ? concatBytes(Uint8Array.of(0), ad.nodeKey) : hostPrefix(ad.address.host);
}

/** 0x04 and 3 bytes, or 0x06 and 6 bytes, of a global host; null for any other. */
export function hostPrefix(host: Uint8Array): Uint8Array | null {
  if (!isGlobal(host)) return null;
  return host.length === 4
    ? concatBytes(Uint8Array.of(4), host.slice(0, 3))
    : concatBytes(Uint8Array.of(6), host.slice(0, 6));
}

/** Whether all peers take the host (4 or 16 bytes, not mapped) for a public one. */
export function isGlobal(host: Uint8Array): boolean {
  if (host.length === 4) return !NOT_GLOBAL_IPV4.some((block) => isWithin(host, block));
  return isWithin(host, GLOBAL_IPV6) && !NOT_GLOBAL_IPV6.some((block) => isWithin(host, block));
}

/** H(-, 'railgun/seats/v1', ordered node keys)[0..8]. */
export function seatsHash(seatKeys: readonly Uint8Array[]): Uint8Array {
  return keyedHash(null, "railgun/seats/v1", ...seatKeys).slice(0, SEATS_HASH_BYTES);
}

/** The seats as the subscriber of this handle ranks them: its primary, its secondary, the others. */
export function rankForHandle(handle: Uint8Array, seats: readonly Uint8Array[]): Uint8Array[] {
  return sortedBy(seats, (nodeKey) => keyedHash(null, "railgun/rank/v1", handle, nodeKey));
}

function isWithin(host: Uint8Array, [start, bits]: readonly [readonly number[], number]): boolean {
  return host.every((byte, index) => {
    const counted = Math.min(8, Math.max(0, bits - 8 * index));
    return ((byte ^ (start[index] ?? 0)) >> (8 - counted)) === 0;
  });
}

/** Round i takes the i-th of each queue in turn, until `most` are found or all are taken. */
function interleave<T>(queues: readonly (readonly T[])[], most: number): T[] {
  const found: T[] = [];
  const rounds = Math.max(0, ...queues.map((queue) => queue.length));
  for (let round = 0; round < rounds && found.length < most; round += 1) {
    for (const queue of queues) {
      const item = queue[round];
      if (item !== undefined && found.length < most) found.push(item);
    }
  }
  return found;
}

function sortedBy<T>(items: readonly T[], hashOf: (item: T) => Uint8Array): T[] {
  const hashed = items.map((item) => [hashOf(item), item] as const);
  return hashed.sort(([left], [right]) => compareBytes(left, right)).map(([, item]) => item);
}

function add<A>(groups: Map<string, A[]>, name: string, ad: A): void {
  const group = groups.get(name);
  if (group === undefined) groups.set(name, [ad]);
  else group.push(ad);
}
