/**
 * The names of things: sizes, kinds and addresses that every layer shares.
 *
 * Owns: enumerations, addresses as bytes and as text. Must not know: how any of them is computed, sent or stored.
 */
import { concatBytes, readU16 } from "./bytes.js";
import { InvalidArgument } from "./errors.js";

export const ENVELOPE_SIZES_BYTES = [256, 4096, 65536] as const;

export const SizeClass = { SMALL: 0, MEDIUM: 1, LARGE: 2 } as const;
export type SizeClass = (typeof SizeClass)[keyof typeof SizeClass];

/** What an envelope's inner part holds. Relays never see it. */
export const EnvelopeKind = { COVER: 0, GROUP: 1, PAIRWISE: 2, SEALED: 3 } as const;
export type EnvelopeKind = (typeof EnvelopeKind)[keyof typeof EnvelopeKind];

/** What a relay offers, as bits: to serve as a volunteer, or only where volunteers are missing. */
export const Role = { RELAY: 1, FALLBACK: 2 } as const;

/** Whether a relay ranks behind all volunteers; who offers both is one of these. */
export function isFallback(roles: number): boolean {
  return (roles & Role.FALLBACK) !== 0 && (roles & Role.RELAY) === 0;
}

/** One UDP address. `host` has 4 or 16 bytes, never an IPv4-mapped one; `port` is 1 to 65535. */
export interface Address {
  readonly host: Uint8Array;
  readonly port: number;
}

/** All that is needed to dial a relay without signaling. `certificateHash`: SHA-256 of its DTLS certificate. */
export interface RelayContact {
  readonly nodeKey: Uint8Array;
  readonly addresses: readonly Address[];
  readonly certificateHash: Uint8Array;
}

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255);

/** An IPv4 host from its IPv4-mapped form; any other host as it is. */
export function unmapped(host: Uint8Array): Uint8Array {
  const isMapped = host.length === 16 && MAPPED.every((byte, index) => host[index] === byte);
  return isMapped ? host.slice(12) : host;
}

/** The host's normal form: dotted quad, or IPv6 by RFC 5952. */
export function formatHost(host: Uint8Array): string {
  if (host.length === 4) return host.join(".");
  const groups = Array.from({ length: 8 }, (_, index) => readU16(host, 2 * index));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  const spelt = (from: number, to: number): string =>
    groups.slice(from, to).map((group) => group.toString(16)).join(":");
  return best.length === 1 ? spelt(0, 8) : `${spelt(0, best.start)}::${spelt(best.start + best.length, 8)}`;
}

/** 4 or 16 bytes; mapped ones become IPv4. Raises InvalidArgument for what is no literal address, or has a scope. */
export function parseHost(text: string): Uint8Array {
  const host = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  if (host === null) throw new InvalidArgument("not a literal IP address");
  return unmapped(host);
}

/** `192.0.2.1:9000` or `[2001:db8::1]:9000`. */
export function formatAddress(address: Address): string {
  const host = formatHost(address.host);
  return address.host.length === 4 ? `${host}:${address.port}` : `[${host}]:${address.port}`;
}

function parseIpv4(text: string): Uint8Array | null {
  const octets = text.split(".");
  const fits = octets.length === 4 && octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) < 256);
  return fits ? Uint8Array.from(octets, Number) : null;
}

function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [left, right] = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  if (left === undefined || left === null || right === null) return null;
  if (right === undefined) return left.length === 16 ? left : null;
  const missing = 16 - left.length - right.length;
  return missing < 2 ? null : concatBytes(left, new Uint8Array(missing), right);
}

/** Groups of up to four hexadecimal digits; the last may be an IPv4 address, where `isEnd`. */
function parseGroups(text: string, isEnd: boolean): Uint8Array | null {
  if (text === "") return new Uint8Array(0);
  const groups = text.split(":");
  const parts = groups.map((group, index) => {
    if (isEnd && index === groups.length - 1 && group.includes(".")) return parseIpv4(group);
    return /^[0-9a-fA-F]{1,4}$/.test(group) ? Uint8Array.of(parseInt(group, 16) >> 8, parseInt(group, 16) & 255) : null;
  });
  return parts.every((part) => part !== null) ? concatBytes(...parts) : null;
}
