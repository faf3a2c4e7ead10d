/**
 * Messages of a link's in-band proof.
 *
 * Owns: their fields and bounds. Must not know: what is signed, or any channel. Spec: docs/spec/links.md.
 */
import { RefusalCode } from "../errors.js";
import { HANDSHAKE_BYTES_MAX, U32_MAX } from "../limits.js";
import { BOOL, bytes, Codec, oneOf, optional, structure, uint, type Coded } from "./schema.js";

const KEY = bytes(32);

export const HANDSHAKES = new Codec(
  {
    Hello: [1, structure("Hello", { version: uint(255), networkId: KEY, nonce: KEY })],
    Proof: [2, structure("Proof", { nodeKey: KEY, nonce: KEY, nowMs: uint(), signature: bytes(64) })],
    ProofReply: [3, structure("ProofReply", { key: KEY, isRelay: BOOL, nowMs: uint(), signature: bytes(64) })],
    Accepted: [4, structure("Accepted", {})],
    Refused: [5, structure("Refused", {
      code: oneOf(RefusalCode),
      retryAfterMs: optional(uint(U32_MAX - 1)),
      networkId: optional(KEY),
    })],
  } as const,
  HANDSHAKE_BYTES_MAX,
);
export type Handshake = Coded<typeof HANDSHAKES>;
