/**
 * `Sessions` and short codes for another process: one call a line on standard input, one answer a line on standard
 * output. States travel with each call, as a store would bring them.
 */
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

import { fromHex, toHex } from "../../src/bytes.js";
import { CryptoError } from "../../src/errors.js";
import type { EstablishedSas, Sas } from "../../src/olm/sas.js";
import { Sessions } from "../../src/olm/sessions.js";

type Argument = string | number | boolean;
type Answer = unknown;

const sessions = new Sessions({ randomBytes: (count) => webcrypto.getRandomValues(new Uint8Array(count)) });
const codes: Sas[] = [];
const established: EstablishedSas[] = [];

/** What takes more than one call. Every string that comes is bytes in hexadecimal, text in UTF-8 too. */
const METHODS: Record<string, (...given: never[]) => Answer> = {
  sasNew: () => ({ number: codes.push(sessions.sasNew()) - 1, publicKey: codes.at(-1)?.publicKey }),
  sasEstablish: (number: number, key: Uint8Array) => {
    const sas = codes[number];
    return sas === undefined ? null : established.push(sas.establish(key)) - 1;
  },
  sasDecimals: (number: number, info: Uint8Array) => established[number]?.decimals(new TextDecoder().decode(info)),
  sasMac: (number: number, content: Uint8Array, info: Uint8Array) =>
    established[number]?.mac(content, new TextDecoder().decode(info)),
  sasCheckMac: (number: number, content: Uint8Array, info: Uint8Array, mac: Uint8Array) => {
    established[number]?.checkMac(content, new TextDecoder().decode(info), mac);
    return null;
  },
};

function call(method: string, given: readonly Argument[]): Answer {
  const taken = given.map((argument) => (typeof argument === "string" ? fromHex(argument) : argument));
  const own = METHODS[method];
  if (own !== undefined) {
    return own(...(taken as never[]));
  }
  const methods = sessions as unknown as Record<string, (...given: readonly unknown[]) => Answer>;
  return methods[method]?.(...taken);
}

function spelt(answer: Answer): Answer {
  if (answer instanceof Uint8Array) {
    return toHex(answer);
  }
  if (answer === null || typeof answer !== "object" || Array.isArray(answer)) {
    return answer ?? null;
  }
  return Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, spelt(value)]));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { method, given } = JSON.parse(line) as { method: string; given: Argument[] };
  let answer: Answer;
  try {
    answer = { answer: spelt(call(method, given)) };
  } catch (error) {
    answer = error instanceof CryptoError ? { refused: "crypto" } : { failed: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
