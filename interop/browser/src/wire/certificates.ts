/**
 * Device certificates: what a root key says of a device.
 *
 * Owns: the record's fields, their encoding, what its signature covers. Must not know: whether the signature holds, or
 * whether the device is still welcome. Spec: docs/spec/identities.md.
 */
import { equalBytes } from "../bytes.js";
import { InvalidArgument } from "../errors.js";
import { CERTIFICATE_BYTES_MAX, PREKEY_BYTES, U32_MAX } from "../limits.js";
import { encode } from "./cbor.js";
import { bytes, Codec, structure, uint, type Coded } from "./schema.js";

const DEVICE_CERTIFICATE = structure(
  "DeviceCertificate",
  {
    rootKey: bytes(32),
    deviceKey: bytes(32),
    prekey: bytes(PREKEY_BYTES),
    accountKey: bytes(32),
    issued: uint(U32_MAX),
    expires: uint(U32_MAX),
    signature: bytes(64),
  },
  ({ rootKey, deviceKey, issued, expires }) => {
    if (expires <= issued) throw new InvalidArgument("a certificate expires after it is issued");
    if (equalBytes(rootKey, deviceKey)) throw new InvalidArgument("a root key is no device key");
  },
);

export const CERTIFICATES = new Codec({ DeviceCertificate: [1, DEVICE_CERTIFICATE] } as const, CERTIFICATE_BYTES_MAX);
export type DeviceCertificate = Coded<typeof CERTIFICATES>;

/** What the signature covers: the certificate's own encoding without the signature's key and value. */
export function certificateContent(certificate: DeviceCertificate): Uint8Array {
  return encode(CERTIFICATES.pack(certificate, ["signature"]));
}
