/**
 * The relays that a peer knows of, and which of them count for an epoch.
 *
 * Owns: the ads and obituaries held, their admission, the rule of what counts, committees worked out from it.
 * Must not know: how records travel, rooms, or what time it is: wall seconds are passed in.
 * Spec: docs/spec/directory.md. Keys of maps are hexadecimal, whose order is that of the bytes.
 */
import { toHex } from "../bytes.js";
import { contentHash } from "../crypto/hashing.js";
import { verifyDecoded, type SignedRecord } from "../crypto/records.js";
import { MalformedInput, PeerError, RefusalCode } from "../errors.js";
import {
  AD_FUTURE_MAX_SECONDS,
  ADS_MAX,
  ADS_PER_NODE_MAX,
  COUNTED_CACHED_MAX,
  OBITUARIES_PER_NODE_MAX,
  RELAYS_COUNTED_MIN,
} from "../limits.js";
import { NetworkKind, type NetworkParameters } from "../network.js";
import { compareText, insertSorted, lowerBound } from "../ordered.js";
import { Role, type RelayContact } from "../types.js";
import { contactOf, datedOf, decodeRecord, type Ad, type DirectoryRecord, type Obituary } from "../wire/records.js";
import { adPrefix, RelayPool, type Committee } from "./committee.js";
import { fingerprint } from "./reconciliation.js";
import { keptUntil, OverflowOrder, supersededUntil } from "./retention.js";

const TESTIMONIES_NEEDED = 3;

/** A record as it is held: when it begins to matter, and its hash as a key. */
interface Held<R extends DirectoryRecord> extends SignedRecord<R> {
  readonly instant: number;
  readonly name: string;
}

/** What is held of one node, both lists ascending by (instant, hash). A node has at least one ad. */
interface Node {
  readonly ads: Held<Ad>[];
  readonly obituaries: Held<Obituary>[];
}

interface Counted {
  readonly ads: readonly Ad[];
  readonly pool: RelayPool<Ad>;
}

/** Ads and obituaries of one network, at most `adsMax` nodes. */
export class Directory {
  readonly network: NetworkParameters;
  /** Grows with every change; equal versions mean an unchanged directory. */
  version = 0;
  readonly #adsMax: number;
  readonly #nodes = new Map<string, Node>();
  readonly #records = new Map<string, SignedRecord>();
  readonly #overflow = new OverflowOrder();
  readonly #counted = new Map<string, Counted>();
  #hashes: Uint8Array[] | null = null;

  constructor(network: NetworkParameters, adsMax: number = ADS_MAX) {
    this.network = network;
    this.#adsMax = adsMax;
  }

  /** Nodes known, those that left included. */
  get size(): number {
    return this.#nodes.size;
  }

  /** The hashes of all records, ascending. */
  get hashes(): readonly Uint8Array[] {
    this.#hashes ??= [...this.#records].sort(([left], [right]) => compareText(left, right)).map(([, { hash }]) => hash);
    return this.#hashes;
  }

  /** 16 bytes that two directories share exactly if they hold the same records. */
  get digest(): Uint8Array {
    return fingerprint(this.hashes);
  }

  /** A record's bytes by its hash. */
  encoded(hash: Uint8Array): Uint8Array | null {
    return this.#records.get(toHex(hash))?.encoded ?? null;
  }

  /** What to dial a node by; null for an unknown node. */
  newestAd(nodeKey: Uint8Array): Ad | null {
    const node = this.#nodes.get(toHex(nodeKey));
    return node === undefined ? null : newest(node.ads).record;
  }

  contact(nodeKey: Uint8Array): RelayContact | null {
    const ad = this.newestAd(nodeKey);
    return ad === null ? null : contactOf(ad);
  }

  // --- admission ----------------------------------------------------------------------------

  /**
   * Check and keep one record; `wall` is the corrected time in Unix seconds.
   *
   * Returns whether it is new and kept. Raises MalformedInput: not a record of this network, or not signed by whom it
   * names; PeerError: CLOCK_SKEWED, dated over 60 s in the future.
   */
  insert(encoded: Uint8Array, wall: number): boolean {
    const hash = contentHash(encoded);
    const name = toHex(hash);
    if (this.#records.has(name)) return false;
    const record = decodeRecord(encoded);
    this.#check(record, wall);
    if (!this.#isNeeded(record, name, wall)) return false;
    this.#keep(verifyDecoded(record, encoded), name);
    return this.#records.has(name);
  }

  /** Drop what no open epoch needs any more; returns how many records went. */
  forgetExpired(wall: number): number {
    const before = this.#records.size;
    for (const [nodeName, { ads, obituaries }] of [...this.#nodes]) {
      if (wall >= keptUntil(newest(ads).instant, this.network)) {
        this.#dropNode(nodeName);
        continue;
      }
      const old = ads.filter((_, index) => {
        const next = ads[index + 1];
        return next !== undefined && wall >= supersededUntil(next.instant, this.network);
      });
      for (const ad of old) this.#remove(ads, ad);
      const past = obituaries.filter(({ instant }) => wall >= keptUntil(instant, this.network));
      for (const obituary of past) this.#remove(obituaries, obituary);
    }
    return before - this.#records.size;
  }

  #check(record: DirectoryRecord, wall: number): void {
    const dates = record.is === "Ad" ? [record.issued] : record.testimonies.map(({ dated }) => dated);
    if (Math.max(...dates) > wall + AD_FUTURE_MAX_SECONDS) {
      throw new PeerError(RefusalCode.CLOCK_SKEWED, "a record from the future");
    }
    if (record.is !== "Ad") return;
    if (record.expires - record.issued > this.network.adLifetimeSeconds) {
      throw new MalformedInput("the ad lives longer than its network allows");
    }
    if (adPrefix(record, this.network.kind) === null) throw new MalformedInput("the ad's address is not global");
  }

  #isNeeded(record: DirectoryRecord, name: string, wall: number): boolean {
    const node = this.#nodes.get(toHex(record.nodeKey));
    if (record.is === "Obituary") {
      const isYoung = wall < keptUntil(datedOf(record), this.network);
      return node !== undefined && isYoung && isSignedEnough(record, this.#nodes);
    }
    if (wall >= keptUntil(record.issued, this.network)) return false;
    const newer = (node?.ads ?? []).filter((ad) => compareHeld(ad, { instant: record.issued, name }) > 0);
    const [next] = newer;
    if (next === undefined) return true;
    return newer.length < ADS_PER_NODE_MAX && wall < supersededUntil(next.instant, this.network);
  }

  #keep(signed: SignedRecord, name: string): void {
    const nodeName = toHex(signed.record.nodeKey);
    const node = this.#nodes.get(nodeName) ?? { ads: [], obituaries: [] };
    this.#nodes.set(nodeName, node);
    this.#records.set(name, signed);
    this.#changed();
    const { record } = signed;
    if (record.is === "Obituary") {
      insertSorted(node.obituaries, { ...signed, record, name, instant: datedOf(record) }, compareHeld);
      if (node.obituaries.length > OBITUARIES_PER_NODE_MAX) this.#removeFirst(node.obituaries);
      return;
    }
    insertSorted(node.ads, { ...signed, record, name, instant: record.issued }, compareHeld);
    if (node.ads.length > ADS_PER_NODE_MAX) this.#removeFirst(node.ads);
    const prefix = adPrefix(newest(node.ads).record, this.network.kind);
    this.#overflow.place(nodeName, prefix === null ? "" : toHex(prefix));
    while (this.#overflow.size > this.#adsMax) this.#dropNode(this.#overflow.last() ?? nodeName);
  }

  #removeFirst(list: Held<DirectoryRecord>[]): void {
    const [first] = list;
    if (first !== undefined) this.#remove(list, first);
  }

  #remove(list: Held<DirectoryRecord>[], held: Held<DirectoryRecord>): void {
    list.splice(list.indexOf(held), 1);
    this.#records.delete(held.name);
    this.#changed();
  }

  #dropNode(nodeName: string): void {
    const node = this.#nodes.get(nodeName);
    this.#nodes.delete(nodeName);
    this.#overflow.remove(nodeName);
    for (const { name } of [...(node?.ads ?? []), ...(node?.obituaries ?? [])]) this.#records.delete(name);
    this.#changed();
  }

  #changed(): void {
    this.version += 1;
    this.#hashes = null;
    this.#counted.clear();
  }

  // --- what counts --------------------------------------------------------------------------

  /** The ads that count for the epoch that starts at `start`, one a node, ascending by node key. */
  counted(start: number, wall: number): readonly Ad[] {
    return this.#countedFor(start, wall).ads;
  }

  /** The committee of `tag` in the epoch that starts at `start`. Raises InvalidArgument where K is not 3 to 7. */
  committee(tag: Uint8Array, start: number, committeeSize: number, wall: number): Committee<Ad> {
    return this.#countedFor(start, wall).pool.order(tag, committeeSize);
  }

  #countedFor(start: number, wall: number): Counted {
    let counted = this.#countedAt(start, start - this.network.epochSeconds);
    for (const cutoff of [start, Math.max(start, Math.trunc(wall))]) {
      if (counted.ads.length >= RELAYS_COUNTED_MIN) break;
      counted = this.#countedAt(start, cutoff);
    }
    return counted;
  }

  #countedAt(start: number, cutoff: number): Counted {
    const key = `${start}:${cutoff}`;
    const known = this.#counted.get(key);
    if (known !== undefined) return known;
    const ads = this.#select(start, cutoff);
    const counted = { ads, pool: new RelayPool(ads, this.network.kind) };
    const [oldest] = this.#counted.keys();
    if (oldest !== undefined && this.#counted.size >= COUNTED_CACHED_MAX) this.#counted.delete(oldest);
    this.#counted.set(key, counted);
    return counted;
  }

  #select(start: number, cutoff: number): Ad[] {
    const alive = new Map<string, Held<Ad>>();
    for (const [nodeName, { ads }] of this.#nodes) {
      const held = ads[lowerBound(ads, ({ instant }) => instant <= cutoff) - 1];
      const offers = held !== undefined && (held.record.roles & (Role.RELAY | Role.FALLBACK)) !== 0;
      if (offers && held.record.expires > start) alive.set(nodeName, held);
    }
    const living = [...alive].filter(([nodeName, { instant: issued }]) =>
      !(this.#nodes.get(nodeName)?.obituaries ?? []).some(({ instant, record }) =>
        issued <= instant && instant <= cutoff && isSignedEnough(record, alive)));
    const chosen = this.network.kind === NetworkKind.LAN ? living : oneAHost(living);
    return chosen.sort(([left], [right]) => compareText(left, right)).map(([, { record }]) => record);
  }
}

function newest(ads: readonly Held<Ad>[]): Held<Ad> {
  const last = ads[ads.length - 1];
  if (last === undefined) throw new TypeError("a node without an ad");
  return last;
}

type Ordered = Pick<Held<DirectoryRecord>, "instant" | "name">;

function compareHeld(left: Ordered, right: Ordered): number {
  return left.instant - right.instant || compareText(left.name, right.name);
}

/** Of the ads that name one IP address the smallest (issued, hash): who was there first. */
function oneAHost(ads: readonly (readonly [string, Held<Ad>])[]): (readonly [string, Held<Ad>])[] {
  const first = new Map<string, readonly [string, Held<Ad>]>();
  for (const item of ads) {
    const host = toHex(item[1].record.address.host);
    const other = first.get(host);
    if (other === undefined || compareHeld(item[1], other[1]) < 0) first.set(host, item);
  }
  return [...first.values()];
}

/** Whether 3 of `relays`, or all others if they are fewer, testify. */
function isSignedEnough(obituary: Obituary, relays: ReadonlyMap<string, unknown>): boolean {
  const others = relays.size - (relays.has(toHex(obituary.nodeKey)) ? 1 : 0);
  const count = obituary.testimonies.filter(({ signer }) => relays.has(toHex(signer))).length;
  return count >= Math.max(1, Math.min(TESTIMONIES_NEEDED, others));
}
