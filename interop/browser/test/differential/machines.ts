/** Machines that are given a script, by the name under which tests/interop/differential.py knows the Python one. */
import { equalBytes, fromHex, toHex } from "../../src/bytes.js";
import { Agenda } from "../../src/core/agenda.js";
import { EpochClock } from "../../src/core/clock.js";
import { RelayPool, type Committee } from "../../src/core/committee.js";
import { Directory } from "../../src/core/directory.js";
import type { Effect } from "../../src/core/effects.js";
import { FragmentAssembly } from "../../src/core/fragments.js";
import { Publisher } from "../../src/core/publisher.js";
import { PullWindows } from "../../src/core/pullWindows.js";
import { answerIds, answerRanges, answerRequest, openComparison } from "../../src/core/reconciliation.js";
import type { DirectoryFrame } from "../../src/core/reconciliation.js";
import { Roster } from "../../src/core/roster.js";
import { contentHash } from "../../src/crypto/hashing.js";
import { signReceipt } from "../../src/crypto/proofs.js";
import { SigningKey } from "../../src/crypto/signing.js";
import { NetworkKind } from "../../src/network.js";
import { FRAMES, type Frame } from "../../src/wire/frames.js";
import { SEALED_BODIES } from "../../src/wire/sealed.js";
import { networkOf, order, summary } from "../support/coreOperations.js";
import { list, number, text, type Case } from "../support/operations.js";
import { codeOf } from "../support/outcome.js";
import { fieldsOf, type Json } from "../support/packed.js";

type Run = (given: Json) => Json;

/** What `run` gives, or the code with which it refuses. */
function codeOr(run: () => Json): Json {
  try {
    return run();
  } catch (error) {
    return codeOf(error);
  }
}

/** `steps`: records to insert at a time, times to forget at, epochs to say what counts for. */
function directory(given: Json): Json {
  const input = given as Case;
  const held = new Directory(networkOf(input), number(input, "ads_max"));
  const outcomes = list(input, "steps").map((step) => {
    const [name, ...values] = step as readonly [string, ...Json[]];
    const wall = values[values.length - 1] as number;
    if (name === "insert") return codeOr(() => held.insert(fromHex(values[0] as string), wall));
    if (name === "forget") return held.forgetExpired(wall);
    const [tag, start, size] = values as unknown as readonly [string, number, number];
    const committee = held.committee(fromHex(tag), start, size, wall);
    return [held.counted(start, wall).map(({ nodeKey }) => toHex(nodeKey)), toHex(committee.seatsHash)];
  });
  return [outcomes, held.size, held.hashes.map(toHex), toHex(held.digest)];
}

/** What `hashes` answer to a frame, each record being as many bytes as `record_bytes` says. */
function reconciliation(given: Json): Json {
  const input = given as Case;
  const hashes = list(input, "hashes").map((hash) => fromHex(hash as string));
  const lookup = (hash: Uint8Array): Uint8Array => new Uint8Array(number(input, "record_bytes")).fill(hash[0] ?? 0);
  const frame = FRAMES.decode(fromHex(input["frame"] as string));
  let answers: DirectoryFrame[] = [openComparison(hashes)];
  if (frame.is === "DirectoryRanges") answers = answerRanges(hashes, frame);
  if (frame.is === "DirectoryIds") answers = answerIds(hashes, frame, lookup, input["push"] === true);
  if (frame.is === "AdsRequest") answers = answerRequest(frame, lookup);
  return answers.map((answer) => toHex(FRAMES.encode(answer)));
}

function fragments(given: Json): Json {
  const assembly = new FragmentAssembly();
  return (given as readonly string[]).map((data) => codeOr(() => {
    const body = SEALED_BODIES.decode(fromHex(data));
    if (body.is !== "Fragment") return "other";
    const whole = assembly.add(body);
    return whole === null ? null : fieldsOf(whole);
  }));
}

/** A room's entries as they come, what becomes of each, and what the roster says on some days. */
function roster(given: Json): Json {
  const input = given as Case;
  const held = new Roster(fromHex(input["room"] as string));
  const outcomes = list(input, "entries").map((entry) => codeOr(() => {
    const { outcome, added, forked } = held.insert(fromHex(entry as string));
    return [outcome, added.map(({ id }) => id), forked];
  }));
  const days = list(input, "days").map((day) => (held.isKnown ? summary(held.state(day as number)) : null));
  return [outcomes, days, held.size, held.pendingCount, toHex(held.digest()), held.export().map((data) => data.length)];
}

/** Envelopes on their way: every call of a script, what it sends, and when the publisher wants to be called again. */
function publisher(given: Json): Json {
  const input = given as Case;
  const seats = list(input, "seats").map((seed) => new SigningKey(fromHex(seed as string)));
  const relays = seats.map(({ publicKey }, index) =>
    ({ nodeKey: publicKey, address: { host: Uint8Array.of(20, 0, index, 1), port: 9_000 }, roles: 1 }));
  const tag = fromHex(input["tag"] as string);
  const committee = new RelayPool(relays, NetworkKind.LAN).order(tag, number(input, "committee_size"));
  const agenda = new Agenda();
  const run = new PublisherRun(new Publisher(tag, agenda), committee, seats);
  return list(input, "steps").map((step) => {
    const [name, now, ...values] = step as readonly [string, number, ...Json[]];
    const result = codeOr(() => run.step(name, now, values));
    const timers: Effect[] = [];
    agenda.arm(timers);
    const due = agenda.takeDue(now).length;
    const frames = run.takeSent();
    return [result, frames, timers.map((timer) => (timer.is === "SetTimer" ? timer.at : null)), due, run.size];
  });
}

class PublisherRun {
  readonly #publisher: Publisher;
  readonly #committee: Committee;
  readonly #seats: readonly SigningKey[];
  #out: Effect[] = [];
  #dead: readonly number[] = [];

  constructor(made: Publisher, committee: Committee, seats: readonly SigningKey[]) {
    this.#publisher = made;
    this.#committee = committee;
    this.#seats = seats;
  }

  get size(): number {
    return this.#publisher.size;
  }

  takeSent(): Json {
    const sent = this.#out.flatMap((effect) =>
      effect.is === "SendFrame" ? [[effect.peers.map(toHex), toHex(contentHash(FRAMES.encode(effect.frame)))]] : []);
    this.#out = [];
    return sent;
  }

  step(name: string, now: number, values: readonly Json[]): Json {
    const [first, second] = values;
    const isDead = (seat: Uint8Array): boolean => this.#dead.some((index) => equalBytes(this.#key(index), seat));
    const entries = (some: Json | undefined): Uint8Array[] => (some as readonly number[]).map((at) => this.#key(at));
    switch (name) {
      case "publish": {
        const input = first as Case;
        const envelope = new Uint8Array(number(input, "bytes")).fill(number(input, "size_class"));
        this.#publisher.publish(text(input, "id"), envelope, entries(second), this.#committee, now, this.#out);
        return null;
      }
      case "entries":
        this.#publisher.entriesChanged(entries(first), entries(second), this.#committee, now, this.#out);
        return null;
      case "dead":
        this.#dead = first as readonly number[];
        return null;
      case "due":
        return this.#publisher.due(entries(first), this.#committee, isDead, now, this.#out).map(toHex);
      case "direct":
        this.#publisher.publishDirectly(this.#key(first as number), this.#committee, now, this.#out);
        return this.#publisher.owing(now).map(([seat, id]) => [seat, id]);
      case "excuse":
        this.#publisher.excuse(this.#key(first as number));
        return null;
      case "receipt":
        return this.#publisher.receiptReceived(this.#receipt(first as Case), this.#committee, isDead).map(fieldsOf);
      case "refused":
        this.#publisher.refused(first as readonly string[], second as number, now);
        return null;
      case "acknowledged": {
        const progress = this.#publisher.acknowledged(first as string, ...(second as unknown as [number, number]));
        return progress === null ? null : fieldsOf(progress);
      }
      default: {
        const isLate = name === "late";
        const left = isLate ? this.#publisher.tooLate(first as readonly string[]) : this.#publisher.takeUnsettled();
        return left.map(({ id }) => id);
      }
    }
  }

  #key(index: number): Uint8Array {
    return this.#seats[index]?.publicKey ?? new Uint8Array(32);
  }

  #receipt(input: Case): Extract<Frame, { readonly is: "Receipt" }> {
    const key = this.#seats[number(input, "seat")] ?? new SigningKey(new Uint8Array(32));
    const ids = list(input, "ids").map((id) => fromHex(id as string));
    const tag = this.#committee.tag;
    const signature = input["forged"] === true ? new Uint8Array(64) : signReceipt(key, tag, ids);
    return { is: "Receipt", tag, ids, seat: key.publicKey, signature };
  }
}

/** Readings and relays' offsets, and what the clock shows after each. */
function clock(given: Json): Json {
  const held = new EpochClock();
  return (given as readonly (readonly [string, string, number])[]).map(([name, relay, seconds]) => {
    if (name === "read") held.read(seconds);
    else held.sample(relay, seconds);
    const { measuredOffsetSeconds, correctionSeconds } = held;
    return [measuredOffsetSeconds, correctionSeconds, held.wall(100), held.directoryWall(100), held.monotonic(1_000)];
  });
}

/** What a subscriber asks of two seats, how they answer, and whom it still believes. */
function pullWindows(given: Json): Json {
  const held = new PullWindows();
  return (given as readonly (readonly [string, string, number])[]).map(([name, seat, now]) => {
    const said = pullStep(held, name, seat, now);
    return [said, held.inFlight(seat), held.hasRoom(seat, now), held.isBelieved(seat), held.takeUnbelieved()];
  });
}

function pullStep(held: PullWindows, name: string, seat: string, now: number): Json {
  switch (name) {
    case "asked":
      held.asked(seat);
      held.isBlocked ||= !held.hasRoom(seat, now);
      return null;
    case "last":
      return held.askAtLast(seat);
    case "answered":
      return held.answered(seat);
    case "brought":
      held.brought(seat, now);
      return held.broughtSince(seat, now - 1);
    case "pause":
      held.pause(seat, now + 2);
      return held.broughtSince(seat, now - 3);
    default:
      held.brokeWord(seat);
      return null;
  }
}

export const MACHINES: Readonly<Record<string, Run>> = {
  directory,
  reconciliation,
  fragments,
  roster,
  publisher,
  pull_windows: pullWindows,
  clock,
  committee: (given) => order(given as Case),
};
