/** All shared vectors: accepted as said, refused with their code. What is not run here is named, with the reason. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";

import { CORE_OPERATIONS } from "./support/coreOperations.js";
import { codeOf } from "./support/outcome.js";
import { OPERATIONS, type Case } from "./support/operations.js";
import { normal } from "./support/packed.js";

interface Vectors {
  readonly accepted: readonly Case[];
  readonly refused: readonly Case[];
}

const DIRECTORY = new URL("../../../vectors/", import.meta.url);
/** Operations of vectors that other tests of this package run, or that no browser does. */
const ELSEWHERE = new Map<string, string>([
  ["megolm_decrypt", "test/olm"],
  ...["mac_keys", "open_datagram", "decode_request", "decode_answer"].map((name) => [name, "datagrams"] as const),
  ...["rendezvous_frame", "mailbox_proof", "sign_registration"].map(notYet),
  ...["seal_blob", "open_blob", "invite_mailbox"].map(notYet),
]);

const ALL = { ...OPERATIONS, ...CORE_OPERATIONS };

function notYet(operation: string): [string, string] {
  return [operation, "not built yet"];
}

function load(name: string): Vectors {
  return JSON.parse(readFileSync(new URL(name, DIRECTORY), "utf8")) as Vectors;
}

function operationOf(input: Case): string {
  return input["operation"] as string;
}

function nameOf(input: Case): string {
  return input["name"] as string;
}

/** Run by test/olm. */
const OLM = new Set(["megolm.json", "olm.json", "short_codes.json"]);
const files = readdirSync(DIRECTORY).filter((name) => name.endsWith(".json") && !OLM.has(name)).sort();

for (const file of files) {
  const { accepted, refused } = load(file);
  test(`${file}: accepted`, () => {
    for (const input of accepted.filter((one) => !ELSEWHERE.has(operationOf(one)))) {
      const operation = ALL[operationOf(input)];
      assert.ok(operation !== undefined, `unknown operation ${operationOf(input)}`);
      const found = operation(input);
      if (input["expected"] !== undefined) assert.deepEqual(normal(found), normal(input["expected"]), nameOf(input));
    }
  });
  test(`${file}: refused`, () => {
    for (const input of refused.filter((one) => !ELSEWHERE.has(operationOf(one)))) {
      const operation = ALL[operationOf(input)];
      assert.ok(operation !== undefined, `unknown operation ${operationOf(input)}`);
      const code = input["code"];
      const expected = typeof code === "string" ? code.toLowerCase() : "malformed";
      let found = "accepted";
      try {
        operation(input);
      } catch (error) {
        found = codeOf(error);
      }
      assert.equal(found, expected, nameOf(input));
    }
  });
}

test("there are vectors", () => {
  assert.ok(files.length >= 13);
});
