/**
 * One roster entry: its hash, its signatures, and what can be judged of it alone.
 *
 * Owns: signing and opening entries, join requests and bundles. Must not know: other entries.
 * Spec: docs/spec/rooms.md.
 */
import { equalBytes, toHex } from "../bytes.js";
import { keyedHash } from "../crypto/hashing.js";
import { verifyCertificate } from "../crypto/identity.js";
import { verify, type SigningKey } from "../crypto/signing.js";
import { MalformedInput, PeerError, RefusalCode } from "../errors.js";
import { encode } from "../wire/cbor.js";
import type { DeviceCertificate } from "../wire/certificates.js";
import {
  ENTRIES,
  JOIN_REQUESTS,
  numberOf,
  SIGNED_ENTRIES,
  type Entry,
  type JoinProof,
  type NamedGeneration,
  type PrekeyRecord,
} from "../wire/roster.js";
import type { Coded } from "../wire/schema.js";

const ROSTER_LABEL = "railgun/roster/v1";
const ENTRY_HASH_LABEL = "railgun/roster-entry/v1";
const JOIN_LABEL = "railgun/join/v1";
const INVITE_USE_LABEL = "railgun/invite-use/v1";
const PREKEY_LABEL = "railgun/prekey/v1";

export type JoinRequest = Coded<typeof JOIN_REQUESTS>;

/**
 * An entry whose own signatures are right. `data`: as it travels; `certificate`: of the device that it lets in.
 * `author` and `id` (of `hash`) are hexadecimal, as keys of maps: their order is that of the bytes.
 */
export interface StoredEntry {
  readonly entry: Entry;
  readonly author: string;
  readonly number: number;
  readonly id: string;
  readonly hash: Uint8Array;
  readonly data: Uint8Array;
  readonly certificate: DeviceCertificate | null;
}

/** Names an entry, 32 bytes: of its body alone, so that a second signature makes no second entry. */
export function entryHash(body: Uint8Array): Uint8Array {
  return keyedHash(null, ENTRY_HASH_LABEL, body);
}

/** The room that an entry belongs to; of a creation entry, its own hash. */
export function roomOf({ entry, hash }: StoredEntry): Uint8Array {
  return entry.is === "Create" ? hash : entry.room;
}

/** The generation that an entry names, if it names one. */
export function generationOf(entry: Entry): NamedGeneration | null {
  return entry.is === "Create" || entry.is === "Remove" || entry.is === "Generation" ? entry.generation : null;
}

/** Sign as the author's device. Raises InvalidArgument: a field does not fit; PeerError: a wrong key, say. */
export function signEntry(key: SigningKey, entry: Entry): StoredEntry {
  const body = ENTRIES.encode(entry);
  return openEntry(SIGNED_ENTRIES.encode({ is: "SignedEntry", body, signature: key.sign(ROSTER_LABEL, body) }));
}

/** Decode an entry and check all of its signatures. Raises MalformedInput, or PeerError (BAD_SIGNATURE). */
export function openEntry(data: Uint8Array): StoredEntry {
  const { body, signature } = SIGNED_ENTRIES.decode(data);
  const entry = ENTRIES.decode(body);
  if (!verify(entry.author, ROSTER_LABEL, body, signature)) {
    throw new PeerError(RefusalCode.BAD_SIGNATURE, "roster entry");
  }
  const certificate = certificateOf(entry);
  if (entry.is === "Add" && entry.request !== null) {
    checkJoinProof(entry.room, entry.device, entry.certificate, entry.request);
  }
  const hash = entryHash(body);
  return { entry, author: toHex(entry.author), number: numberOf(entry), id: toHex(hash), hash, data, certificate };
}

function certificateOf(entry: Entry): DeviceCertificate | null {
  if (entry.is !== "Create" && entry.is !== "Add") return null;
  const certificate = verifyCertificate(entry.certificate);
  if (!equalBytes(certificate.deviceKey, entry.is === "Create" ? entry.author : entry.device)) {
    throw new MalformedInput("the certificate is another device's");
  }
  return certificate;
}

/** Sign a join request as the device and with the invite's key (or as the root of the device's person). */
export function signJoinRequest(device: SigningKey, invite: SigningKey, request: JoinRequest): JoinProof {
  const body = JOIN_REQUESTS.encode(request);
  return {
    inviteKey: request.inviteKey,
    time: request.time,
    deviceSignature: device.sign(JOIN_LABEL, body),
    inviteSignature: invite.sign(INVITE_USE_LABEL, body),
  };
}

/** Check both signatures. Raises PeerError (BAD_SIGNATURE). */
export function checkJoinProof(
  room: Uint8Array,
  device: Uint8Array,
  certificate: Uint8Array,
  proof: JoinProof,
): void {
  const { inviteKey, time, deviceSignature, inviteSignature } = proof;
  const body = JOIN_REQUESTS.encode({ is: "JoinRequest", room, device, certificate, inviteKey, time });
  const isGenuine = verify(device, JOIN_LABEL, body, deviceSignature) &&
    verify(inviteKey, INVITE_USE_LABEL, body, inviteSignature);
  if (!isGenuine) throw new PeerError(RefusalCode.BAD_SIGNATURE, "join request");
}

/** Sign a device's bundle: X-Wing prekey and fallback key, issued at this Unix second. */
export function signPrekey(
  key: SigningKey,
  issued: number,
  prekey: Uint8Array,
  fallback: Uint8Array,
): PrekeyRecord {
  const signature = key.sign(PREKEY_LABEL, encode([issued, prekey, fallback]));
  return { device: key.publicKey, issued, prekey, fallback, signature };
}

/** Whether the device that the record names signed it. */
export function prekeyIsGenuine({ device, issued, prekey, fallback, signature }: PrekeyRecord): boolean {
  return verify(device, PREKEY_LABEL, encode([issued, prekey, fallback]), signature);
}
