/**
 * Who was let in by whom, starting from the creator, and which invites there are.
 *
 * Owns: grants, places, invites. Must not know: removals' quarrels, settings' order. Spec: docs/spec/rooms.md, members.
 * Devices, keys and hashes are hexadecimal.
 */
import { toHex } from "../bytes.js";
import { ROOM_DEVICES_MAX, SECONDS_PER_DAY } from "../limits.js";
import { compareText, insertSorted } from "../ordered.js";
import type { DeviceCertificate } from "../wire/certificates.js";
import type { EntryOf, RoomSettings } from "../wire/roster.js";
import type { StoredEntry } from "./rosterEntries.js";
import { OWN_DEVICES_PER_AUTHOR_MAX, ownRoot } from "./rosterPersons.js";
import type { Standing } from "./rosterRemovals.js";

/** (from day, settings), ascending. */
export type Schedule = readonly (readonly [number, RoomSettings])[];

/** A device that is in. `distance` counts grants from the creator (0). */
export interface Member {
  readonly device: string;
  readonly certificate: DeviceCertificate;
  readonly isAdmin: boolean;
  readonly distance: number;
}

/** An invite that is not revoked. `used` may exceed `uses` after a partition; people are shown that. */
export interface InviteState {
  readonly inviteKey: string;
  readonly lobbySecret: Uint8Array;
  readonly uses: number;
  readonly used: number;
  readonly lastUsed: number;
  readonly expires: number;
  readonly author: string;
}

/** Somebody to be given a place: since when it is in, and what decides between equals. */
interface Candidate {
  readonly since: number;
  readonly grants: number;
  readonly number: number;
  readonly id: string;
  readonly device: string;
}

interface Named {
  readonly author: string;
  readonly entry: EntryOf<"Invite">;
}

/** The settings of a UTC day; the first ones, for days before the room was made. Null of an empty schedule. */
export function settingsOn(schedule: Schedule, day: number): RoomSettings | null {
  const holding = schedule.filter(([fromDay]) => fromDay <= day);
  return (holding[holding.length - 1] ?? schedule[0])?.[1] ?? null;
}

export class Grants {
  /** Distances from the creator, of those who have a place. */
  readonly distances: ReadonlyMap<string, number>;
  readonly #standing: Standing;
  readonly #schedule: Schedule;
  readonly #adds = new Map<string, StoredEntry>();
  readonly #edges = new Map<string, (readonly [StoredEntry, string])[]>();
  readonly #named = new Map<string, Named[]>();
  readonly #users = new Map<string, Map<string, number>>();
  readonly #waiting = new Map<string, StoredEntry[]>();
  readonly #roots = new Set<string>();
  readonly #own = new Map<string, StoredEntry[]>();
  readonly #unread: string[] = [];

  constructor(creation: StoredEntry, standing: Standing, schedule: Schedule) {
    this.#standing = standing;
    this.#schedule = schedule;
    this.#adds.set(creation.author, creation);
    this.#unread.push(creation.author);
    this.#vouch(creation, creation.author);
    for (let author = this.#unread.pop(); author !== undefined; author = this.#unread.pop()) this.#read(author);
    this.distances = this.#measure(creation.author, creation.entry.time);
  }

  /** A device that was let in, by the smallest of the entries that did so; null for others. */
  member(device: string): Member | null {
    const [certificate, distance] = [this.#adds.get(device)?.certificate, this.distances.get(device)];
    if (certificate === undefined || certificate === null || distance === undefined) return null;
    return { device, certificate, isAdmin: this.#standing.admins.has(device), distance };
  }

  /** Invites with uses left to them, by key; of several entries for one key the strictest bounds hold. */
  invites(): InviteState[] {
    return [...this.#named].sort(([left], [right]) => compareText(left, right)).flatMap(([inviteKey, named]) => {
      const uses = Math.min(...named.map(({ entry }) => entry.uses));
      const expires = Math.min(...named.map(({ entry }) => entry.expires));
      const [first] = [...named].sort((left, right) =>
        left.entry.number - right.entry.number || compareText(left.author, right.author));
      if (uses === 0 || first === undefined) return [];
      const { author, entry: { lobbySecret } } = first;
      const users = this.#users.get(inviteKey) ?? new Map<string, number>();
      const lastUsed = Math.max(0, ...users.values());
      return [{ inviteKey, lobbySecret, uses, used: users.size, lastUsed, expires, author }];
    });
  }

  #isAdmin(author: string): boolean {
    return this.#standing.admins.has(author);
  }

  #mayInvite(author: string, time: number): boolean {
    if (this.#isAdmin(author)) return true;
    return settingsOn(this.#schedule, Math.floor(time / SECONDS_PER_DAY))?.closed === false;
  }

  /** `device` was let in as a device of this root's: it may let in others of it. */
  #vouch({ certificate }: StoredEntry, device: string): void {
    if (certificate === null) return;
    const pair = `${device}:${toHex(certificate.rootKey)}`;
    this.#roots.add(pair);
    const waiting = this.#own.get(pair) ?? [];
    this.#own.delete(pair);
    for (const stored of waiting) this.#grant(stored);
  }

  #read(author: string): void {
    const ownDevices = new Set<string>();
    for (const stored of this.#standing.chains.of(author)) {
      const { entry } = stored;
      const root = this.#isAdmin(author) ? null : ownRoot(stored);
      if (root !== null && entry.is === "Add") this.#readOwn(stored, toHex(entry.device), root, ownDevices);
      else if (entry.is === "Invite" && this.#mayInvite(author, entry.time)) this.#readInvite(author, entry);
      else if (entry.is === "Add" && this.#mayInvite(author, entry.time)) this.#readAdd(stored, entry);
    }
  }

  #readOwn(stored: StoredEntry, device: string, root: string, ownDevices: Set<string>): void {
    const pair = `${stored.author}:${root}`;
    if (!ownDevices.has(device) && ownDevices.size >= OWN_DEVICES_PER_AUTHOR_MAX) return;
    ownDevices.add(device);
    if (this.#roots.has(pair)) this.#grant(stored);
    else push(this.#own, pair, stored);
  }

  #readInvite(author: string, entry: EntryOf<"Invite">): void {
    const key = toHex(entry.inviteKey);
    push(this.#named, key, { author, entry });
    const waiting = this.#waiting.get(key) ?? [];
    this.#waiting.delete(key);
    for (const stored of waiting) this.#grant(stored);
  }

  #readAdd(stored: StoredEntry, { request }: EntryOf<"Add">): void {
    const key = request === null ? null : toHex(request.inviteKey);
    if (this.#isAdmin(stored.author) || (key !== null && this.#named.has(key))) this.#grant(stored);
    else if (key !== null) push(this.#waiting, key, stored);
  }

  #grant(stored: StoredEntry): void {
    const { entry } = stored;
    if (entry.is !== "Add") return;
    const device = toHex(entry.device);
    push(this.#edges, stored.author, [stored, device] as const);
    if (ownRoot(stored) === null || this.#isAdmin(stored.author)) this.#vouch(stored, device);
    if (entry.request !== null) {
      const key = toHex(entry.request.inviteKey);
      const users = this.#users.get(key) ?? new Map<string, number>();
      this.#users.set(key, users.set(device, Math.max(entry.time, users.get(device) ?? 0)));
    }
    const held = this.#adds.get(device);
    if (held === undefined) this.#unread.push(device);
    if (held === undefined || (held.entry.is === "Add" && stored.id < held.id)) this.#adds.set(device, stored);
  }

  #measure(creator: string, created: number): Map<string, number> {
    const placed = this.#firstIn(creator, created);
    const found = new Map([[creator, 0]]);
    let level = [creator];
    for (let distance = 1; level.length > 0; distance += 1) {
      const reached = new Set(level.flatMap((author) => (this.#edges.get(author) ?? []).map(([, device]) => device)));
      level = [...reached].filter((device) => placed.has(device) && !found.has(device));
      for (const device of level) found.set(device, distance);
    }
    return found;
  }

  /** Who was there first: ROOM_DEVICES_MAX devices that are in, and those that were and are out. */
  #firstIn(creator: string, created: number): Set<string> {
    const placed = new Set<string>();
    let places = ROOM_DEVICES_MAX;
    const waiting: Candidate[] = [{ since: created, grants: 0, number: 0, id: "", device: creator }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { since, grants, device } = next;
      const isIn = !this.#isGone(device);
      if (placed.has(device) || (isIn && places === 0)) continue;
      placed.add(device);
      if (isIn) places -= 1;
      const chain = this.#standing.chains.of(device);
      let latest = 0;
      const byNumber = chain.map(({ entry }) => (latest = Math.max(latest, entry.time)));
      for (const [{ number, id }, added] of this.#edges.get(device) ?? []) {
        const entrySince = Math.max(since, byNumber[number - 1] ?? 0);
        // The next one stands at the end.
        insertSorted(waiting, { since: entrySince, grants: grants + 1, number, id, device: added }, (left, right) =>
          compareCandidates(right, left));
      }
    }
    return placed;
  }

  #isGone(device: string): boolean {
    const chain = this.#standing.chains.of(device);
    return this.#standing.pins.has(device) || chain[chain.length - 1]?.entry.is === "Leave";
  }
}

function compareCandidates(left: Candidate, right: Candidate): number {
  return left.since - right.since || left.grants - right.grants || left.number - right.number ||
    compareText(left.id, right.id) || compareText(left.device, right.device);
}

function push<T>(groups: Map<string, T[]>, name: string, item: T): void {
  const group = groups.get(name);
  if (group === undefined) groups.set(name, [item]);
  else group.push(item);
}
