/**
 * Names that hashes give: messages, sessions, networks.
 *
 * Owns: message ids, hints, network ids. Must not know: what a message says, or which session is whose.
 * Spec: docs/spec/messages.md, docs/spec/network.md.
 */
import { u32 } from "../bytes.js";
import { InvalidArgument, MalformedInput } from "../errors.js";
import { checkParameters, NetworkKind, type NetworkParameters } from "../network.js";
import { decode, encode } from "../wire/cbor.js";
import { HINT_BYTES } from "../wire/envelope.js";
import { keyedHash } from "./hashing.js";

const MESSAGE_ID_BYTES = 16;
const KEY_BYTES = 32;
const HINT_LABEL = "railgun/hint/v1";
const NETWORK_BYTES_MAX = 320;

/** 16 bytes that stay the same when the message is sealed again. Raises InvalidArgument for a key of another length. */
export function messageId(author: Uint8Array, megolmMessage: Uint8Array): Uint8Array {
  if (author.length !== KEY_BYTES) throw new InvalidArgument("a device key has 32 bytes");
  return keyedHash(null, "railgun/message/v1", author, megolmMessage).slice(0, MESSAGE_ID_BYTES);
}

/** 8 bytes by which a member finds the Megolm session (id: 32 bytes) that opens a group envelope. */
export function groupHint(sessionId: Uint8Array): Uint8Array {
  return keyedHash(null, HINT_LABEL, sessionId).slice(0, HINT_BYTES);
}

/** 8 bytes by which a device finds the pairwise envelopes of one epoch that are meant for it. */
export function pairwiseHint(recipient: Uint8Array, epochStart: number): Uint8Array {
  return keyedHash(null, HINT_LABEL, recipient, u32(epochStart)).slice(0, HINT_BYTES);
}

/** CBOR of the parameters, as they are hashed. Raises InvalidArgument where one is out of its range. */
export function networkContent(network: NetworkParameters): Uint8Array {
  checkParameters(network);
  const { name, kind, epochSeconds, overlapSeconds, adLifetimeSeconds } = network;
  return encode([name, kind, epochSeconds, overlapSeconds, adLifetimeSeconds]);
}

/** 32 bytes; peers with other parameters have another id and refuse each other by it. */
export function networkId(network: NetworkParameters): Uint8Array {
  return keyedHash(null, "railgun/network/v1", networkContent(network));
}

/** Parameters from `networkContent`. Raises MalformedInput: it is none; InvalidArgument: out of range. */
export function readNetwork(content: Uint8Array): NetworkParameters {
  const value = decode(content, NETWORK_BYTES_MAX);
  const fields = (Array.isArray(value) ? value : []) as readonly unknown[];
  const [name, kindNumber, ...numbers] = fields;
  const kind = Object.values(NetworkKind).find((known) => known === kindNumber);
  if (typeof name !== "string" || kind === undefined || numbers.length !== 3) throw notParameters();
  const [epochSeconds, overlapSeconds, adLifetimeSeconds] = numbers.map((number) => {
    if (typeof number !== "number") throw notParameters();
    return number;
  }) as [number, number, number];
  const network = { name, kind, epochSeconds, overlapSeconds, adLifetimeSeconds };
  checkParameters(network);
  return network;
}

function notParameters(): MalformedInput {
  return new MalformedInput("not a network's parameters");
}
