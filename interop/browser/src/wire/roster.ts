/**
 * Roster entries: what a room's members say about the room.
 *
 * Owns: the entries' fields and bounds, the signed wrapper, join requests, bundles. Must not know: hashes, keys, who is
 * right. Spec: docs/spec/rooms.md.
 */
import { equalBytes, isZero } from "../bytes.js";
import { InvalidArgument } from "../errors.js";
import {
  CERTIFICATE_BYTES_MAX,
  COMMITTEE_MAX,
  COMMITTEE_MIN,
  DEVICE_NAME_BYTES_MAX,
  INVITE_USES_MAX,
  PREKEY_BYTES,
  ROOM_DEVICES_MAX,
  ROOM_NAME_BYTES_MAX,
  ROSTER_ENTRIES_PER_AUTHOR_MAX,
  ROSTER_ENTRY_BYTES_MAX,
  ROSTER_REMOVALS_PER_ENTRY_MAX,
  SECONDS_PER_DAY,
  U32_MAX,
} from "../limits.js";
import {
  array,
  BOOL,
  bytes,
  Codec,
  nested,
  oneOf,
  optional,
  structure,
  text,
  uint,
  type Coded,
  type Of,
} from "./schema.js";

export const KEY = bytes(32);
export const HASH = bytes(32);
export const SIGNATURE = bytes(64);
export const TIME = uint(U32_MAX);
export const DAY = uint(U32_MAX);
const NUMBER = uint(ROSTER_ENTRIES_PER_AUTHOR_MAX);
export const CERTIFICATE = bytes(1, CERTIFICATE_BYTES_MAX);

/** How a room hides when its members speak. */
export const Cover = { OFF: 0, STEADY: 1, STRICT: 2 } as const;

/** What every member applies alike: K, the least reputation of a seat, decoys, whether only admins let people in. */
const ROOM_SETTINGS = structure(
  "RoomSettings",
  { committeeSize: uint(COMMITTEE_MAX), gate: uint(100), cover: oneOf(Cover), closed: BOOL },
  ({ committeeSize }) => {
    if (committeeSize < COMMITTEE_MIN) throw new InvalidArgument(`committee size ${committeeSize}`);
  },
);
export type RoomSettings = Of<typeof ROOM_SETTINGS>;

/** A new secret, named by its hash. `base`: the commitment of the one that it follows; `excluded` did not get it. */
const NAMED_GENERATION = structure(
  "NamedGeneration",
  {
    generation: uint(U32_MAX),
    commitment: HASH,
    firstDay: DAY,
    base: HASH,
    excluded: array(KEY, ROOM_DEVICES_MAX),
  },
  ({ generation }) => {
    if (generation < 1) throw new InvalidArgument("generations count from 1");
  },
);
export type NamedGeneration = Of<typeof NAMED_GENERATION>;

/** One removed device, and its last entry that still counts (number 0 and zeros: none does). */
const REMOVAL = structure("Removal", { device: KEY, lastNumber: NUMBER, lastHash: HASH });
export type Removal = Of<typeof REMOVAL>;

/** What is left of a join request once the entry around it names room, device and certificate. */
const JOIN_PROOF = structure("JoinProof", {
  inviteKey: KEY,
  time: TIME,
  deviceSignature: SIGNATURE,
  inviteSignature: SIGNATURE,
});
export type JoinProof = Of<typeof JOIN_PROOF>;
export const JOIN_PROOF_FIELD = nested(JOIN_PROOF);

const GENERATION = nested(NAMED_GENERATION);
const SETTINGS = nested(ROOM_SETTINGS);
const TARGETS = array(nested(REMOVAL), ROSTER_REMOVALS_PER_ENTRY_MAX, 1);
const HEAD = { room: KEY, author: KEY, number: NUMBER, previous: HASH, time: TIME };

function checkChained({ number }: { readonly number: number }): void {
  if (number < 1) throw new InvalidArgument("entries after the first count from 1");
}

const CREATE = structure(
  "Create",
  {
    author: KEY,
    time: TIME,
    certificate: CERTIFICATE,
    name: text(ROOM_NAME_BYTES_MAX),
    nonce: bytes(16),
    settings: SETTINGS,
    generation: GENERATION,
  },
  ({ generation: { generation, base, excluded } }) => {
    if (generation !== 1 || !isZero(base) || excluded.length > 0) {
      throw new InvalidArgument("a room starts with generation 1, which follows none");
    }
  },
);
const ADD = structure(
  "Add",
  { ...HEAD, device: KEY, certificate: CERTIFICATE, admin: BOOL, request: optional(JOIN_PROOF_FIELD) },
  checkChained,
);
const REMOVE = structure("Remove", { ...HEAD, targets: TARGETS, generation: GENERATION }, checkChained);
const INVITE = structure(
  "Invite",
  { ...HEAD, inviteKey: KEY, lobbySecret: bytes(32), uses: uint(INVITE_USES_MAX), expires: TIME },
  checkChained,
);
const NEW_SETTINGS = structure("Settings", { ...HEAD, settings: SETTINGS, fromDay: DAY }, (entry) => {
  checkChained(entry);
  if (entry.fromDay <= Math.floor(entry.time / SECONDS_PER_DAY)) {
    throw new InvalidArgument("settings hold from the next day at the earliest");
  }
});
const LEAVE = structure("Leave", HEAD, checkChained);
const NEW_GENERATION = structure("Generation", { ...HEAD, generation: GENERATION }, checkChained);
const REVOKE = structure("Revoke", { ...HEAD, targets: TARGETS }, checkChained);
const NAME = structure("Name", { ...HEAD, name: text(DEVICE_NAME_BYTES_MAX) }, checkChained);

export const ENTRIES = new Codec(
  {
    Create: [1, CREATE],
    Add: [2, ADD],
    Remove: [3, REMOVE],
    Invite: [4, INVITE],
    Settings: [5, NEW_SETTINGS],
    Leave: [6, LEAVE],
    Generation: [7, NEW_GENERATION],
    Revoke: [8, REVOKE],
    Name: [9, NAME],
  } as const,
  ROSTER_ENTRY_BYTES_MAX - 128,
);
export type Entry = Coded<typeof ENTRIES>;
export type EntryOf<N extends Entry["is"]> = Extract<Entry, { readonly is: N }>;

/** An entry as it travels: `body` is its canonical encoding, `signature` the author device's over it. */
export const SIGNED_ENTRIES = new Codec(
  {
    SignedEntry: [1, structure("SignedEntry", {
      body: bytes(1, ROSTER_ENTRY_BYTES_MAX - 128),
      signature: SIGNATURE,
    })],
  } as const,
  ROSTER_ENTRY_BYTES_MAX,
);

/** What a joiner signs twice: as the device, and with the invite's key. */
export const JOIN_REQUESTS = new Codec(
  {
    JoinRequest: [1, structure("JoinRequest", {
      room: KEY,
      device: KEY,
      certificate: CERTIFICATE,
      inviteKey: KEY,
      time: TIME,
    })],
  } as const,
  CERTIFICATE_BYTES_MAX + 256,
);

/** A device's bundle: its X-Wing prekey and its account's fallback key, signed by the device. */
const PREKEY_RECORD = structure("PrekeyRecord", {
  device: KEY,
  issued: TIME,
  prekey: bytes(PREKEY_BYTES),
  fallback: bytes(32),
  signature: SIGNATURE,
});
export type PrekeyRecord = Of<typeof PREKEY_RECORD>;
export const PREKEY_FIELD = nested(PREKEY_RECORD);
export const PREKEYS = new Codec({ PrekeyRecord: [1, PREKEY_RECORD] } as const, 1_400);

/** The number in the author's chain: 0 of the creation entry. */
export function numberOf(entry: Entry): number {
  return entry.is === "Create" ? 0 : entry.number;
}

/** Whether two proofs name one invite. */
export function sameInvite(left: JoinProof, right: JoinProof): boolean {
  return equalBytes(left.inviteKey, right.inviteKey);
}
