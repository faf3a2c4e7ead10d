/**
 * libsodium, loaded.
 *
 * Owns: waiting once for the library's WebAssembly. Must not know: what it is used for.
 * Only its deterministic functions are used: randomness is passed in from outside.
 */
import sodium from "libsodium-wrappers";

await sodium.ready;

export { sodium };
