/**
 * How much a subscriber of one tag asks of each seat at a time, and whose word was empty.
 *
 * Owns: pulls in flight by seat, pauses, ids that a seat named and did not have. Must not know: frames, envelopes,
 * which seats serve whom. Spec: docs/spec/delivery.md, numbers. Seats are hexadecimal, seconds monotonic.
 */
import { BROKEN_WORDS_MAX, PULLS_AT_LAST_PER_SEAT_MAX, PULLS_IN_FLIGHT_PER_SEAT_MAX } from "../limits.js";

export class PullWindows {
  /** Whether something is due that no window has room for: look again when one opens. */
  isBlocked = false;
  readonly #inFlight = new Map<string, number>();
  readonly #askedAtLast = new Map<string, number>();
  readonly #paused = new Map<string, number>();
  readonly #broughtAt = new Map<string, number>();
  readonly #broken = new Map<string, number>();
  readonly #toTell = new Set<string>();

  /** Ids asked of it that have neither come nor been denied, and may still. */
  inFlight(seat: string): number {
    return this.#inFlight.get(seat) ?? 0;
  }

  /** Whether one more id may be asked of it. */
  hasRoom(seat: string, now: number): boolean {
    return this.inFlight(seat) < PULLS_IN_FLIGHT_PER_SEAT_MAX && now >= (this.#paused.get(seat) ?? 0);
  }

  asked(seat: string): void {
    this.#inFlight.set(seat, this.inFlight(seat) + 1);
  }

  /** One more id at the tag's end, when each is asked of all who named it; false once that is enough. */
  askAtLast(seat: string): boolean {
    const asked = (this.#askedAtLast.get(seat) ?? 0) + 1;
    this.#askedAtLast.set(seat, asked);
    return asked <= PULLS_AT_LAST_PER_SEAT_MAX;
  }

  /** One less in flight. True when that is a good moment to ask for what waits. */
  answered(seat: string): boolean {
    const left = Math.max(0, this.inFlight(seat) - 1);
    this.#inFlight.set(seat, left);
    return this.isBlocked && left <= Math.floor(PULLS_IN_FLIGHT_PER_SEAT_MAX / 2);
  }

  /** Something that it was asked for came from it. */
  brought(seat: string, now: number): void {
    this.#broughtAt.set(seat, now);
  }

  /** Whether it has brought anything that it was asked for after `since`: then it is busy with the rest. */
  broughtSince(seat: string, since: number): boolean {
    return (this.#broughtAt.get(seat) ?? since) > since;
  }

  /** It has said that it sends no more before `until`. */
  pause(seat: string, until: number): void {
    this.#paused.set(seat, until);
  }

  /** It named an id, and does not have it, or never sent it. */
  brokeWord(seat: string): void {
    const broken = (this.#broken.get(seat) ?? 0) + 1;
    this.#broken.set(seat, broken);
    if (broken === BROKEN_WORDS_MAX) this.#toTell.add(seat);
  }

  /** Whether ids that it alone names are worth asking for. */
  isBelieved(seat: string): boolean {
    return (this.#broken.get(seat) ?? 0) < BROKEN_WORDS_MAX;
  }

  /** Seats that have just ceased to be believed, each once. */
  takeUnbelieved(): string[] {
    const told = [...this.#toTell];
    this.#toTell.clear();
    return told;
  }
}
