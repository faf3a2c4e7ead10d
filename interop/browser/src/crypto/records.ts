/**
 * Signing and checking ads and obituaries.
 *
 * Owns: what makes a record authentic, and the hash that names it. Must not know: whether it counts, or for what.
 * Spec: docs/spec/directory.md.
 */
import { equalBytes } from "../bytes.js";
import { MalformedInput, RefusalCode } from "../errors.js";
import {
  adContent,
  decodeExtras,
  decodeRecord,
  encodeRecord,
  testimonyContent,
  type Ad,
  type AdExtras,
  type DirectoryRecord,
} from "../wire/records.js";
import { contentHash } from "./hashing.js";
import { verify, type SigningKey } from "./signing.js";

const AD_LABEL = "railgun/ad/v1";
const OBITUARY_LABEL = "railgun/obituary/v1";

/** A record whose every signature holds. `hash`: content hash of `encoded`, 32 bytes; it names the record. */
export interface SignedRecord<R extends DirectoryRecord = DirectoryRecord> {
  readonly record: R;
  readonly encoded: Uint8Array;
  readonly hash: Uint8Array;
}

/** An ad of the node that holds `key`. Raises InvalidArgument where a field does not fit. */
export function signAd(key: SigningKey, fields: Omit<Ad, "is" | "nodeKey" | "signature">): SignedRecord<Ad> {
  const unsigned: Ad = { is: "Ad", nodeKey: key.publicKey, ...fields, signature: new Uint8Array(64) };
  const record = { ...unsigned, signature: key.sign(AD_LABEL, adContent(unsigned)) };
  const encoded = encodeRecord(record);
  return { record, encoded, hash: contentHash(encoded) };
}

/**
 * Decode one gossiped record and check every signature in it.
 *
 * Raises MalformedInput: not canonical, out of bounds, or (BAD_SIGNATURE) not signed by whom it names.
 */
export function verifyRecord(encoded: Uint8Array): SignedRecord {
  return verifyDecoded(decodeRecord(encoded), encoded);
}

/** Check the signatures of `record`, which was decoded from `encoded`. Raises MalformedInput (BAD_SIGNATURE). */
export function verifyDecoded(record: DirectoryRecord, encoded: Uint8Array): SignedRecord {
  if (!isAuthentic(record)) throw new MalformedInput("not signed by whom it names", RefusalCode.BAD_SIGNATURE);
  return { record, encoded, hash: contentHash(encoded) };
}

function isAuthentic(record: DirectoryRecord): boolean {
  if (record.is === "Ad") return verify(record.nodeKey, AD_LABEL, adContent(record), record.signature);
  return record.testimonies.every(({ signer, dated, signature }) =>
    verify(signer, OBITUARY_LABEL, testimonyContent(record.nodeKey, dated), signature));
}

/** Decode the extras that `ad` names. Raises MalformedInput where they are others, or malformed. */
export function verifyExtras(ad: Ad, encoded: Uint8Array): AdExtras {
  if (ad.extrasHash === null || !equalBytes(contentHash(encoded), ad.extrasHash)) {
    throw new MalformedInput("not the extras of this ad");
  }
  return decodeExtras(encoded);
}
