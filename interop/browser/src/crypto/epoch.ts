/**
 * Epoch keys: what a room's secret becomes, day by day and epoch by epoch.
 *
 * Owns: the day chain, the keys of one epoch, when an epoch starts. Must not know: which generations live, or when
 * secrets are erased. Spec: docs/spec/keys.md.
 */
import { concatBytes, u32 } from "../bytes.js";
import { ClockError, InvalidArgument } from "../errors.js";
import { SECONDS_PER_DAY, U32_MAX } from "../limits.js";
import { keyedHash } from "./hashing.js";
import { SigningKey } from "./signing.js";

const SECRET_BYTES = 32;
const LOBBY_GENERATION = 0;

/** The keys of one room, generation and epoch. K_e and r_e show in no inspection and no JSON. */
export class EpochKeys {
  /** The epoch's start, Unix seconds. */
  readonly start: number;
  /** g; 0 for a lobby. */
  readonly generation: number;
  /** r_e: signs envelopes and proves the room. */
  readonly #signingKey: SigningKey;
  readonly #headerKey: Uint8Array;

  /** Of its day's secret D_d (32 bytes). Raises InvalidArgument: another length, or a number is no u32. */
  constructor(daySecret: Uint8Array, generation: number, start: number) {
    const context = pair(daySecret, generation, start);
    this.start = start;
    this.generation = generation;
    this.#signingKey = new SigningKey(keyedHash(daySecret, "railgun/room-sig/v1", context));
    this.#headerKey = keyedHash(daySecret, "railgun/room-hdr/v1", context);
  }

  /** R_e, 32 bytes, public: the room's name to relays. */
  get tag(): Uint8Array {
    return this.#signingKey.publicKey;
  }

  get signingKey(): SigningKey {
    return this.#signingKey;
  }

  /** K_e, 32 bytes, secret: seals the inner part of envelopes. */
  get headerKey(): Uint8Array {
    return this.#headerKey;
  }
}

/** The keys of an invite's lobby for one epoch: its lobby secret stands for D_d, and g = 0. */
export function lobbyKeys(lobbySecret: Uint8Array, start: number): EpochKeys {
  return new EpochKeys(lobbySecret, LOBBY_GENERATION, start);
}

/** c, 32 bytes: names generation secret S (32 bytes) without giving it away. */
export function generationCommitment(secret: Uint8Array): Uint8Array {
  if (secret.length !== SECRET_BYTES) throw new InvalidArgument("a generation's secret has 32 bytes");
  return keyedHash(null, "railgun/gen/v1", secret);
}

/** D_first, 32 bytes, from S (32 bytes); S may be erased then. `day` counts days since 1970. */
export function firstDaySecret(secret: Uint8Array, generation: number, day: number): Uint8Array {
  return keyedHash(secret, "railgun/day/v1", pair(secret, generation, day));
}

/** D_{d+1}, 32 bytes, from D_d (32 bytes); `nextDay` is d + 1. */
export function nextDaySecret(daySecret: Uint8Array, generation: number, nextDay: number): Uint8Array {
  return keyedHash(daySecret, "railgun/day/v1", pair(daySecret, generation, nextDay));
}

/** The UTC day of an epoch's start: days since 1970. */
export function dayOf(start: number): number {
  return Math.floor(start / SECONDS_PER_DAY);
}

/** By how much a room's epochs are shifted, 0 to L - 1. */
export function epochOffsetSeconds(roomId: Uint8Array, epochSeconds: number): number {
  const step = (keyedHash(null, "railgun/offset/v1", roomId)[0] ?? 0) % 10;
  return Math.floor((epochSeconds * step) / 10);
}

/**
 * Start, in Unix seconds, of the epoch of `roomId` that is open at `wallSeconds`.
 *
 * Raises ClockError where the time cannot be (before 1970 or past u32).
 */
export function epochStart(wallSeconds: number, roomId: Uint8Array, epochSeconds: number): number {
  if (!Number.isFinite(wallSeconds)) throw new ClockError("the clock shows no time");
  const offset = epochOffsetSeconds(roomId, epochSeconds);
  const start = Math.floor((Math.floor(wallSeconds) - offset) / epochSeconds) * epochSeconds + offset;
  if (start < 0 || start > U32_MAX) throw new ClockError("the clock is far off: set this machine's date");
  return start;
}

function pair(secret: Uint8Array, generation: number, number: number): Uint8Array {
  if (secret.length !== SECRET_BYTES) throw new InvalidArgument("a day's secret has 32 bytes");
  return concatBytes(u32(generation), u32(number));
}
