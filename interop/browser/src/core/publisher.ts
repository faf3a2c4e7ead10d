/**
 * Getting one tag's envelopes receipted.
 *
 * Owns: envelopes under way, which seats have receipted them, publishing again. Must not know: what is inside, rooms,
 * how seats are chosen. Spec: docs/spec/delivery.md. Publishing again is always safe: seats and recipients drop what
 * they have. An envelope is settled once a majority has receipted it, and done once every live seat has.
 */
import { equalBytes, fromHex, toHex } from "../bytes.js";
import { verifyReceipt } from "../crypto/proofs.js";
import { PeerError, RefusalCode } from "../errors.js";
import { PENDING_SENDS_MAX } from "../limits.js";
import { SizeClass } from "../types.js";
import type { Frame } from "../wire/frames.js";
import type { Agenda } from "./agenda.js";
import type { Committee } from "./committee.js";
import type { Effect } from "./effects.js";

const REPUBLISH_SECONDS = 1;
const REPUBLISH_SECONDS_MAX = 8;
const REPUBLISH_SETTLED_SECONDS_MAX = 60;
const WHOLE_TO_SECOND_SECONDS = 0.5;
const ENTRIES = 2;
/** How long a seat that takes an envelope may say nothing to it, though it is given again and again. */
const OWED_SECONDS = 20;
const EPSILON = 1e-6;
const DEADLINE = "publish";

type Receipt = Extract<Frame, { readonly is: "Receipt" }>;
/** Whether we ourselves find a seat dead. */
export type IsDead = (seat: Uint8Array) => boolean;

/** An envelope under way, as its owner sees it. Ids and seats are hexadecimal. */
export interface Outgoing {
  readonly id: string;
  readonly envelope: Uint8Array;
  readonly settled: boolean;
}

/** An envelope's receipts grew. `majorityReached` is true once only. */
export interface Progress {
  readonly id: string;
  readonly receipts: number;
  readonly of: number;
  readonly majorityReached: boolean;
  readonly complete: boolean;
}

interface Sending {
  readonly id: string;
  readonly envelope: Uint8Array;
  readonly receipts: Set<string>;
  readonly owedSince: Map<string, number>;
  tries: number;
  nextAt: number;
  /** The entry that was given the id alone and is still to be given the whole, unless there is progress. */
  offeredTo: string | null;
  settled: boolean;
  /** No committee settled it: linked members' acknowledgements stand for receipts, until there is one. */
  byMembers: boolean;
  /** The try that a seat's refusal has delayed already. */
  delayedAtTry: number;
}

/** Publishes one tag's envelopes through the seats that the owner is attached to. */
export class Publisher {
  readonly #tag: Uint8Array;
  readonly #agenda: Agenda;
  readonly #outgoing = new Map<string, Sending>();

  constructor(tag: Uint8Array, agenda: Agenda) {
    this.#tag = tag;
    this.#agenda = agenda;
  }

  get size(): number {
    return this.#outgoing.size;
  }

  /** Whether as many envelopes as may be are short of a majority. */
  get isFull(): boolean {
    return this.#outgoing.size >= PENDING_SENDS_MAX && ![...this.#outgoing.values()].some(({ settled }) => settled);
  }

  /** Take an envelope on; it leaves at once if there is a seat, else when `entriesChanged` names one. */
  publish(
    id: string,
    envelope: Uint8Array,
    entries: readonly Uint8Array[],
    committee: Committee,
    now: number,
    out: Effect[],
  ): void {
    if (this.#outgoing.size >= PENDING_SENDS_MAX) this.#dropASettledOne();
    const sending: Sending = {
      id, envelope, receipts: new Set(), owedSince: new Map(), tries: 0, nextAt: 0, offeredTo: null,
      settled: false, byMembers: false, delayedAtTry: 0,
    };
    this.#outgoing.set(id, sending);
    this.#sendFirst(sending, entries.slice(0, ENTRIES), committee, now, out);
  }

  /** The attached seats changed: what waited leaves; what lacks a majority goes to the new ones too. */
  entriesChanged(
    added: readonly Uint8Array[],
    entries: readonly Uint8Array[],
    committee: Committee,
    now: number,
    out: Effect[],
  ): void {
    const chosen = entries.slice(0, ENTRIES);
    for (const sending of this.#outgoing.values()) {
      if (sending.tries === 0) this.#sendFirst(sending, chosen, committee, now, out);
      else if (!sending.settled || sending.byMembers) {
        const fresh = chosen.filter((seat) => added.some((one) => equalBytes(one, seat)) && lacks(sending, seat));
        this.#sendWhole(sending, fresh, chosen, committee, out);
      }
    }
  }

  /** Publish again what is short of receipts. Returns seats that should be linked and published to directly. */
  due(
    entries: readonly Uint8Array[],
    committee: Committee,
    isDead: IsDead,
    now: number,
    out: Effect[],
  ): Uint8Array[] {
    const direct = new Set<string>();
    const live = committee.seats.map(({ nodeKey }) => nodeKey).filter((seat) => !isDead(seat));
    const chosen = entries.slice(0, ENTRIES);
    for (const sending of [...this.#outgoing.values()]) {
      if (sending.nextAt > now + EPSILON) continue;
      const lacking = live.filter((seat) => lacks(sending, seat));
      if (sending.settled && lacking.length === 0 && !sending.byMembers) this.#outgoing.delete(sending.id);
      else if (sending.tries === 0) this.#sendFirst(sending, chosen, committee, now, out);
      else if (sending.offeredTo !== null && sending.receipts.size > 0) {
        sending.offeredTo = null; // there is progress: the seats bring it to each other
        this.#wait(sending, now);
      } else this.#again(sending, lacking, direct, { chosen, committee, now, out });
    }
    this.#arm();
    return [...direct].map(fromHex);
  }

  #again(
    sending: Sending,
    lacking: readonly Uint8Array[],
    direct: Set<string>,
    to: {
      readonly chosen: readonly Uint8Array[];
      readonly committee: Committee;
      readonly now: number;
      readonly out: Effect[];
    },
  ): void {
    sending.offeredTo = null;
    if (!sending.settled || sending.byMembers) {
      this.#sendWhole(sending, to.chosen.filter((seat) => lacks(sending, seat)), to.chosen, to.committee, to.out);
    }
    if (sending.tries > 1 || sending.settled) for (const seat of lacking) direct.add(toHex(seat));
    sending.tries += 1;
    this.#wait(sending, to.now);
  }

  /** A seat that had not receipted is linked and knows the tag: bring it what it lacks. */
  publishDirectly(seat: Uint8Array, committee: Committee, now: number, out: Effect[]): void {
    for (const sending of this.#outgoing.values()) {
      if (!lacks(sending, seat) || sending.tries <= 1) continue;
      if (!sending.owedSince.has(toHex(seat))) sending.owedSince.set(toHex(seat), now);
      this.#sendWhole(sending, [seat], [seat], committee, out);
    }
  }

  /** It refused something, or its link broke: it owes nothing for what it was given before. */
  excuse(seat: Uint8Array): void {
    for (const { owedSince } of this.#outgoing.values()) owedSince.delete(toHex(seat));
  }

  /** (seat, id): seats that took an envelope OWED_SECONDS ago and have answered nothing; each envelope's once. */
  owing(now: number): (readonly [string, string])[] {
    return [...this.#outgoing.values()].flatMap(({ id, owedSince, receipts }) => {
      const late = [...owedSince].filter(([, since]) => now - since >= OWED_SECONDS).map(([seat]) => seat);
      for (const seat of late) owedSince.delete(seat);
      return late.filter((seat) => !receipts.has(seat)).map((seat) => [seat, id] as const);
    });
  }

  /** Check a receipt and note it. Raises PeerError: BAD_SIGNATURE, or NOT_A_SEAT where the signer has no rank. */
  receiptReceived(receipt: Receipt, committee: Committee, isDead: IsDead): Progress[] {
    // A receipt may name an id twice: it counts once.
    const named = [...new Set(receipt.ids.map(toHex))].flatMap((id) => this.#outgoing.get(id) ?? []);
    const fresh = named.filter((sending) => lacks(sending, receipt.seat));
    if (fresh.length === 0) return [];
    if (committee.rankOf(receipt.seat) === null) {
      throw new PeerError(RefusalCode.NOT_A_SEAT, "receipt by a relay of no rank");
    }
    if (!verifyReceipt(receipt)) throw new PeerError(RefusalCode.BAD_SIGNATURE, "receipt");
    return fresh.map((sending) => this.#note(sending, receipt.seat, committee, isDead));
  }

  /** A seat refused for now; publish again later, once a try and never much later. */
  refused(ids: readonly string[], retryAfterSeconds: number, now: number): void {
    for (const sending of ids.flatMap((id) => this.#outgoing.get(id) ?? [])) {
      if (sending.delayedAtTry >= sending.tries) continue;
      sending.delayedAtTry = sending.tries;
      sending.nextAt = Math.max(sending.nextAt, now + Math.min(retryAfterSeconds, REPUBLISH_SECONDS_MAX));
    }
    this.#arm();
  }

  /** A seat takes no more in this epoch: forget these. Returns those without a majority, to be sealed again. */
  tooLate(ids: readonly string[]): Outgoing[] {
    const dropped = ids.flatMap((id) => {
      const sending = this.#outgoing.get(id);
      this.#outgoing.delete(id);
      return sending ?? [];
    });
    return dropped.filter(({ settled }) => !settled);
  }

  /** Give up on this epoch: everything without a majority, to be sealed again in the next. */
  takeUnsettled(): Outgoing[] {
    return this.tooLate([...this.#outgoing.values()].filter(({ settled }) => !settled).map(({ id }) => id));
  }

  /** No committee serves, and `count` of the members that can be reached have it: most of them stand for a majority. */
  acknowledged(id: string, count: number, reachable: number): Progress | null {
    const sending = this.#outgoing.get(id);
    if (sending === undefined || sending.settled || count < Math.floor(reachable / 2) + 1) return null;
    sending.settled = true;
    sending.byMembers = true;
    return { id, receipts: count, of: reachable, majorityReached: true, complete: false };
  }

  // --- inside -------------------------------------------------------------------------------

  #note(sending: Sending, seat: Uint8Array, committee: Committee, isDead: IsDead): Progress {
    sending.receipts.add(toHex(seat));
    const seats = committee.seats.map(({ nodeKey }) => nodeKey);
    const fromSeats = seats.filter((key) => !lacks(sending, key)).length;
    // Standbys stand in for dead seats, and for no others.
    const dead = seats.filter((key) => lacks(sending, key) && isDead(key)).length;
    const count = fromSeats + Math.min(dead, sending.receipts.size - fromSeats);
    const isEnough = count >= committee.majority;
    const majorityReached = isEnough && !sending.settled;
    sending.settled ||= majorityReached;
    sending.byMembers &&= !isEnough;
    const complete = fromSeats >= seats.length;
    if (complete) this.#outgoing.delete(sending.id);
    return { id: sending.id, receipts: count, of: seats.length, majorityReached, complete };
  }

  #sendFirst(
    sending: Sending,
    chosen: readonly Uint8Array[],
    committee: Committee,
    now: number,
    out: Effect[],
  ): void {
    const [first, second] = chosen;
    if (first === undefined) {
      sending.nextAt = now + REPUBLISH_SECONDS;
      this.#agenda.setEarlier(DEADLINE, sending.nextAt);
      return;
    }
    sending.tries = 1;
    if (sending.envelope[1] !== SizeClass.LARGE || second === undefined) {
      this.#sendWhole(sending, chosen, chosen, committee, out);
      this.#wait(sending, now);
      return;
    }
    const { envelope, id } = sending;
    const { seatsHash } = committee;
    out.push({ is: "SendFrame", peers: [first], frame: { is: "Publish", envelope, seatsHash, otherEntry: second } });
    const offer = { is: "Offer", tag: this.#tag, ids: [fromHex(id)], entry: first } as const;
    out.push({ is: "SendFrame", peers: [second], frame: offer });
    sending.offeredTo = toHex(second);
    sending.nextAt = now + WHOLE_TO_SECOND_SECONDS;
    this.#agenda.setEarlier(DEADLINE, sending.nextAt);
  }

  /** Publish, naming to each entry the other one. */
  #sendWhole(
    { envelope }: Sending,
    to: readonly Uint8Array[],
    chosen: readonly Uint8Array[],
    { seatsHash }: Committee,
    out: Effect[],
  ): void {
    for (const seat of to) {
      const otherEntry = chosen.find((entry) => !equalBytes(entry, seat)) ?? null;
      out.push({ is: "SendFrame", peers: [seat], frame: { is: "Publish", envelope, seatsHash, otherEntry } });
    }
  }

  #wait(sending: Sending, now: number): void {
    const most = sending.settled ? REPUBLISH_SETTLED_SECONDS_MAX : REPUBLISH_SECONDS_MAX;
    sending.nextAt = now + Math.min(most, REPUBLISH_SECONDS * 2 ** Math.min(sending.tries - 1, 10));
    this.#agenda.setEarlier(DEADLINE, sending.nextAt);
  }

  #dropASettledOne(): void {
    const settled = [...this.#outgoing.values()].find((sending) => sending.settled);
    if (settled !== undefined) this.#outgoing.delete(settled.id);
  }

  #arm(): void {
    const next = Math.min(...[...this.#outgoing.values()].map(({ nextAt }) => nextAt));
    if (next !== Infinity) this.#agenda.setEarlier(DEADLINE, next);
  }
}

function lacks(sending: Sending, seat: Uint8Array): boolean {
  return !sending.receipts.has(toHex(seat));
}
