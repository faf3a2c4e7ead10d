/**
 * What a roster says: members, admins, settings, invites, generations, forks.
 *
 * Owns: the result's shape, and its computation from the entries that count. Must not know: how entries arrive or are
 * kept, secrets. Spec: docs/spec/rooms.md, resolution. Devices, keys and hashes are hexadecimal; every list ascends.
 */
import { toHex } from "../bytes.js";
import { InvalidArgument } from "../errors.js";
import { INVITES_LIVE_MAX, LOBBY_LINGER_SECONDS, SECONDS_PER_DAY } from "../limits.js";
import { compareText } from "../ordered.js";
import type { EntryOf, RoomSettings } from "../wire/roster.js";
import { generationOf, type StoredEntry } from "./rosterEntries.js";
import { Grants, settingsOn, type InviteState, type Member, type Schedule } from "./rosterGrants.js";
import { withRevocations } from "./rosterPersons.js";
import { settle, type Pins, type Standing, type Tree } from "./rosterRemovals.js";

/** A generation that the roster names. `excluded`: devices that never got its secret. */
export interface GenerationState {
  readonly generation: number;
  readonly commitment: string;
  readonly firstDay: number;
  readonly author: string;
  readonly excluded: readonly string[];
}

/** An author signed several entries under one number: its key is copied, or it cheats. Shown to people. */
export interface Fork {
  readonly author: string;
  readonly number: number;
  readonly hashes: readonly string[];
}

/** A roster on one UTC day. `removed` were put out by admins, `revoked` by their own person, `left` went themselves. */
export interface RosterState {
  readonly room: string;
  readonly name: string;
  readonly creator: string;
  readonly members: readonly Member[];
  readonly removed: readonly string[];
  readonly left: readonly string[];
  readonly revoked: readonly string[];
  readonly settings: RoomSettings;
  readonly schedule: Schedule;
  readonly invites: readonly InviteState[];
  readonly generations: readonly GenerationState[];
  readonly forks: readonly Fork[];
  readonly names: readonly (readonly [string, string])[];
}

/** A roster but for the day. */
export interface Resolved {
  readonly standing: Standing;
  readonly state: RosterState;
}

/** Resolve all entries of a room; `creation` is its first. A function of the set alone. Raises InvalidArgument. */
export function resolve(creation: StoredEntry, tree: Tree): Resolved {
  const first = creation.entry;
  if (first.is !== "Create") throw new InvalidArgument("a roster starts with its creation entry");
  const standing = withRevocations(settle(creation.id, creation.author, tree), creation, tree);
  const schedule = scheduleOf(first, standing);
  const grants = new Grants(creation, standing, schedule);
  const devices = [...grants.distances.keys()].sort(compareText);
  const left = devices.filter((device) => standing.chains.of(device).at(-1)?.entry.is === "Leave");
  const gone = new Set([...standing.pins.keys(), ...left]);
  const state = {
    room: creation.id,
    name: first.name,
    creator: creation.author,
    members: devices.filter((device) => !gone.has(device)).flatMap((device) => grants.member(device) ?? []),
    removed: [...standing.pins.keys()].filter((device) => !standing.revoked.has(device)).sort(compareText),
    left: left.filter((device) => !standing.pins.has(device)),
    revoked: [...standing.revoked].sort(compareText),
    settings: schedule[schedule.length - 1]?.[1] ?? first.settings,
    schedule,
    invites: grants.invites(),
    generations: generationsOf(creation, standing),
    forks: forksOf(tree, standing.pins),
    names: namesOf(tree, standing),
  };
  return { standing, state };
}

/** The state on a UTC day. */
export function stateOn(state: RosterState, day: number): RosterState {
  return { ...state, settings: settingsOn(state.schedule, day) ?? state.settings };
}

/** Whether an invite lets anyone in at this time. */
export function isLive(invite: InviteState, wallSeconds: number): boolean {
  return invite.used < invite.uses && wallSeconds < invite.expires;
}

/** Invites whose lobbies members listen to: the last to expire first, at most INVITES_LIVE_MAX. */
export function lobbiesOf(state: RosterState, wallSeconds: number): InviteState[] {
  const lingers = ({ used, lastUsed, expires }: InviteState): boolean =>
    used > 0 && wallSeconds < Math.min(lastUsed + LOBBY_LINGER_SECONDS, expires);
  return state.invites
    .filter((invite) => isLive(invite, wallSeconds) || lingers(invite))
    .sort((left, right) => right.expires - left.expires || compareText(left.inviteKey, right.inviteKey))
    .slice(0, INVITES_LIVE_MAX);
}

/** Of one day the settings of the author nearest to the creator, then the smaller key, then the later entry. */
function scheduleOf(first: EntryOf<"Create">, standing: Standing): Schedule {
  const best = new Map<number, RoomSettings>();
  const authors = [...standing.admins].sort(([left, near], [right, far]) => near - far || compareText(left, right));
  for (const [author] of authors) {
    const own = new Map<number, RoomSettings>();
    for (const { entry } of standing.chains.of(author)) {
      if (entry.is === "Settings") own.set(entry.fromDay, entry.settings);
    }
    for (const [day, settings] of own) if (!best.has(day)) best.set(day, settings);
  }
  const firstDay = Math.floor(first.time / SECONDS_PER_DAY);
  const later = [...best].filter(([day]) => day > firstDay).sort(([left], [right]) => left - right);
  return [[firstDay, first.settings], ...later];
}

/** The generations that admins named, by (g, c). One whose base does not count excludes only what it lists. */
function generationsOf(creation: StoredEntry, standing: Standing): GenerationState[] {
  const chains = [...standing.admins.keys()].flatMap((author) => standing.chains.of(author));
  const naming = [creation, ...chains].flatMap((stored) => {
    const named = generationOf(stored.entry);
    return named === null ? [] : [{ stored, named }];
  });
  naming.sort((left, right) =>
    left.named.generation - right.named.generation || compareText(left.stored.id, right.stored.id));
  const found = new Map<string, GenerationState>();
  const keyOf = (generation: number, commitment: Uint8Array): string => `${generation}:${toHex(commitment)}`;
  for (const { stored, named } of naming) {
    const targets = stored.entry.is === "Remove" ? stored.entry.targets.map(({ device }) => device) : [];
    const base = found.get(keyOf(named.generation - 1, named.base))?.excluded ?? [];
    const own = new Set([...[...named.excluded, ...targets].map(toHex), ...base]);
    const key = keyOf(named.generation, named.commitment);
    const held = found.get(key);
    // Two entries for one secret: only what both exclude is sure to lack it.
    const isOut = (device: string): boolean => held === undefined || held.excluded.includes(device);
    const excluded = [...own].filter(isOut).sort(compareText);
    const { generation, firstDay } = named;
    const first = held ?? { generation, commitment: toHex(named.commitment), firstDay, author: stored.author };
    found.set(key, { ...first, excluded });
  }
  return [...found.values()].sort((left, right) =>
    left.generation - right.generation || compareText(left.commitment, right.commitment));
}

/** All forks but those after a removed device's last entry, which hurt nobody. */
function forksOf(tree: Tree, pins: Pins): Fork[] {
  return [...tree].sort(([left], [right]) => compareText(left, right)).flatMap(([author, byNumber]) =>
    [...byNumber].sort(([left], [right]) => left - right).flatMap(([number, variants]) => {
      const isAfter = number > (pins.get(author)?.number ?? Infinity);
      return variants.size < 2 || isAfter ? [] : [{ author, number, hashes: [...variants.keys()].sort(compareText) }];
    }));
}

/** How devices want to be shown, as they said it: safe nowhere, and no proof of anything. */
function namesOf(tree: Tree, standing: Standing): (readonly [string, string])[] {
  return [...tree.keys()].sort(compareText).flatMap((author) => {
    const said = standing.chains.of(author).flatMap(({ entry }) => (entry.is === "Name" ? [entry.name] : []));
    const last = said[said.length - 1] ?? "";
    return last === "" ? [] : [[author, last] as const];
  });
}
