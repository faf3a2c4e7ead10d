/** Machines that are given a script, by the name under which tests/interop/differential.py knows the Python one. */
import { fromHex, toHex } from "../../src/bytes.js";
import { Directory } from "../../src/core/directory.js";
import { FragmentAssembly } from "../../src/core/fragments.js";
import { answerIds, answerRanges, answerRequest, openComparison } from "../../src/core/reconciliation.js";
import type { DirectoryFrame } from "../../src/core/reconciliation.js";
import { Roster } from "../../src/core/roster.js";
import { FRAMES } from "../../src/wire/frames.js";
import { SEALED_BODIES } from "../../src/wire/sealed.js";
import { networkOf, order, summary } from "../support/coreOperations.js";
import { list, number, type Case } from "../support/operations.js";
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

export const MACHINES: Readonly<Record<string, Run>> = {
  directory,
  reconciliation,
  fragments,
  roster,
  committee: (given) => order(given as Case),
};
