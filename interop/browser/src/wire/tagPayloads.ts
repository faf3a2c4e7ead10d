/**
 * What records under a tag say: who serves it now, and how its members may reach each other.
 *
 * Owns: the payloads' fields and bounds. Must not know: the DHT's records around them. Spec: docs/spec/dht.md.
 */
import { toHex } from "../bytes.js";
import { InvalidArgument } from "../errors.js";
import { U32_MAX } from "../limits.js";
import { array, bytes, Codec, structure, uint } from "./schema.js";

const SEATS_MAX = 16;
const DEAD_MAX = 7;
const HINTS_MAX = 8;
const PAYLOAD_BYTES_MAX = 840;
const KEY = bytes(32);
const ADDRESSES = array(bytes(6, 18), HINTS_MAX);

/** Who serves the tag of the epoch that starts at `start`, by rank, and which of them a member finds dead. */
const COMMITTEE_CHANGE = structure(
  "CommitteeChange",
  { start: uint(U32_MAX), seats: array(KEY, SEATS_MAX), dead: array(KEY, DEAD_MAX) },
  ({ seats, dead }) => {
    const known = new Set(seats.map(toHex));
    if (known.size !== seats.length || !dead.every((seat) => known.has(toHex(seat)))) {
      throw new InvalidArgument("each seat stands once, and only seats can be dead ones");
    }
  },
);

/** STUN and TURN servers, each as 6 or 18 bytes: packed host, port as u16. */
const TRAVERSAL_HINTS = structure("TraversalHints", { stun: ADDRESSES, turn: ADDRESSES }, ({ stun, turn }) => {
  if (![...stun, ...turn].every((address) => address.length === 6 || address.length === 18)) {
    throw new InvalidArgument("an address has 6 or 18 bytes");
  }
});

export const COMMITTEE_CHANGES = new Codec({ CommitteeChange: [1, COMMITTEE_CHANGE] } as const, PAYLOAD_BYTES_MAX);
export const TRAVERSAL_HINT_CODEC = new Codec({ TraversalHints: [1, TRAVERSAL_HINTS] } as const, PAYLOAD_BYTES_MAX);
