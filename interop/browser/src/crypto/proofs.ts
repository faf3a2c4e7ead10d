/**
 * What seats, rooms, members and both ends of a link sign for each other.
 *
 * Owns: what these signatures cover. Must not know: who sits on a committee, or what a receipt is worth.
 * Spec: docs/spec/delivery.md, docs/spec/frames.md, docs/spec/links.md.
 */
import { concatBytes, u64 } from "../bytes.js";
import { InvalidArgument } from "../errors.js";
import { RECEIPT_IDS_MAX } from "../limits.js";
import { encode } from "../wire/cbor.js";
import type { Frame, TagDescriptor } from "../wire/frames.js";
import type { EpochKeys } from "./epoch.js";
import { verify, type SigningKey } from "./signing.js";

const RECEIPT_LABEL = "railgun/receipt/v1";
const TAG_LABEL = "railgun/tag/v1";
const SUBSCRIBE_LABEL = "railgun/subscribe/v1";
const DIRECT_LABEL = "railgun/direct/v1";
const LISTENER_LABEL = "railgun/link/v1/listener";
const DIALLER_LABEL = "railgun/link/v1/dialler";

type Receipt = Extract<Frame, { readonly is: "Receipt" }>;

/** Raises InvalidArgument for other than 1 to 64 ids. */
export function receiptContent(tag: Uint8Array, ids: readonly Uint8Array[], seat: Uint8Array): Uint8Array {
  if (ids.length < 1 || ids.length > RECEIPT_IDS_MAX) throw new InvalidArgument("a receipt names 1 to 64 envelopes");
  return encode([RECEIPT_LABEL, tag, ids, seat]);
}

/** A seat's signature, 64 bytes, that it holds `ids`. */
export function signReceipt(seat: SigningKey, tag: Uint8Array, ids: readonly Uint8Array[]): Uint8Array {
  return seat.sign(RECEIPT_LABEL, receiptContent(tag, ids, seat.publicKey));
}

/** Whether the seat that it names signed it. Whether that seat counts is the caller's to know. */
export function verifyReceipt({ tag, ids, seat, signature }: Receipt): boolean {
  return verify(seat, RECEIPT_LABEL, receiptContent(tag, ids, seat), signature);
}

/** What a descriptor's signature covers; also what decides between conflicting ones. */
export function descriptorContent(descriptor: Omit<TagDescriptor, "signature">): Uint8Array {
  const { start, tag, committeeSize, gate } = descriptor;
  return encode([TAG_LABEL, start, tag, committeeSize, gate]);
}

/** The room's word on a tag. */
export function signTagDescriptor(keys: EpochKeys, committeeSize: number, gate: number): TagDescriptor {
  const unsigned = { start: keys.start, tag: keys.tag, committeeSize, gate };
  return { ...unsigned, signature: keys.signingKey.sign(TAG_LABEL, descriptorContent(unsigned)) };
}

/** Whether a holder of r_e signed it. */
export function verifyTagDescriptor(descriptor: TagDescriptor): boolean {
  return verify(descriptor.tag, TAG_LABEL, descriptorContent(descriptor), descriptor.signature);
}

/** CBOR `['railgun/subscribe/v1', R_e, seat key, the client's link key, handle]`. */
export function subscribeContent(
  tag: Uint8Array,
  seat: Uint8Array,
  client: Uint8Array,
  handle: Uint8Array,
): Uint8Array {
  return encode([SUBSCRIBE_LABEL, tag, seat, client, handle]);
}

/** The proof, 64 bytes, that a client may subscribe; good on this link to this seat only. */
export function signSubscription(
  keys: EpochKeys,
  seat: Uint8Array,
  client: Uint8Array,
  handle: Uint8Array,
): Uint8Array {
  return keys.signingKey.sign(SUBSCRIBE_LABEL, subscribeContent(keys.tag, seat, client, handle));
}

/** Whether a holder of r_e made `proof` for this seat, link and handle. */
export function verifySubscription(
  tag: Uint8Array,
  seat: Uint8Array,
  client: Uint8Array,
  handle: Uint8Array,
  proof: Uint8Array,
): boolean {
  return verify(tag, SUBSCRIBE_LABEL, subscribeContent(tag, seat, client, handle), proof);
}

/** The proof, by r_e, that whoever holds `own` is in the room; good on its link to `other` only. */
export function signDirect(keys: EpochKeys, own: Uint8Array, other: Uint8Array): Uint8Array {
  return keys.signingKey.sign(DIRECT_LABEL, encode([DIRECT_LABEL, keys.tag, own, other]));
}

/** Whether a holder of r_e made `proof` for this link, in this direction. */
export function verifyDirect(tag: Uint8Array, prover: Uint8Array, verifier: Uint8Array, proof: Uint8Array): boolean {
  return verify(tag, DIRECT_LABEL, encode([DIRECT_LABEL, tag, prover, verifier]), proof);
}

/** What both ends of a link know of it. Nonces and certificate hashes have 32 bytes. */
export interface LinkTranscript {
  readonly diallerNonce: Uint8Array;
  readonly listenerNonce: Uint8Array;
  readonly diallerCertificate: Uint8Array;
  readonly listenerCertificate: Uint8Array;
  readonly networkId: Uint8Array;
}

/** What one end claims in its proof, and in which role. */
export interface LinkClaim {
  readonly key: Uint8Array;
  readonly nowMs: number;
  readonly isRelay: boolean;
  readonly dials: boolean;
}

/** What the in-band proof's signature covers. */
export function linkProofContent(transcript: LinkTranscript, claim: LinkClaim): Uint8Array {
  const { diallerNonce, listenerNonce, diallerCertificate, listenerCertificate, networkId } = transcript;
  return concatBytes(
    diallerNonce,
    listenerNonce,
    diallerCertificate,
    listenerCertificate,
    networkId,
    u64(claim.nowMs),
    claim.key,
    Uint8Array.of(claim.isRelay ? 1 : 0),
  );
}

/** Prove a key on this connection; the claim's key is the signer's. */
export function signLink(key: SigningKey, transcript: LinkTranscript, claim: Omit<LinkClaim, "key">): Uint8Array {
  return key.sign(labelOf(claim.dials), linkProofContent(transcript, { ...claim, key: key.publicKey }));
}

export function verifyLink(transcript: LinkTranscript, claim: LinkClaim, signature: Uint8Array): boolean {
  return verify(claim.key, labelOf(claim.dials), linkProofContent(transcript, claim), signature);
}

function labelOf(dials: boolean): string {
  return dials ? DIALLER_LABEL : LISTENER_LABEL;
}
