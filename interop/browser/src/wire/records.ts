/**
 * The directory's records: ads, their extras, obituaries.
 *
 * Owns: the fields of each record, their encoding, and what exactly a signature covers. Must not know: whether a
 * signature is right, whether a record counts, or who holds it. Spec: docs/spec/directory.md.
 */
import { ascends, equalBytes } from "../bytes.js";
import { InvalidArgument, MalformedInput } from "../errors.js";
import {
  AD_CORE_BYTES_MAX,
  AD_EXTRAS_BYTES_MAX,
  OBITUARY_BYTES_MAX,
  OBITUARY_TESTIMONIES_MAX,
  U32_MAX,
} from "../limits.js";
import type { RelayContact } from "../types.js";
import { ADDRESS } from "./address.js";
import { encode } from "./cbor.js";
import {
  array,
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

const KEY = bytes(32);
const SIGNATURE = bytes(64);
const TIME = uint(U32_MAX);

/** How a relay is run, as its operator says. */
export const RelayMode = { COOPERATIVE: 1, DEDICATED: 2 } as const;

/** A relay's signed core: who it is, where it listens, until when. Unknown bits of `roles` are kept. */
const AD = structure(
  "Ad",
  {
    nodeKey: KEY,
    address: ADDRESS,
    certificateHash: bytes(32),
    roles: uint(255),
    issued: TIME,
    expires: TIME,
    extrasHash: optional(bytes(32)),
    signature: SIGNATURE,
  },
  ({ issued, expires }) => {
    if (expires < issued) throw new InvalidArgument("an ad expires no earlier than it is issued");
  },
);

/** A proof of some kind that later rules read; opaque here. */
const PROOF = structure("Proof", { kind: uint(255), data: bytes(1, 256) });

/** What only those ask for who need it. Bound to its ad by the ad's `extrasHash`. */
const AD_EXTRAS = structure("AdExtras", {
  otherAddresses: array(ADDRESS, 7),
  capacityBytesPerSecond: optional(uint()),
  mode: optional(oneOf(RelayMode)),
  retentionSeconds: optional(TIME),
  onion: optional(text(62, 1)),
  rendezvous: optional(array(KEY, 4, 1)),
  proofs: optional(array(nested(PROOF), 5, 1)),
});

/** One relay's word that another was dead at `dated`. */
const TESTIMONY = structure("Testimony", { signer: KEY, dated: TIME, signature: SIGNATURE });
export type Testimony = Of<typeof TESTIMONY>;

/** The word of several relays that one is dead. Testimonies ascend strictly by signer; nobody testifies on itself. */
const OBITUARY = structure(
  "Obituary",
  { nodeKey: KEY, testimonies: array(nested(TESTIMONY), OBITUARY_TESTIMONIES_MAX, 1) },
  ({ nodeKey, testimonies }) => {
    if (!ascends(testimonies.map(({ signer }) => signer))) {
      throw new InvalidArgument("testimonies ascend by signer, one each");
    }
    if (testimonies.some(({ signer }) => equalBytes(signer, nodeKey))) {
      throw new InvalidArgument("nobody testifies on itself");
    }
  },
);

const ADS = new Codec({ Ad: [1, AD] } as const, AD_CORE_BYTES_MAX);
const EXTRAS = new Codec({ AdExtras: [2, AD_EXTRAS] } as const, AD_EXTRAS_BYTES_MAX);
const RECORDS = new Codec({ Ad: [1, AD], Obituary: [3, OBITUARY] } as const, OBITUARY_BYTES_MAX);

export type Ad = Coded<typeof ADS>;
export type AdExtras = Coded<typeof EXTRAS>;
export type DirectoryRecord = Coded<typeof RECORDS>;
export type Obituary = Extract<DirectoryRecord, { readonly is: "Obituary" }>;

/** An ad (at most 300 bytes) or an obituary (at most 700). Raises InvalidArgument where it does not fit. */
export function encodeRecord(record: DirectoryRecord): Uint8Array {
  return record.is === "Ad" ? ADS.encode(record) : RECORDS.encode(record);
}

/** Decode one gossiped record. Raises MalformedInput for anything but a canonical one within its size. */
export function decodeRecord(data: Uint8Array): DirectoryRecord {
  const record = RECORDS.decode(data);
  if (record.is === "Ad" && data.length > AD_CORE_BYTES_MAX) throw new MalformedInput("the ad is too large");
  return record;
}

export function encodeExtras(extras: AdExtras): Uint8Array {
  return EXTRAS.encode(extras);
}

/** Raises MalformedInput. */
export function decodeExtras(data: Uint8Array): AdExtras {
  return EXTRAS.decode(data);
}

/** What an ad's signature covers: the ad's own encoding without the signature's key and value. */
export function adContent(ad: Ad): Uint8Array {
  return encode(ADS.pack(ad, ["signature"]));
}

/** What a testimony's signature covers (label `railgun/obituary/v1`). */
export function testimonyContent(nodeKey: Uint8Array, dated: number): Uint8Array {
  return encode([nodeKey, dated]);
}

/** The lower median of the testimonies' times: a minority can neither advance nor delay it far. */
export function datedOf(obituary: Obituary): number {
  const times = obituary.testimonies.map(({ dated }) => dated).sort((left, right) => left - right);
  return times[Math.floor((times.length - 1) / 2)] ?? 0;
}

/** All that is needed to dial the relay; the extras' addresses follow the first. */
export function contactOf(ad: Ad, extras: AdExtras | null = null): RelayContact {
  const others = (extras?.otherAddresses ?? []).filter(
    ({ host, port }) => port !== ad.address.port || !equalBytes(host, ad.address.host),
  );
  return { nodeKey: ad.nodeKey, addresses: [ad.address, ...others], certificateHash: ad.certificateHash };
}
