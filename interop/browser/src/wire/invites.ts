/**
 * Invite links: all that a person needs to ask to be let in, as one line of text.
 *
 * Owns: the link's fields, its two spellings, its checksum. Must not know: keys derived from the seed, rosters.
 * Spec: docs/spec/rooms.md, invite links.
 */
import { concatBytes, countCharacters, equalBytes, fromBase64url, toBase64url, utf8 } from "../bytes.js";
import { InvalidArgument, MalformedInput } from "../errors.js";
import {
  INVITE_CONTACT_ADDRESSES_MAX,
  INVITE_CONTACTS_MAX,
  INVITE_LINK_CHARACTERS_MAX,
  INVITE_RENDEZVOUS_MAX,
  RENDEZVOUS_URL_BYTES_MAX,
} from "../limits.js";
import { sodium } from "../sodium.js";
import type { RelayContact } from "../types.js";
import { ADDRESS } from "./address.js";
import { checkRendezvousUrl } from "./rendezvousUrl.js";
import { array, bytes, Codec, nested, optional, structure, text } from "./schema.js";

const LINK_PREFIX = "railgun://join/";
const WEB_PREFIX = "https://";
const CHECKSUM_BYTES = 4;
const CHECKSUM_LABEL = utf8("railgun/invite-check/v1\0");
const INVITE_BYTES_MAX = 2_048;
/** What may stand around a link that was copied from somewhere. */
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const AROUND = new RegExp(`^${SPACE}|${SPACE}$`, "gu");
const MISTYPED = "the invite link is mistyped or cut short: copy it again, whole";

/** A relay, as links name it. */
const CONTACT = structure("Contact", {
  nodeKey: bytes(32),
  certificateHash: bytes(32),
  addresses: array(ADDRESS, INVITE_CONTACT_ADDRESSES_MAX, 1),
});
export const LINK_CONTACTS = array(nested(CONTACT), INVITE_CONTACTS_MAX);

const INVITES = new Codec(
  {
    Invite: [
      1,
      structure("Invite", {
        network: bytes(32),
        room: bytes(32),
        seed: bytes(32),
        contacts: LINK_CONTACTS,
        rendezvous: optional(array(text(RENDEZVOUS_URL_BYTES_MAX, 1), INVITE_RENDEZVOUS_MAX, 1)),
      }),
    ],
  } as const,
  INVITE_BYTES_MAX,
);

/**
 * What a link says. `seed` is secret: who holds it may ask to be let in. At most 8 relays to start from, and at most 2
 * rendezvous servers to ask for others.
 */
export interface Invite {
  readonly network: Uint8Array;
  readonly room: Uint8Array;
  readonly seed: Uint8Array;
  readonly contacts: readonly RelayContact[];
  readonly rendezvous?: readonly string[];
}

/** Unpadded base64url of the data and its checksum. */
export function spellText(data: Uint8Array): string {
  return toBase64url(concatBytes(data, checksum(data)));
}

/** What `spellText` spelt. Raises MalformedInput where the text is too long, mistyped or cut short. */
export function readText(text: string): Uint8Array {
  if (text.length > INVITE_LINK_CHARACTERS_MAX) throw new MalformedInput("too long for a link");
  const raw = fromBase64url(text);
  const data = raw?.slice(0, -CHECKSUM_BYTES);
  if (data === undefined || raw === null || !equalBytes(raw.slice(data.length), checksum(data))) {
    throw new MalformedInput(MISTYPED);
  }
  return data;
}

/**
 * The link; under `webPage` (`https://...`, without `#`) the one that opens in a browser.
 *
 * Raises InvalidArgument where a field does not fit.
 */
export function formatInvite(invite: Invite, webPage: string | null = null): string {
  const named = invite.rendezvous ?? [];
  const rendezvous = named.length > 0 ? [...named] : null;
  const text = spellText(INVITES.encode({ is: "Invite", ...invite, rendezvous }));
  if (webPage === null) return LINK_PREFIX + text;
  if (!webPage.startsWith(WEB_PREFIX) || webPage.includes("#")) {
    throw new InvalidArgument("a web link starts with https:// and has no # of its own");
  }
  return `${webPage}#${text}`;
}

/** Read a link; white space around it is ignored. Raises MalformedInput. */
export function parseInvite(link: string): Invite {
  if (countCharacters(link) > INVITE_LINK_CHARACTERS_MAX) throw new MalformedInput("too long for an invite link");
  const { network, room, seed, contacts, rendezvous } = INVITES.decode(readText(textOf(link.replace(AROUND, ""))));
  for (const server of rendezvous ?? []) {
    if (checkRendezvousUrl(server) !== server) {
      throw new MalformedInput("a rendezvous server's address ends without a slash");
    }
  }
  return { network, room, seed, contacts, rendezvous: rendezvous ?? [] };
}

function textOf(link: string): string {
  if (link.startsWith(LINK_PREFIX)) return link.slice(LINK_PREFIX.length);
  const hash = link.indexOf("#");
  if (link.startsWith(WEB_PREFIX) && hash >= 0) return link.slice(hash + 1);
  throw new MalformedInput("this is no invite link: it should start with railgun://join/ or https://");
}

function checksum(data: Uint8Array): Uint8Array {
  return sodium.crypto_generichash(32, concatBytes(CHECKSUM_LABEL, data), null).slice(0, CHECKSUM_BYTES);
}
