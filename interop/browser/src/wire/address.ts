/**
 * Addresses on the wire.
 *
 * Owns: the one form of 6 or 18 bytes. Must not know: who is reached there. Spec: docs/spec/directory.md.
 */
import { concatBytes, readU16 } from "../bytes.js";
import { InvalidArgument, MalformedInput } from "../errors.js";
import { unmapped, type Address } from "../types.js";
import type { Shape } from "./schema.js";

/** The packed host, then the port as u16; an IPv4-mapped IPv6 address has only the IPv4 form. */
export const ADDRESS: Shape<Address> = {
  optional: false,
  pack({ host, port }) {
    if (host.length !== 4 && host.length !== 16) throw new InvalidArgument("not an address");
    if (unmapped(host) !== host) throw new InvalidArgument("a mapped address is written as IPv4");
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new InvalidArgument("not a port");
    return concatBytes(host, Uint8Array.of(port >> 8, port & 255));
  },
  unpack(value) {
    if (!(value instanceof Uint8Array) || (value.length !== 6 && value.length !== 18)) {
      throw new MalformedInput("an address has 6 or 18 bytes");
    }
    const host = value.slice(0, -2);
    const port = readU16(value, value.length - 2);
    if (port === 0) throw new MalformedInput("not an address");
    if (unmapped(host) !== host) throw new MalformedInput("a mapped address is written as IPv4");
    return { host, port };
  },
};
