/**
 * Frames by which a peer that nobody can reach has its relay use the DHT.
 *
 * Owns: their fields. Must not know: what the DHT is made of. Spec: docs/spec/dht.md, clients.
 */
import { RefusalCode } from "../errors.js";
import { DHT_ITEMS_MAX, DHT_RECORD_BYTES_MAX, U32_MAX } from "../limits.js";
import { array, BOOL, bytes, oneOf, optional, structure, uint } from "./schema.js";

const NUMBER = uint(U32_MAX);
const RECORD = bytes(1, DHT_RECORD_BYTES_MAX);

export const DHT_FIND = structure("DhtFind", { number: NUMBER, key: bytes(20), quorum: optional(uint(16)) });
export const DHT_PUT = structure("DhtPut", { number: NUMBER, record: RECORD });
export const DHT_FOUND = structure("DhtFound", {
  number: NUMBER,
  records: array(RECORD, DHT_ITEMS_MAX),
  isCertain: BOOL,
});
export const DHT_HELD = structure("DhtHeld", { number: NUMBER, holders: uint(255) });
export const DHT_DECLINED = structure("DhtDeclined", { number: NUMBER, code: oneOf(RefusalCode) });
