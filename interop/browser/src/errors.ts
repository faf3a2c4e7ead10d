/**
 * The error tree. Spec: docs/spec/frames.md (refusal codes); the names are those of the Python side.
 *
 * Owns: what can go wrong, and which codes travel. Must not know: who handles it.
 */

/** What a peer is told when it is refused. The numbers travel. */
export const RefusalCode = {
  MALFORMED: 1,
  WRONG_SIZE: 2,
  UNSUPPORTED_VERSION: 3,
  OUTSIDE_WINDOW: 4,
  TOO_LATE: 5,
  BAD_SIGNATURE: 6,
  UNKNOWN_TAG: 7,
  NOT_A_SEAT: 8,
  RATE_LIMITED: 9,
  BUSY: 10,
  WRONG_NETWORK: 11,
  BAD_PROOF: 12,
  CLOCK_SKEWED: 13,
  QUOTA_EXCEEDED: 14,
  SHUTTING_DOWN: 15,
  REPLACED: 16,
  CONFLICT: 17,
  IDLE: 18,
  NOT_HELD: 19,
} as const;
export type RefusalCode = (typeof RefusalCode)[keyof typeof RefusalCode];

export class RailGunError extends Error {
  override readonly name: string = "RailGunError";
}

/** The caller's fault. */
export class LocalError extends RailGunError {
  override readonly name: string = "LocalError";
}

/** An argument that cannot be used. */
export class InvalidArgument extends LocalError {
  override readonly name: string = "InvalidArgument";
}

/** The machine's clock shows a time that cannot be. */
export class ClockError extends LocalError {
  override readonly name: string = "ClockError";
}

/** The remote's fault, with the code that it is told. */
export class PeerError extends RailGunError {
  override readonly name: string = "PeerError";
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Bytes that do not decode. */
export class MalformedInput extends PeerError {
  override readonly name = "MalformedInput";

  constructor(message: string, code: RefusalCode = RefusalCode.MALFORMED) {
    super(code, message);
  }
}

/** Something did not verify or did not open. One opaque reason: which check failed is nobody's business. */
export class CryptoError extends RailGunError {
  override readonly name = "CryptoError";

  constructor() {
    super("does not verify or does not open");
  }
}
