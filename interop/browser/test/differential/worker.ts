/**
 * Decoders and machines for another process: one case a line on standard input, one outcome a line on standard output.
 *
 * `{"method", "given"}` in; `{"answer"}`, `{"refused": code}` or, for what is a bug here, `{"failed": text}` out.
 */
import { createInterface } from "node:readline";

import { codeOf } from "../support/outcome.js";
import type { Json } from "../support/packed.js";
import { DECODERS } from "./decoders.js";
import { MACHINES } from "./machines.js";

const METHODS = { ...DECODERS, ...MACHINES };

interface Question {
  readonly method: string;
  readonly given: readonly [Json];
}

function outcome(line: string): Json {
  const { method, given } = JSON.parse(line) as Question;
  const run = METHODS[method];
  if (run === undefined) return { failed: `no method ${method}` };
  try {
    return { answer: run(given[0]) };
  } catch (error) {
    try {
      return { refused: codeOf(error) };
    } catch {
      return { failed: error instanceof Error ? (error.stack ?? error.message) : "thrown" };
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(outcome(line))}\n`);
}
