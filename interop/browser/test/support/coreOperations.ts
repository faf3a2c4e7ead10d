/** What the vectors' operations on directories, committees and fragments do here. */
import assert from "node:assert/strict";

import { fromHex, toHex } from "../../src/bytes.js";
import { hostPrefix, rankForHandle, RelayPool, type RankedAd } from "../../src/core/committee.js";
import { Directory } from "../../src/core/directory.js";
import { cut, FragmentAssembly } from "../../src/core/fragments.js";
import { fingerprint } from "../../src/core/reconciliation.js";
import { Roster } from "../../src/core/roster.js";
import type { RosterState } from "../../src/core/rosterState.js";
import { NetworkKind, type NetworkParameters } from "../../src/network.js";
import { parseHost, type EnvelopeKind } from "../../src/types.js";
import { SEALED_BODIES } from "../../src/wire/sealed.js";
import { hex, list, number, text, type Case, type Operation } from "./operations.js";
import type { Json } from "./packed.js";

export function kindOf(input: Case): NetworkKind {
  return input["network_kind"] === "lan" ? NetworkKind.LAN : NetworkKind.PUBLIC;
}

export function networkOf(input: Case): NetworkParameters {
  const [epochSeconds, overlapSeconds, adLifetimeSeconds] = [600, 120, 86_400];
  return { name: "vectors", kind: kindOf(input), epochSeconds, overlapSeconds, adLifetimeSeconds };
}

function keys(ads: readonly RankedAd[]): string[] {
  return ads.map(({ nodeKey }) => toHex(nodeKey));
}

function rangeFingerprint(input: Case): Json {
  return { fingerprint: toHex(fingerprint(list(input, "hashes").map((hash) => fromHex(hash as string)))) };
}

export function order(input: Case): Json {
  const ads = list(input, "relays").map((relay) => {
    const one = relay as Case;
    const address = { host: parseHost(text(one, "host")), port: number(one, "port") };
    return { nodeKey: hex(one, "node_key"), address, roles: number(one, "roles") };
  });
  const [tag, size] = [hex(input, "tag"), number(input, "committee_size")];
  const committee = new RelayPool(ads, kindOf(input)).order(tag, size);
  assert.deepEqual(new RelayPool([...ads].reverse(), kindOf(input)).order(tag, size), committee);
  return {
    seats: keys(committee.seats),
    standbys: keys(committee.standbys),
    fallbacks: keys(committee.fallbacks),
    majority: committee.majority,
    seats_hash: toHex(committee.seatsHash),
  };
}

function counted(input: Case): Json {
  const directory = new Directory(networkOf(input));
  for (const record of list(input, "records")) directory.insert(fromHex(record as string), number(input, "wall"));
  const ads = directory.counted(number(input, "start"), number(input, "wall"));
  return { node_keys: ads.map(({ nodeKey }) => toHex(nodeKey)) };
}

function admit(input: Case): Json {
  assert.ok(new Directory(networkOf(input)).insert(hex(input, "record"), number(input, "wall")));
  return {};
}

function prefix(input: Case): Json {
  const found = hostPrefix(parseHost(text(input, "host")));
  return { prefix: found === null ? null : toHex(found) };
}

function rank(input: Case): Json {
  const seats = list(input, "seats").map((seat) => fromHex(seat as string));
  return { ranked: rankForHandle(hex(input, "handle"), seats).map(toHex) };
}

function pieces(input: Case): Json {
  const body = Uint8Array.from({ length: number(input, "body_bytes") }, (_, index) => index % 251);
  const whole = { kind: number(input, "kind") as EnvelopeKind, hint: hex(input, "hint"), body };
  const assembly = new FragmentAssembly();
  const found = cut(whole).map((data) => {
    const fragment = SEALED_BODIES.decode(data);
    assert.ok(fragment.is === "Fragment");
    return assembly.add(fragment);
  });
  assert.deepEqual(found.pop(), whole);
  assert.ok(found.every((inner) => inner === null));
  return { pieces: cut(whole).map(toHex) };
}

function addPiece(input: Case): Json {
  const fragment = SEALED_BODIES.decode(hex(input, "data"));
  assert.ok(fragment.is === "Fragment");
  new FragmentAssembly().add(fragment);
  return null;
}

/** A state as vectors show it. */
export function summary(state: RosterState): Json {
  const { committeeSize, gate, cover, closed } = state.settings;
  return {
    members: state.members.map(({ device }) => device),
    admins: state.members.filter(({ isAdmin }) => isAdmin).map(({ device }) => device),
    removed: state.removed,
    left: state.left,
    revoked: state.revoked,
    settings: [committeeSize, gate, cover, closed],
    invites: state.invites.map(({ inviteKey, uses, used, expires }) => [inviteKey, uses, used, expires]),
    generations: state.generations.map(({ generation, commitment, firstDay, excluded }) =>
      [generation, commitment, firstDay, excluded]),
    names: state.names,
    forks: state.forks.map(({ author, number: place, hashes }) => [author, place, hashes]),
  };
}

function resolved(input: Case): Json {
  const entries = list(input, "entries").map((entry) => fromHex(entry as string));
  const forwards = new Roster(hex(input, "room"));
  const backwards = new Roster(hex(input, "room"));
  for (const entry of entries) forwards.insert(entry);
  for (const entry of [...entries].reverse()) backwards.insert(entry);
  const state = summary(forwards.state(number(input, "day")));
  assert.deepEqual(summary(backwards.state(number(input, "day"))), state);
  const again = new Roster(hex(input, "room"));
  assert.ok(forwards.export().every((entry) => again.insert(entry).outcome === "added"));
  return state;
}

export const CORE_OPERATIONS: Readonly<Record<string, Operation>> = {
  order,
  rank,
  prefix,
  counted,
  admit,
  fingerprint: rangeFingerprint,
  cut: pieces,
  add: addPiece,
  resolve: resolved,
};
