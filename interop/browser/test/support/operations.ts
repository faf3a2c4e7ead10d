/** What the vectors' operations do here. Each takes a case and gives what stands under `expected`. */
import assert from "node:assert/strict";

import { concatBytes, equalBytes, fromHex, toHex, u32, u64 } from "../../src/bytes.js";
import { openEntry, prekeyIsGenuine } from "../../src/core/rosterEntries.js";
import { contentHash, keyedHash } from "../../src/crypto/hashing.js";
import {
  EpochKeys,
  epochOffsetSeconds,
  epochStart,
  firstDaySecret,
  generationCommitment,
  lobbyKeys,
  nextDaySecret,
} from "../../src/crypto/epoch.js";
import { inviteKeySeed, lobbySecret } from "../../src/crypto/identity.js";
import { groupHint, messageId, networkContent, networkId, pairwiseHint, readNetwork } from "../../src/crypto/names.js";
import * as proofs from "../../src/crypto/proofs.js";
import { verifyRecord } from "../../src/crypto/records.js";
import { checkEnvelope, openContact, openEnvelope, sealContact, sealEnvelope } from "../../src/crypto/sealing.js";
import { SigningKey, verify } from "../../src/crypto/signing.js";
import { readRecord, splitPayload } from "../../src/dht/records.js";
import { PeerError, RefusalCode } from "../../src/errors.js";
import { NetworkKind, type NetworkParameters } from "../../src/network.js";
import { formatAddress, formatHost, type EnvelopeKind, type SizeClass } from "../../src/types.js";
import { decodeContent, encodeContent, typeOf } from "../../src/wire/content.js";
import { FRAMES, PULSES } from "../../src/wire/frames.js";
import { FrameDecoder, FrameEncoder, ItemType, type MessageItem } from "../../src/wire/framing.js";
import { HANDSHAKES } from "../../src/wire/handshakes.js";
import { formatInvite, parseInvite } from "../../src/wire/invites.js";
import { checkRendezvousUrl } from "../../src/wire/rendezvousUrl.js";
import { PAIRWISE_BODIES, PAIRWISE_LABEL, SHARED_KEYS } from "../../src/wire/pairwise.js";
import { adContent, datedOf, decodeExtras } from "../../src/wire/records.js";
import { PREKEYS } from "../../src/wire/roster.js";
import type { Codec, Item } from "../../src/wire/schema.js";
import { context, SEALED_BODIES } from "../../src/wire/sealed.js";
import { COMMITTEE_CHANGES, TRAVERSAL_HINT_CODEC } from "../../src/wire/tagPayloads.js";
import { nameOf } from "./outcome.js";
import { fieldsOf, plain, unpacked, type Json, type Packed } from "./packed.js";

export type Case = Readonly<Record<string, Json>>;
export type Operation = (input: Case) => Json;

export function hex(input: Case, key: string): Uint8Array {
  return fromHex(text(input, key));
}

export function text(input: Case, key: string): string {
  const value = input[key];
  if (typeof value !== "string") throw new TypeError(`no text: ${key}`);
  return value;
}

export function number(input: Case, key: string): number {
  const value = input[key];
  if (typeof value !== "number") throw new TypeError(`no number: ${key}`);
  return value;
}

export function bytesOf(input: Case, key = "bytes"): Uint8Array {
  return unpacked(input[key] as Packed);
}

export function list(input: Case, key: string): readonly Json[] {
  return input[key] as readonly Json[];
}

function keysOf(input: Case): EpochKeys {
  return new EpochKeys(hex(input, "day_secret"), number(input, "generation"), number(input, "start"));
}

/** Decode, see that it encodes to the same again, and give kind and fields. */
export function decoded<K>(codec: Codec<K>, data: Uint8Array): Json {
  const item = codec.decode(data);
  assert.ok(equalBytes(codec.encode(item), data));
  const kinds = codec.kinds as unknown as Readonly<Record<string, readonly [number, unknown]>>;
  return { kind: kinds[(item as Item<K> & { readonly is: string }).is]?.[0] ?? null, fields: fieldsOf(item) };
}

function sealed(input: Case): Uint8Array {
  const repeated = input["body_repeated"] as { readonly byte: string; readonly count: number } | undefined;
  const body = repeated === undefined
    ? hex(input, "body")
    : new Uint8Array(repeated.count).fill(fromHex(repeated.byte)[0] ?? 0);
  const inner = { kind: number(input, "kind") as EnvelopeKind, hint: hex(input, "hint"), body };
  const data = sealEnvelope(keysOf(input), inner, number(input, "size_class") as SizeClass, hex(input, "nonce"));
  assert.deepEqual(openEnvelope(keysOf(input), data), inner);
  return data;
}

function sealCheckOpen(input: Case): Json {
  const data = sealed(input);
  const [digest, id] = [contentHash(data), checkEnvelope(data).id];
  const all = { envelope: toHex(data), envelope_blake2b: toHex(digest), envelope_id: toHex(id) };
  return Object.fromEntries(Object.entries(all).filter(([key]) => key in (input["expected"] as object)));
}

function dayChain(input: Case): Json {
  const [secret, generation, first] = [hex(input, "secret"), number(input, "generation"), number(input, "first_day")];
  const secrets = [firstDaySecret(secret, generation, first)];
  const count = (input["expected"] as { readonly day_secrets: readonly string[] } | undefined)?.day_secrets.length ?? 1;
  for (let day = first + 1; day < first + count; day += 1) {
    secrets.push(nextDaySecret(secrets[secrets.length - 1] ?? secret, generation, day));
  }
  return { commitment: toHex(generationCommitment(secret)), day_secrets: secrets.map(toHex) };
}

function network(input: Case): Json {
  const parameters: NetworkParameters = {
    name: text(input, "network_name"),
    kind: input["kind"] === "lan" ? NetworkKind.LAN : NetworkKind.PUBLIC,
    epochSeconds: number(input, "epoch_seconds"),
    overlapSeconds: number(input, "overlap_seconds"),
    adLifetimeSeconds: number(input, "ad_lifetime_seconds"),
  };
  const content = networkContent(parameters);
  assert.deepEqual(readNetwork(content), parameters);
  return { content: toHex(content), network_id: toHex(networkId(parameters)) };
}

export function messageItem(item: MessageItem): Json {
  if (item.type !== ItemType.GOODBYE) return { type: item.type, data: toHex(item.data) };
  return { type: 2, code: nameOf(item.code), retry_after_ms: item.retryAfterMs };
}

function decodeMessages(input: Case): Json {
  const decoder = new FrameDecoder();
  return { items: list(input, "messages").flatMap((one) => decoder.decode(unpacked(one as Packed)).map(messageItem)) };
}

function encodeMessages(input: Case): Json {
  const messages = new FrameEncoder().encode(list(input, "frames").map((frame) => unpacked(frame as Packed)));
  return { messages: messages.map(toHex) };
}

function signDescriptor(input: Case): Json {
  const descriptor = proofs.signTagDescriptor(keysOf(input), number(input, "committee_size"), number(input, "gate"));
  assert.ok(proofs.verifyTagDescriptor(descriptor));
  return { content: toHex(proofs.descriptorContent(descriptor)), signature: toHex(descriptor.signature) };
}

function signSubscription(input: Case): Json {
  const keys = keysOf(input);
  const [seat, client, handle] = [hex(input, "seat"), hex(input, "client"), hex(input, "handle")];
  const proof = proofs.signSubscription(keys, seat, client, handle);
  assert.ok(proofs.verifySubscription(keys.tag, seat, client, handle, proof));
  return { content: toHex(proofs.subscribeContent(keys.tag, seat, client, handle)), signature: toHex(proof) };
}

function signReceipt(input: Case): Json {
  const key = new SigningKey(hex(input, "seed"));
  const ids = list(input, "ids").map((id) => fromHex(id as string));
  const content = proofs.receiptContent(hex(input, "tag"), ids, key.publicKey);
  const signature = proofs.signReceipt(key, hex(input, "tag"), ids);
  return { content: toHex(content), content_hash: toHex(contentHash(content)), signature: toHex(signature) };
}

function linkProof(input: Case): Json {
  const key = new SigningKey(hex(input, "seed"));
  const transcript = {
    diallerNonce: hex(input, "dialler_nonce"),
    listenerNonce: hex(input, "listener_nonce"),
    diallerCertificate: hex(input, "dialler_certificate"),
    listenerCertificate: hex(input, "listener_certificate"),
    networkId: hex(input, "network_id"),
  };
  const [dials, isRelay, nowMs] = [input["dials"] === true, input["is_relay"] === true, number(input, "now_ms")];
  const signature = proofs.signLink(key, transcript, { dials, isRelay, nowMs });
  assert.ok(proofs.verifyLink(transcript, { dials, isRelay, nowMs, key: key.publicKey }, signature));
  assert.equal(u64(nowMs).length, 8);
  return { message: toHex(HANDSHAKES.encode(dials
    ? { is: "ProofReply", key: key.publicKey, isRelay, nowMs, signature }
    : { is: "Proof", nodeKey: key.publicKey, nonce: transcript.listenerNonce, nowMs, signature })) };
}

/** Refuses with `code` where `holds` is false, as whoever asked would. */
function demand(holds: boolean, code: RefusalCode): Json {
  if (!holds) throw new PeerError(code, "does not verify");
  return {};
}

function verifyReceipt(input: Case): Json {
  const frame = FRAMES.decode(bytesOf(input));
  assert.ok(frame.is === "Receipt");
  return demand(proofs.verifyReceipt(frame), RefusalCode.BAD_SIGNATURE);
}

function verifyDescriptor(input: Case): Json {
  const frame = FRAMES.decode(bytesOf(input));
  assert.ok(frame.is === "SeatOpen");
  return demand(proofs.verifyTagDescriptor(frame.descriptor), RefusalCode.BAD_SIGNATURE);
}

function verifySubscription(input: Case): Json {
  const frame = FRAMES.decode(bytesOf(input));
  assert.ok(frame.is === "Subscribe");
  const { descriptor, handle, proof } = frame;
  const holds = proofs.verifySubscription(descriptor.tag, hex(input, "seat"), hex(input, "client"), handle, proof);
  return demand(holds, RefusalCode.BAD_PROOF);
}

function verifyAd(input: Case): Json {
  const { record, hash } = verifyRecord(bytesOf(input, "record"));
  assert.ok(record.is === "Ad");
  return {
    hash: toHex(hash),
    signed_content: toHex(adContent(record)),
    node_key: toHex(record.nodeKey),
    host: formatHost(record.address.host),
    port: record.address.port,
    certificate_hash: toHex(record.certificateHash),
    roles: record.roles,
    issued: record.issued,
    expires: record.expires,
    extras_hash: plain(record.extrasHash),
  };
}

function verifyObituary(input: Case): Json {
  const { record, hash } = verifyRecord(bytesOf(input, "record"));
  assert.ok(record.is === "Obituary");
  return { hash: toHex(hash), node_key: toHex(record.nodeKey), dated: datedOf(record) };
}

function extras(input: Case): Json {
  decodeExtras(bytesOf(input, "record"));
  return { hash: toHex(contentHash(bytesOf(input, "record"))) };
}

function invite(input: Case): Json {
  const found = parseInvite(text(input, "link"));
  return {
    network: toHex(found.network),
    room: toHex(found.room),
    seed: toHex(found.seed),
    contacts: found.contacts.map(({ nodeKey, certificateHash, addresses }) => ({
      node_key: toHex(nodeKey),
      certificate_hash: toHex(certificateHash),
      addresses: addresses.map(formatAddress),
    })),
    rendezvous: [...(found.rendezvous ?? [])],
    link: formatInvite(found),
  };
}

function deriveInvite(input: Case): Json {
  const seed = hex(input, "seed");
  const keys = lobbyKeys(lobbySecret(seed), number(input, "start"));
  return {
    invite_key: toHex(new SigningKey(inviteKeySeed(seed)).publicKey),
    lobby_secret: toHex(lobbySecret(seed)),
    lobby_tag: toHex(keys.tag),
    lobby_header_key: toHex(keys.headerKey),
  };
}

export function entry(input: Case): Json {
  const stored = openEntry(bytesOf(input));
  return { author: toHex(stored.entry.author), number: stored.number, hash: toHex(stored.hash) };
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function content(data: Uint8Array): Json {
  const found = decodeContent(data);
  assert.ok(equalBytes(encodeContent(found), data));
  if (found.is === "Unsupported") return { type: found.type };
  const fields = Object.entries(found).filter(([name]) => name !== "is" && name !== "type");
  const named = fields.map(([name, value]) => [snake(name), plain(value)] as const);
  return { type: typeOf(found), ...Object.fromEntries(named) };
}

function pairwiseInfo(input: Case): Json {
  return toHex(context(PAIRWISE_LABEL, hex(input, "room"), hex(input, "author"), hex(input, "recipient")));
}

function pairwiseBody(input: Case): Json {
  const body = PAIRWISE_BODIES.decode(hex(input, "encoded"));
  if ("signed" in input) assert.ok(verify(body.author, PAIRWISE_LABEL, hex(input, "signed"), body.signature));
  return null;
}

function sharedKeys(input: Case): Json {
  const data = hex(input, "expected" in input ? "expected" : "encoded");
  const found = SHARED_KEYS.decode(data);
  if ("room" in input) {
    const named = concatBytes(hex(input, "room"), hex(input, "author"), hex(input, "recipient"));
    assert.deepEqual(found.context, keyedHash(null, "railgun/pairwise-context/v1", named));
    assert.equal(found.made, number(input, "made"));
  }
  return toHex(SHARED_KEYS.encode(found));
}

function bundle(input: Case): Json {
  assert.ok(prekeyIsGenuine(PREKEYS.decode(hex(input, "encoded"))));
  return null;
}

function sealedBody(input: Case): Json {
  const body = SEALED_BODIES.decode(hex(input, "encoded"));
  assert.ok(body.is === "KeyRequest");
  assert.ok(verify(body.author, "railgun/key-request/v1", hex(input, "signed"), body.signature));
  return null;
}

function contactOpened(input: Case): Json {
  const opened = openContact(keysOf(input), bytesOf(input));
  assert.deepEqual(sealContact(keysOf(input), opened, bytesOf(input).subarray(0, 12)), bytesOf(input));
  return { contact: toHex(opened) };
}

function dhtRecord(input: Case): Json {
  const { record, key } = readRecord(bytesOf(input), number(input, "now"));
  const [kind, author, item, version, issued, expires, payload] = fieldsOf(record);
  return Object.fromEntries(Object.entries({
    key: toHex(key), kind, author, item, version, issued, expires, payload,
  }).map(([name, value]) => [name, value ?? null]));
}

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  derive_epoch_keys: (input) => {
    const keys = keysOf(input);
    const pair = concatBytes(u32(keys.generation), u32(keys.start));
    const seed = keyedHash(hex(input, "day_secret"), "railgun/room-sig/v1", pair);
    return { tag: toHex(keys.tag), header_key: toHex(keys.headerKey), signing_seed: toHex(seed) };
  },
  day_chain: dayChain,
  epoch_start: (input) => {
    const [room, length] = [hex(input, "room_id"), number(input, "epoch_seconds")];
    const start = epochStart(number(input, "wall_seconds"), room, length);
    return { offset_seconds: epochOffsetSeconds(room, length), start };
  },
  seal_envelope: (input) => toHex(sealed(input)),
  seal_check_open: sealCheckOpen,
  check_envelope: (input) => toHex(checkEnvelope(bytesOf(input, "envelope")).id),
  open_envelope: (input) => fieldsOf(openEnvelope(keysOf(input), bytesOf(input, "envelope"))),
  message_id: (input) => ({ message_id: toHex(messageId(hex(input, "author"), hex(input, "megolm"))) }),
  group_hint: (input) => ({ hint: toHex(groupHint(hex(input, "session_id"))) }),
  pairwise_hint: (input) => ({ hint: toHex(pairwiseHint(hex(input, "recipient"), number(input, "start"))) }),
  network_id: network,
  decode_frame: (input) => decoded(FRAMES, bytesOf(input)),
  decode_pulse: (input) => decoded(PULSES, bytesOf(input)),
  decode_handshake: (input) => decoded(HANDSHAKES, bytesOf(input)),
  decode_committee: (input) => decoded(COMMITTEE_CHANGES, bytesOf(input)),
  decode_hints: (input) => decoded(TRAVERSAL_HINT_CODEC, bytesOf(input)),
  decode_messages: decodeMessages,
  encode_messages: encodeMessages,
  sign_descriptor: signDescriptor,
  sign_subscription: signSubscription,
  sign_receipt: signReceipt,
  link_proof: linkProof,
  verify_receipt: verifyReceipt,
  verify_descriptor: verifyDescriptor,
  verify_subscription: verifySubscription,
  verify_ad: verifyAd,
  verify_obituary: verifyObituary,
  decode_extras: extras,
  parse_invite: invite,
  rendezvous_url: (input) => ({ url: checkRendezvousUrl(text(input, "url")) }),
  derive_invite: deriveInvite,
  open_entry: entry,
  decode_content: (input) => content(bytesOf(input)),
  hint: (input) => toHex(pairwiseHint(hex(input, "recipient"), number(input, "made"))),
  info: pairwiseInfo,
  body: pairwiseBody,
  shared_keys: sharedKeys,
  bundle,
  sealed_body: sealedBody,
  open_contact: contactOpened,
  read_record: dhtRecord,
  split_keys: (input) => ({ parts: splitPayload(bytesOf(input, "payload")).map(toHex) }),
};
