/**
 * Who is who: certificates, node ids, safety numbers, what follows from an invite's seed.
 *
 * Owns: what proves an identity. Must not know: where seeds are kept, who is in a room. Spec: docs/spec/identities.md.
 */
import { compareBytes, toHex } from "../bytes.js";
import { InvalidArgument, PeerError, RefusalCode } from "../errors.js";
import { sodium } from "../sodium.js";
import { CERTIFICATES, certificateContent, type DeviceCertificate } from "../wire/certificates.js";
import { keyedHash } from "./hashing.js";
import { PUBLIC_KEY_BYTES, SEED_BYTES, verify, type SigningKey } from "./signing.js";

const CERTIFICATE_LABEL = "railgun/certificate/v1";
const NODE_ID_BYTES = 20;
const SAFETY_DIGITS = 60;
const EMPTY = new Uint8Array(0);

/** BLAKE2b-160 of a node key: its place in the DHT, 20 bytes. */
export function nodeIdOf(nodeKey: Uint8Array): Uint8Array {
  return sodium.crypto_generichash(NODE_ID_BYTES, nodeKey, null);
}

/** Sign a device with its root. Raises InvalidArgument where a field does not fit. */
export function issueCertificate(
  root: SigningKey,
  device: Pick<DeviceCertificate, "deviceKey" | "prekey" | "accountKey">,
  issued: number,
  expires: number,
): DeviceCertificate {
  const { deviceKey, prekey, accountKey } = device;
  const fields = { is: "DeviceCertificate", rootKey: root.publicKey, deviceKey, prekey, accountKey } as const;
  const unsigned: DeviceCertificate = { ...fields, issued, expires, signature: new Uint8Array(64) };
  return { ...unsigned, signature: root.sign(CERTIFICATE_LABEL, certificateContent(unsigned)) };
}

/**
 * Decode a certificate and check its root's signature. Whether the root is known and the time right is the caller's.
 *
 * Raises MalformedInput, or PeerError (BAD_SIGNATURE).
 */
export function verifyCertificate(encoded: Uint8Array): DeviceCertificate {
  const certificate = CERTIFICATES.decode(encoded);
  if (!verify(certificate.rootKey, CERTIFICATE_LABEL, certificateContent(certificate), certificate.signature)) {
    throw new PeerError(RefusalCode.BAD_SIGNATURE, "device certificate");
  }
  return certificate;
}

/** Whether `wallSeconds` lies from its issue to its expiry. */
export function certificateHoldsAt(certificate: DeviceCertificate, wallSeconds: number): boolean {
  return certificate.issued <= wallSeconds && wallSeconds < certificate.expires;
}

/** 60 digits that two people compare; the same from both sides. Raises InvalidArgument unless keys have 32 bytes. */
export function safetyNumber(one: Uint8Array, other: Uint8Array): string {
  if (one.length !== PUBLIC_KEY_BYTES || other.length !== PUBLIC_KEY_BYTES) {
    throw new InvalidArgument("a root key has 32 bytes");
  }
  const [first, second] = compareBytes(one, other) <= 0 ? [one, other] : [other, one];
  const number = BigInt(`0x${toHex(keyedHash(null, "railgun/safety/v1", first, second))}`);
  return (number % 10n ** BigInt(SAFETY_DIGITS)).toString().padStart(SAFETY_DIGITS, "0");
}

/** The seed, secret, of the Ed25519 key that the roster names for an invite. Raises InvalidArgument. */
export function inviteKeySeed(inviteSeed: Uint8Array): Uint8Array {
  return fromInvite(inviteSeed, "railgun/invite/v1");
}

/** What stands for D_d in an invite's lobby; members hold it, too. Raises InvalidArgument. */
export function lobbySecret(inviteSeed: Uint8Array): Uint8Array {
  return fromInvite(inviteSeed, "railgun/lobby/v1");
}

function fromInvite(seed: Uint8Array, label: string): Uint8Array {
  if (seed.length !== SEED_BYTES) throw new InvalidArgument("an invite's seed has 32 bytes");
  return keyedHash(seed, label, EMPTY);
}
