/**
 * A network's parameters.
 *
 * Owns: the numbers that every peer of one network must share, and their bounds. Must not know: who is in it.
 * Spec: docs/spec/network.md.
 */
import { countCharacters } from "./bytes.js";
import { InvalidArgument } from "./errors.js";

export const NetworkKind = { PUBLIC: 0, LAN: 1 } as const;
export type NetworkKind = (typeof NetworkKind)[keyof typeof NetworkKind];

export interface NetworkParameters {
  /** 1 to 64 printable characters, for people. */
  readonly name: string;
  readonly kind: NetworkKind;
  /** L, the length of an epoch, 10 to 86,400. */
  readonly epochSeconds: number;
  /** O, during which two committees serve a room, 1 to L/4. */
  readonly overlapSeconds: number;
  /** How long an ad lives at most, 60 to 86,400. */
  readonly adLifetimeSeconds: number;
}

const PRINTABLE = /^(?:[^\p{C}\p{Z}]| )+$/u;

/** Raises InvalidArgument where a value is out of its range. */
export function checkParameters(parameters: NetworkParameters): void {
  if (countCharacters(parameters.name) > 64 || !PRINTABLE.test(parameters.name)) {
    throw new InvalidArgument("network name: 1 to 64 printable characters, please");
  }
  check("epochSeconds", parameters.epochSeconds, 10, 86_400);
  check("overlapSeconds", parameters.overlapSeconds, 1, Math.floor(parameters.epochSeconds / 4));
  check("adLifetimeSeconds", parameters.adLifetimeSeconds, 60, 86_400);
}

function check(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new InvalidArgument(`${name} = ${value}: must be from ${least} to ${most}`);
  }
}
