/** Every decoder, by the name under which tests/interop/differential.py knows the Python one. */
import { equalBytes, fromHex, readU16, toHex } from "../../src/bytes.js";
import { openEntry } from "../../src/core/rosterEntries.js";
import { EpochKeys } from "../../src/crypto/epoch.js";
import { hpkeOpen } from "../../src/crypto/hpke.js";
import { networkContent, readNetwork } from "../../src/crypto/names.js";
import { verifyRecord } from "../../src/crypto/records.js";
import { checkEnvelope, openContact, openEnvelope } from "../../src/crypto/sealing.js";
import { readRecord } from "../../src/dht/records.js";
import { PeerError } from "../../src/errors.js";
import { formatAddress } from "../../src/types.js";
import { decode, encode, type Value } from "../../src/wire/cbor.js";
import { CERTIFICATES } from "../../src/wire/certificates.js";
import { DIRECT_CONTACTS, formatContact, parseContact } from "../../src/wire/contacts.js";
import { FRAMES, PULSES } from "../../src/wire/frames.js";
import { FrameDecoder } from "../../src/wire/framing.js";
import { HANDSHAKES } from "../../src/wire/handshakes.js";
import { formatInvite, parseInvite } from "../../src/wire/invites.js";
import { PAIRWISE_BODIES, SHARED_KEYS } from "../../src/wire/pairwise.js";
import { decodeExtras, encodeExtras } from "../../src/wire/records.js";
import { ENTRIES, JOIN_REQUESTS, PREKEYS, SIGNED_ENTRIES } from "../../src/wire/roster.js";
import type { Codec } from "../../src/wire/schema.js";
import { ANSWERS, DAY_SECRETS, SEALED_BODIES, SIGNED_ANSWERS } from "../../src/wire/sealed.js";
import { COMMITTEE_CHANGES, TRAVERSAL_HINT_CODEC } from "../../src/wire/tagPayloads.js";
import { content, decoded, messageItem } from "../support/operations.js";
import { codeOf } from "../support/outcome.js";
import { fieldsOf, type Json } from "../support/packed.js";

const CBOR_BYTES_MAX = 262_144;
const KEYS = new EpochKeys(new Uint8Array(32).fill(1), 1, 1_700_000_400);
const NOW = 1_700_000_400;
const HPKE_SECRET = new Uint8Array(32).fill(2);
const HPKE_INFO = Uint8Array.of(0x69, 0x6e, 0x66, 0x6f);

type Run = (given: Json) => Json;

function ofBytes(run: (data: Uint8Array) => Json): Run {
  return (given) => run(fromHex(given as string));
}

function ofText(run: (text: string) => Json): Run {
  return (given) => run(given as string);
}

function ofCodec<K>(codec: Codec<K>): Run {
  return ofBytes((data) => decoded(codec, data));
}

/** Raises where something does not come back as it was: a bug, and no refusal. */
function demandSame(again: Uint8Array, data: Uint8Array): void {
  if (!equalBytes(again, data)) throw new TypeError("does not encode to itself");
}

function tagged(value: Value): Json {
  if (value instanceof Uint8Array) return { b: toHex(value) };
  if (typeof value === "string") return { t: value };
  if (value instanceof Map) {
    return { m: [...(value as ReadonlyMap<number, Value>)].map(([key, item]) => [key, tagged(item)]) };
  }
  if (Array.isArray(value)) return (value as readonly Value[]).map(tagged);
  return value as Json;
}

function cbor(data: Uint8Array): Json {
  const value = decode(data, CBOR_BYTES_MAX);
  demandSame(encode(value), data);
  return tagged(value);
}

function record(data: Uint8Array): Json {
  const signed = verifyRecord(data);
  return [toHex(signed.hash), ...fieldsOf(signed.record)];
}

function dhtRecord(data: Uint8Array): Json {
  const { record: found, key, hash } = readRecord(data, NOW);
  return [toHex(key), toHex(hash), ...fieldsOf(found)];
}

function extras(data: Uint8Array): Json {
  const found = decodeExtras(data);
  demandSame(encodeExtras(found), data);
  return fieldsOf(found);
}

function entry(data: Uint8Array): Json {
  const stored = openEntry(data);
  return [toHex(stored.entry.author), stored.number, toHex(stored.hash)];
}

/** Messages, each behind its length as u16, through one decoder until one of them is refused. */
function messages(data: Uint8Array): Json {
  const decoder = new FrameDecoder();
  const items: Json[] = [];
  for (let position = 0; position + 2 <= data.length; ) {
    const end = position + 2 + readU16(data, position);
    try {
      items.push(...decoder.decode(data.slice(position + 2, end)).map(messageItem));
    } catch (error) {
      if (items.length === 0 || !(error instanceof PeerError)) throw error;
      return [...items, codeOf(error), decoder.framesDropped];
    }
    position = end;
  }
  return [...items, decoder.framesDropped];
}

function network(data: Uint8Array): Json {
  const found = readNetwork(data);
  demandSame(networkContent(found), data);
  return [found.name, found.kind, found.epochSeconds, found.overlapSeconds, found.adLifetimeSeconds];
}

function invite(text: string): Json {
  const found = parseInvite(text);
  const contacts = found.contacts.map(({ nodeKey, certificateHash, addresses }) =>
    [toHex(nodeKey), toHex(certificateHash), addresses.map(formatAddress)]);
  const servers = [...(found.rendezvous ?? [])];
  return [toHex(found.network), toHex(found.room), toHex(found.seed), contacts, servers, formatInvite(found)];
}

function contact(text: string): Json {
  const found = parseContact(text);
  return [toHex(found.nodeKey), toHex(found.certificateHash), found.addresses.map(formatAddress), formatContact(found)];
}

export const DECODERS: Readonly<Record<string, Run>> = {
  cbor: ofBytes(cbor),
  frames: ofCodec(FRAMES),
  pulses: ofCodec(PULSES),
  handshakes: ofCodec(HANDSHAKES),
  certificates: ofCodec(CERTIFICATES),
  prekeys: ofCodec(PREKEYS),
  entries: ofCodec(ENTRIES),
  signed_entries: ofCodec(SIGNED_ENTRIES),
  join_requests: ofCodec(JOIN_REQUESTS),
  sealed_bodies: ofCodec(SEALED_BODIES),
  day_secrets: ofCodec(DAY_SECRETS),
  answers: ofCodec(ANSWERS),
  signed_answers: ofCodec(SIGNED_ANSWERS),
  pairwise_bodies: ofCodec(PAIRWISE_BODIES),
  shared_keys: ofCodec(SHARED_KEYS),
  committee_changes: ofCodec(COMMITTEE_CHANGES),
  traversal_hints: ofCodec(TRAVERSAL_HINT_CODEC),
  direct_contacts: ofCodec(DIRECT_CONTACTS),
  extras: ofBytes(extras),
  content: ofBytes((data) => {
    const found = content(data) as Readonly<Record<string, Json>>;
    return Object.values(found);
  }),
  record: ofBytes(record),
  dht_record: ofBytes(dhtRecord),
  entry: ofBytes(entry),
  messages: ofBytes(messages),
  network: ofBytes(network),
  envelope: ofBytes((data) => toHex(checkEnvelope(data).id)),
  opened_envelope: ofBytes((data) => fieldsOf(openEnvelope(KEYS, data))),
  sealed_contact: ofBytes((data) => toHex(openContact(KEYS, data))),
  hpke: ofBytes((data) => toHex(hpkeOpen(HPKE_SECRET, HPKE_INFO, data))),
  invite: ofText(invite),
  contact: ofText(contact),
};
