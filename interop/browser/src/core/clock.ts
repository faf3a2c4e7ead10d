/**
 * The epoch clock: this machine's wall time, corrected by what relays say; and the instants of an epoch.
 *
 * Owns: the offset samples and the correction, when an epoch opens, hands over and ends. Must not know: what the time
 * is for. Spec: docs/spec/delivery.md, clocks and rotation. Monotonic seconds are passed in.
 */
import { CLOCK_CORRECTION_MAX_SECONDS, CLOCK_SAMPLES_MAX, CLOCK_SAMPLES_MIN } from "../limits.js";

/** Maps monotonic seconds to corrected Unix seconds. Relays are named by their keys in hexadecimal. */
export class EpochClock {
  readonly #samples = new Map<string, number>();
  #wallMinusMonotonic = 0;

  /** Take a fresh reading; samples taken against another reading are shifted to fit. */
  read(wallMinusMonotonicSeconds: number): void {
    const jump = wallMinusMonotonicSeconds - this.#wallMinusMonotonic;
    this.#wallMinusMonotonic = wallMinusMonotonicSeconds;
    for (const [relay, offset] of this.#samples) this.#samples.set(relay, offset - jump);
  }

  /** A relay's clock less ours; the newest CLOCK_SAMPLES_MAX relays count. */
  sample(relay: string, offsetSeconds: number): void {
    this.#samples.delete(relay);
    this.#samples.set(relay, offsetSeconds);
    const [oldest] = this.#samples.keys();
    if (oldest !== undefined && this.#samples.size > CLOCK_SAMPLES_MAX) this.#samples.delete(oldest);
  }

  /** Median offset of at least CLOCK_SAMPLES_MIN relays, else null. */
  get measuredOffsetSeconds(): number | null {
    return this.#medianOffset(CLOCK_SAMPLES_MIN);
  }

  /** What is added to this machine's wall time, at most CLOCK_CORRECTION_MAX_SECONDS either way. */
  get correctionSeconds(): number {
    return this.#correction(CLOCK_SAMPLES_MIN);
  }

  /** Corrected Unix seconds at monotonic `now`. */
  wall(now: number): number {
    return now + (this.#wallMinusMonotonic + this.correctionSeconds);
  }

  /** Unix seconds to judge ads by, corrected from the first relay on: else no further relay would be heard of. */
  directoryWall(now: number): number {
    return now + (this.#wallMinusMonotonic + this.#correction(1));
  }

  /** The monotonic second at which the corrected clock shows `wallSeconds`. */
  monotonic(wallSeconds: number): number {
    return wallSeconds - (this.#wallMinusMonotonic + this.correctionSeconds);
  }

  #medianOffset(samplesMin: number): number | null {
    if (this.#samples.size < samplesMin) return null;
    const sorted = [...this.#samples.values()].sort((left, right) => left - right);
    return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
  }

  #correction(samplesMin: number): number {
    const offset = this.#medianOffset(samplesMin);
    if (offset === null) return 0;
    return Math.max(-CLOCK_CORRECTION_MAX_SECONDS, Math.min(CLOCK_CORRECTION_MAX_SECONDS, offset));
  }
}

/** The instants of one epoch, in corrected Unix seconds. */
export interface EpochWindow {
  readonly start: number;
  /** The boundary at which senders switch to the next epoch. */
  readonly end: number;
  /** Peers attach from here on (with jitter). */
  readonly warmUpFrom: number;
  /** Seats accept publishes from here on. */
  readonly acceptFrom: number;
  /** Seats accept publishes up to here; subscribers take their last digests here. */
  readonly acceptUntil: number;
  /** Seats forget the tag here. */
  readonly keepUntil: number;
  /** What is short of a majority here is sealed again in the next epoch. */
  readonly resealAt: number;
}

/** The window of the epoch that starts at `start`, by L and O. */
export function epochWindow(start: number, epochSeconds: number, overlapSeconds: number): EpochWindow {
  const end = start + epochSeconds;
  return {
    start,
    end,
    warmUpFrom: start - overlapSeconds,
    acceptFrom: start - 1.5 * overlapSeconds,
    acceptUntil: end + 1.5 * overlapSeconds,
    keepUntil: end + 2 * overlapSeconds,
    resealAt: end + 0.5 * overlapSeconds,
  };
}
