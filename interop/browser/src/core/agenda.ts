/**
 * Named deadlines of one machine, served by one timer.
 *
 * Owns: what is due when, and which timer counts. Must not know: what a deadline is for, clocks. Seconds are monotonic.
 */
import type { Effect } from "./effects.js";

interface Deadline {
  readonly at: number;
  readonly latest: number;
  readonly sequence: number;
}

export class Agenda {
  readonly #deadlines = new Map<string, Deadline>();
  #sequence = 0;
  #generation = 0;
  #armedAt: number | null = null;

  get size(): number {
    return this.#deadlines.size;
  }

  /** Name a deadline at `at`, or up to `slackSeconds` later with what else is due then. Replaces the name's last. */
  set(name: string, at: number, slackSeconds = 0): void {
    this.#sequence += 1;
    this.#deadlines.set(name, { at, latest: at + slackSeconds, sequence: this.#sequence });
  }

  /** As `set`, unless the name is already due at or before `at`. */
  setEarlier(name: string, at: number, slackSeconds = 0): void {
    const standing = this.#deadlines.get(name);
    if (standing === undefined || standing.at > at) this.set(name, at, slackSeconds);
  }

  /** Forget a deadline; harmless when there is none. */
  cancel(name: string): void {
    this.#deadlines.delete(name);
  }

  isSet(name: string): boolean {
    return this.#deadlines.has(name);
  }

  /** Remove and return the names due at `now`, earliest first; after them those whose slack has begun. */
  takeDue(now: number): string[] {
    const hard = this.#named((deadline) => deadline.latest <= now, (deadline) => deadline.latest);
    const soft = this.#named(({ at, latest }) => at <= now && now < latest, ({ at }) => at);
    const due = [...hard, ...soft];
    for (const name of due) this.#deadlines.delete(name);
    return due;
  }

  /** The timer of `generation` went off: what is due, as `takeDue`; nothing if another was asked for since. */
  takeFired(generation: number, now: number): string[] {
    if (generation !== this.#generation) return [];
    this.#armedAt = null;
    return this.takeDue(now);
  }

  /** Ask for a timer at the earliest deadline, unless the standing one already serves. */
  arm(out: Effect[]): void {
    const at = Math.min(...[...this.#deadlines.values()].map(({ latest }) => latest));
    if (at === Infinity || (this.#armedAt !== null && at >= this.#armedAt)) return;
    this.#generation += 1;
    this.#armedAt = at;
    out.push({ is: "SetTimer", generation: this.#generation, at });
  }

  #named(fits: (deadline: Deadline) => boolean, rank: (deadline: Deadline) => number): string[] {
    return [...this.#deadlines]
      .filter(([, deadline]) => fits(deadline))
      .sort(([, left], [, right]) => rank(left) - rank(right) || left.sequence - right.sequence)
      .map(([name]) => name);
  }
}
