/**
 * What to do: the frozen effects that machines return. Imperative.
 *
 * Owns: the vocabulary between the machines and the shell, outward. Must not know: how any is done.
 */
import type { Frame } from "../wire/frames.js";

/** One frame to one or many peers. */
export interface SendFrame {
  readonly is: "SendFrame";
  readonly peers: readonly Uint8Array[];
  readonly frame: Frame;
}

/** Wake the machine at this monotonic second; an older generation's timer says nothing any more. */
export interface SetTimer {
  readonly is: "SetTimer";
  readonly generation: number;
  readonly at: number;
}

export type Effect = SendFrame | SetTimer;
