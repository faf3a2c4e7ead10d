/**
 * The form of a rendezvous server's address.
 *
 * Owns: that. Must not know: connections, frames. Spec: docs/spec/signaling.md, the connection.
 */
import { utf8 } from "../bytes.js";
import { MalformedInput } from "../errors.js";
import { RENDEZVOUS_URL_BYTES_MAX } from "../limits.js";

const HOST = "(?:\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9._\\-]{1,100})";
const URL_FORM = new RegExp(`^wss?://${HOST}(?::([1-9][0-9]{0,4}))?(?:/[A-Za-z0-9._/\\-]*)?$`, "u");
const PORT_MAX = 65_535;

/** `ws://` or `wss://`, a host, perhaps a port and a path, without a slash at its end. Raises MalformedInput. */
export function checkRendezvousUrl(address: string): string {
  const found = utf8(address).length <= RENDEZVOUS_URL_BYTES_MAX ? URL_FORM.exec(address) : null;
  if (found === null || Number(found[1] ?? "0") > PORT_MAX) {
    throw new MalformedInput("a rendezvous server's address is wss://HOST or ws://HOST, perhaps with :PORT and /PATH");
  }
  return address.replace(/\/+$/u, "");
}
