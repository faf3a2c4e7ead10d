/**
 * A room's roster: the union of its authors' chains, and what it says.
 *
 * Owns: which entries and bundles are held, waited for or refused, their bounds. Must not know: how entries travel,
 * clocks (the day is passed in), secrets, disks. Spec: docs/spec/rooms.md. Keys of maps are hexadecimal.
 */
import { compareBytes, concatBytes, fromHex, toHex } from "../bytes.js";
import { keyedHash } from "../crypto/hashing.js";
import { LocalError, PeerError, RefusalCode } from "../errors.js";
import {
  ROOM_DEVICES_MAX,
  ROSTER_ENTRIES_MAX,
  ROSTER_ENTRIES_PER_AUTHOR_MAX,
  ROSTER_FORKS_PER_NUMBER_MAX,
  ROSTER_PENDING_MAX,
} from "../limits.js";
import { compareText } from "../ordered.js";
import type { PrekeyRecord, Removal } from "../wire/roster.js";
import { openEntry, prekeyIsGenuine, roomOf, type StoredEntry } from "./rosterEntries.js";
import { previousOf } from "./rosterRemovals.js";
import { resolve, stateOn, type Resolved, type RosterState } from "./rosterState.js";

/** What became of an entry. `added` says that it is filed, not that it counts. */
export type InsertOutcome = "added" | "pending" | "duplicate" | "refused";

/** `added`: the entries filed now, in order; `dropped`: hashes of those that are kept no longer. */
export interface InsertResult {
  readonly outcome: InsertOutcome;
  readonly added: readonly StoredEntry[];
  readonly dropped: readonly string[];
  readonly forked: boolean;
}

type Variants = Map<string, StoredEntry>;

export class Roster {
  readonly room: string;
  #creation: StoredEntry | null = null;
  readonly #tree = new Map<string, Map<number, Variants>>();
  readonly #byHash: Variants = new Map();
  readonly #counts = new Map<string, number>();
  readonly #pending: Variants = new Map();
  readonly #prekeys = new Map<string, PrekeyRecord>();
  #resolved: Resolved | null = null;
  #adminsSeen: ReadonlySet<string> = new Set();

  /** Of the room with this id, 32 bytes. */
  constructor(room: Uint8Array) {
    this.room = toHex(room);
  }

  // --- taking in ----------------------------------------------------------------------------

  /** File one signed entry, from anyone. Raises MalformedInput, PeerError: not an entry, or a signature is wrong. */
  insert(data: Uint8Array): InsertResult {
    return this.#insertOpened(openEntry(data));
  }

  #insertOpened(stored: StoredEntry): InsertResult {
    const nothing = { added: [], dropped: [], forked: false };
    if (toHex(roomOf(stored)) !== this.room) return { outcome: "refused", ...nothing };
    if (this.#byHash.has(stored.id) || this.#pending.has(stored.id)) return { outcome: "duplicate", ...nothing };
    if (!this.#hasPlaceFor(stored)) return { outcome: "refused", ...nothing };
    if (!this.#knowsAuthor(stored)) return { outcome: "pending", ...nothing, dropped: this.#wait(stored) };
    const added = [stored];
    const dropped: string[] = [];
    let forked = this.#file(stored, dropped);
    for (let waiting = this.#released(); waiting !== null; waiting = this.#released()) {
      if (this.#hasPlaceFor(waiting)) {
        forked = this.#file(waiting, dropped) || forked;
        added.push(waiting);
      } else dropped.push(waiting.id);
    }
    return { outcome: "added", added, dropped, forked };
  }

  #knowsAuthor(stored: StoredEntry): boolean {
    if (stored.entry.is === "Create") return true;
    return this.#creation !== null && (stored.author === this.#creation.author || this.#tree.has(stored.author));
  }

  #hasPlaceFor(stored: StoredEntry): boolean {
    if ((this.#counts.get(stored.author) ?? 0) >= ROSTER_ENTRIES_PER_AUTHOR_MAX) return false;
    if (this.#byHash.size >= ROSTER_ENTRIES_MAX) return false;
    // Half is kept for admins: a member who floods the roster must not keep its own removal out.
    if (this.#byHash.size >= Math.floor(ROSTER_ENTRIES_MAX / 2) && !this.#wasAdmin(stored.author)) return false;
    const variants = [...(this.#tree.get(stored.author)?.get(stored.number)?.keys() ?? [])];
    const isOneTooMany = variants.length >= ROSTER_FORKS_PER_NUMBER_MAX && variants.every((id) => id < stored.id);
    return !isOneTooMany || this.#pinnedHashes(stored.author).has(stored.id);
  }

  #wasAdmin(author: string): boolean {
    if (!this.#adminsSeen.has(author) && this.#creation !== null) {
      this.#adminsSeen = new Set(this.#resolve().standing.admins.keys());
    }
    return this.#adminsSeen.has(author);
  }

  /** Put an entry in its place; whether it forks its chain. */
  #file(stored: StoredEntry, dropped: string[]): boolean {
    this.#resolved = null;
    this.#byHash.set(stored.id, stored);
    if (stored.entry.is === "Create") {
      this.#creation = stored;
      return false;
    }
    const byNumber = this.#place(stored.author);
    const variants = byNumber.get(stored.number) ?? (new Map() as Variants);
    byNumber.set(stored.number, variants.set(stored.id, stored));
    this.#counts.set(stored.author, (this.#counts.get(stored.author) ?? 0) + 1);
    if (stored.entry.is === "Add") this.#place(toHex(stored.entry.device));
    if (variants.size > ROSTER_FORKS_PER_NUMBER_MAX) this.#dropVariant(stored.author, variants, dropped);
    return variants.size > 1;
  }

  #place(author: string): Map<number, Variants> {
    const byNumber = this.#tree.get(author) ?? new Map<number, Variants>();
    this.#tree.set(author, byNumber);
    return byNumber;
  }

  #dropVariant(author: string, variants: Variants, dropped: string[]): void {
    const pinned = this.#pinnedHashes(author);
    const spare = [...variants.keys()].filter((id) => !pinned.has(id)).sort(compareText);
    const last = spare[spare.length - 1];
    if (last === undefined || spare.length <= ROSTER_FORKS_PER_NUMBER_MAX) return;
    variants.delete(last);
    this.#byHash.delete(last);
    this.#counts.set(author, (this.#counts.get(author) ?? 1) - 1);
    dropped.push(last);
  }

  /** Entries of `author` that some removal names as its last, and those before them. */
  #pinnedHashes(author: string): Set<string> {
    const found = new Set<string>();
    for (const { entry } of this.#byHash.values()) {
      if (entry.is !== "Remove" && entry.is !== "Revoke") continue;
      for (const target of entry.targets) {
        if (toHex(target.device) !== author) continue;
        let id = toHex(target.lastHash);
        while (id !== this.room && !found.has(id)) {
          found.add(id);
          const before = this.#byHash.get(id);
          id = before === undefined ? this.room : previousOf(before);
        }
      }
    }
    return found;
  }

  #wait(stored: StoredEntry): string[] {
    this.#pending.set(stored.id, stored);
    const [oldest] = this.#pending.keys();
    if (oldest === undefined || this.#pending.size <= ROSTER_PENDING_MAX) return [];
    this.#pending.delete(oldest);
    return [oldest];
  }

  /** The first waiting entry whose author is known now, taken out; null where there is none. */
  #released(): StoredEntry | null {
    for (const stored of this.#pending.values()) {
      if (this.#knowsAuthor(stored)) {
        this.#pending.delete(stored.id);
        return stored;
      }
    }
    return null;
  }

  // --- bundles ------------------------------------------------------------------------------

  /** Take a device's newer bundle; whether it was newer, and a known device's. Raises PeerError (BAD_SIGNATURE). */
  insertPrekey(record: PrekeyRecord): boolean {
    const device = toHex(record.device);
    const held = this.#prekeys.get(device);
    if (held !== undefined && comparePrekeys(record, held) <= 0) return false;
    if (this.#creation === null || (device !== this.#creation.author && !this.#tree.has(device))) return false;
    const isFull = held === undefined && this.#prekeys.size >= ROOM_DEVICES_MAX;
    if (isFull && !this.#isMember(device)) return false;
    if (!prekeyIsGenuine(record)) throw new PeerError(RefusalCode.BAD_SIGNATURE, "bundle");
    this.#prekeys.set(device, record);
    return true;
  }

  /** The X-Wing key to seal under for a member: its newest bundle's or its certificate's; null for anyone else. */
  prekey(device: string): Uint8Array | null {
    const member = this.#resolve().state.members.find((one) => one.device === device);
    if (member === undefined) return null;
    const record = this.#prekeys.get(device);
    const isOld = record === undefined || record.issued < member.certificate.issued;
    return isOld ? member.certificate.prekey : record.prekey;
  }

  // --- reading ------------------------------------------------------------------------------

  /** Whether the creation entry is here. */
  get isKnown(): boolean {
    return this.#creation !== null;
  }

  get size(): number {
    return this.#byHash.size;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** What the roster says on a UTC day (days since 1970). Raises LocalError: the creation entry has not arrived. */
  state(wallDay: number): RosterState {
    return stateOn(this.#resolve().state, wallDay);
  }

  #resolve(): Resolved {
    if (this.#creation === null) throw new LocalError("the room's first entry has not arrived yet");
    this.#resolved ??= resolve(this.#creation, this.#tree);
    return this.#resolved;
  }

  #isMember(device: string): boolean {
    return this.#resolve().state.members.some((member) => member.device === device);
  }

  /** 32 bytes that two peers have alike only if they hold the same entries. */
  digest(): Uint8Array {
    const hashes = [...this.#byHash.keys()].sort(compareText).map(fromHex);
    return keyedHash(null, "railgun/roster-digest/v1", concatBytes(...hashes));
  }

  /** All entries, the creation first and each author after its add, so that a newcomer files them in one go. */
  export(): Uint8Array[] {
    if (this.#creation === null) return [];
    const found = [this.#creation.data];
    const seen = new Set([this.#creation.author]);
    for (const author of seen) {
      const byNumber = [...(this.#tree.get(author) ?? [])].sort(([left], [right]) => left - right);
      for (const [, variants] of byNumber) {
        for (const [, { data, entry }] of [...variants].sort(([left], [right]) => compareText(left, right))) {
          found.push(data);
          if (entry.is === "Add") seen.add(toHex(entry.device));
        }
      }
    }
    return found;
  }

  // --- writing ------------------------------------------------------------------------------

  /** Number and previous hash of the next entry of `author`. Raises LocalError: it is not in, or no longer. */
  nextPlace(author: string): { readonly number: number; readonly previous: Uint8Array } {
    if (!this.#isMember(author)) throw new LocalError("this device is not a member of the room");
    const chain = this.#resolve().standing.chains.of(author);
    return { number: chain.length + 1, previous: chain[chain.length - 1]?.hash ?? fromHex(this.room) };
  }

  /** What a removal of `device` made now names. */
  removalOf(device: string): Removal {
    const chain = this.#resolve().standing.chains.of(device);
    const lastHash = chain[chain.length - 1]?.hash ?? new Uint8Array(32);
    return { device: fromHex(device), lastNumber: chain.length, lastHash };
  }
}

/** By (issued, prekey, fallback): the greatest counts. */
function comparePrekeys(left: PrekeyRecord, right: PrekeyRecord): number {
  return left.issued - right.issued || compareBytes(left.prekey, right.prekey) ||
    compareBytes(left.fallback, right.fallback);
}
