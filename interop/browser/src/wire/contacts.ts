/**
 * Relay contacts as text, and members' contacts as records.
 *
 * Owns: `railgun-relay:<keys>@<address>`, the fields of a member's contact. Must not know: who dials, how it is sealed.
 * Spec: docs/spec/contacts.md.
 */
import { concatBytes, fromBase64url, toBase64url } from "../bytes.js";
import { InvalidArgument, MalformedInput } from "../errors.js";
import { CONTACT_TEXT_MAX, DIRECT_ADDRESSES_MAX, DIRECT_CONTACT_BYTES_MAX } from "../limits.js";
import { formatAddress, parseHost, type Address, type RelayContact } from "../types.js";
import { ADDRESS } from "./address.js";
import { array, bytes, Codec, structure, type Coded } from "./schema.js";

const SCHEME = "railgun-relay:";
const KEYS_TEXT_LENGTH = 86;

const DIRECT_CONTACT = structure("DirectContact", {
  linkKey: bytes(32),
  certificateHash: bytes(32),
  addresses: array(ADDRESS, DIRECT_ADDRESSES_MAX),
  signature: bytes(64),
});
export const DIRECT_CONTACTS = new Codec({ DirectContact: [1, DIRECT_CONTACT] } as const, DIRECT_CONTACT_BYTES_MAX);
export type DirectContact = Coded<typeof DIRECT_CONTACTS>;

/** One line of ASCII, with the first address only. Raises InvalidArgument: no address, or keys of other lengths. */
export function formatContact(contact: RelayContact): string {
  const [address] = contact.addresses;
  if (address === undefined) throw new InvalidArgument("a contact without an address cannot be dialled");
  if (contact.nodeKey.length !== 32 || contact.certificateHash.length !== 32) {
    throw new InvalidArgument("a node key and a certificate hash are 32 bytes each");
  }
  return `${SCHEME}${toBase64url(concatBytes(contact.nodeKey, contact.certificateHash))}@${formatAddress(address)}`;
}

/** The contact that `text` spells, with one address. Raises MalformedInput, which never repeats the input. */
export function parseContact(text: string): RelayContact {
  if (text.length > CONTACT_TEXT_MAX) throw new MalformedInput(`at most ${CONTACT_TEXT_MAX} characters`);
  if (!text.startsWith(SCHEME)) throw new MalformedInput(`a relay contact starts with ${SCHEME}`);
  const at = text.indexOf("@");
  if (at < 0) throw new MalformedInput("a relay contact ends in @host:port");
  const keysText = text.slice(SCHEME.length, at);
  const keys = keysText.length === KEYS_TEXT_LENGTH ? fromBase64url(keysText) : null;
  if (keys === null) throw new MalformedInput("a relay contact holds 86 characters of unpadded base64url before the @");
  const address = parseAddress(text.slice(at + 1));
  return { nodeKey: keys.slice(0, 32), addresses: [address], certificateHash: keys.slice(32) };
}

/** `192.0.2.1:9000` or `[2001:db8::1]:9000`; names are not resolved. Raises MalformedInput. */
export function parseAddress(text: string): Address {
  const found = /^(?:\[([^[\]]*:[^[\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (found === null) throw new MalformedInput("an address is written 192.0.2.1:9000 or [2001:db8::1]:9000");
  const port = Number(found[3]);
  if (port < 1 || port > 65_535) throw new MalformedInput("a port is a number from 1 to 65535");
  try {
    return { host: parseHost(found[1] ?? found[2] ?? ""), port };
  } catch (error) {
    if (error instanceof InvalidArgument) throw new MalformedInput("an address needs a literal IP address");
    throw error;
  }
}
