/** The codes that vectors and the differential runs name refusals by. */
import { ClockError, CryptoError, InvalidArgument, PeerError, RefusalCode } from "../../src/errors.js";

const NAMES = new Map<number, string>(Object.entries(RefusalCode).map(([name, code]) => [code, name.toLowerCase()]));

/** The code of an error that the library raises on purpose; any other error is a bug and goes on. */
export function codeOf(error: unknown): string {
  if (error instanceof PeerError) return NAMES.get(error.code) ?? "unknown";
  if (error instanceof CryptoError) return "crypto";
  if (error instanceof ClockError) return "clock";
  if (error instanceof InvalidArgument) return "invalid_argument";
  throw error;
}

/** The lower-case name of a refusal code. */
export function nameOf(code: number): string {
  return NAMES.get(code) ?? "unknown";
}
