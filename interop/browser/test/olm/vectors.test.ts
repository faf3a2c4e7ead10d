/** The shared vectors: the same secrets give the same bytes as in Python, and what is refused there is refused here. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { fromHex, toHex } from "../../src/bytes.js";
import { CryptoError } from "../../src/errors.js";
import type { Entropy } from "../../src/olm/primitives.js";
import { Sessions } from "../../src/olm/sessions.js";
import { encodeAccount, encodeOutboundGroup } from "../../src/olm/state.js";
import { Sas } from "../../src/olm/sas.js";

interface Party {
  identity_secret: string;
  fallback_secrets: string[];
  draws: string[];
}

type Step =
  | { say: "anna" | "bert"; plaintext: string; first: boolean; message: string }
  | { hear: "anna" | "bert"; number: number; opens: boolean };

interface OlmCase {
  name: string;
  operation: "conversation" | "accept";
  anna: Party;
  bert: Party;
  fallback: number;
  session_id: string;
  steps: Step[];
  account: Party;
  author: string;
  message: string;
  expected: { plaintext: string; session_id: string };
}

interface MegolmCase {
  name: string;
  operation: "sender" | "export" | "decrypt" | "import";
  seed: string;
  parts: string;
  start: number;
  session_key: string;
  index: number;
  exported: string;
  message: string;
  expected: {
    session_id: string;
    session_key: string;
    messages: { index: number; plaintext: string; message: string }[];
    exported: string;
    index: number;
    plaintext: string;
  };
}

interface SasCase {
  name: string;
  secret: string;
  their_key: string;
  info: string;
  content: string;
  expected: { public_key: string; decimals: number[]; mac: string };
}

function load<T>(name: string): { accepted: T[]; refused: T[] } {
  const file = new URL(`../../../../vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")) as { accepted: T[]; refused: T[] };
}

/** Draws what a vector names, in order, and no more. */
class Drawn implements Entropy {
  readonly #draws: string[];

  constructor(draws: readonly string[]) {
    this.#draws = [...draws];
  }

  get left(): number {
    return this.#draws.length;
  }

  randomBytes(count: number): Uint8Array {
    const drawn = fromHex(this.#draws.shift() ?? assert.fail("drew too much"));
    assert.equal(drawn.length, count);
    return drawn;
  }
}

interface Speaker {
  entropy: Drawn;
  sessions: Sessions;
  account: Uint8Array;
  state: Uint8Array | undefined;
}

function speaker(party: Party): Speaker {
  const entropy = new Drawn(party.draws);
  const account = encodeAccount({
    identitySecret: fromHex(party.identity_secret),
    fallbackSecrets: party.fallback_secrets.map(fromHex),
  });
  return { entropy, sessions: new Sessions(entropy), account, state: undefined };
}

function identityKey(who: Speaker): Uint8Array {
  return who.sessions.olmAccount(who.account).identityKey;
}

/** The plaintext; CryptoError where it does not open. States go through their stored form each time. */
function hear(who: Speaker, message: Uint8Array, isFirst: boolean, author: Uint8Array): string {
  const opened = who.state === undefined
    ? who.sessions.olmAccept(who.account, author, message)
    : who.sessions.olmDecrypt(who.state.slice(), message, isFirst);
  who.state = opened.session.state;
  return toHex(opened.plaintext);
}

function converse(example: OlmCase): void {
  const ends = { anna: speaker(example.anna), bert: speaker(example.bert) };
  const { anna, bert } = ends;
  const bertsNewest = bert.sessions.olmAccount(bert.account).fallbackKey;
  const older = encodeAccount({
    identitySecret: fromHex(example.bert.identity_secret),
    fallbackSecrets: example.bert.fallback_secrets.slice(1).map(fromHex),
  });
  const fallbackKey = example.fallback === 0 ? bertsNewest : bert.sessions.olmAccount(older).fallbackKey;
  const started = anna.sessions.olmStart(anna.account, identityKey(bert), fallbackKey);
  assert.equal(toHex(started.sessionId), example.session_id);
  anna.state = started.state;
  const said: { message: Uint8Array; first: boolean; plaintext: string }[] = [];
  for (const step of example.steps) {
    if ("say" in step) {
      const who = ends[step.say];
      const sent = who.sessions.olmEncrypt(who.state?.slice() ?? assert.fail(), fromHex(step.plaintext));
      who.state = sent.state;
      assert.equal(toHex(sent.message), step.message, `message ${said.length}`);
      assert.equal(sent.isFirst, step.first);
      said.push({ message: sent.message, first: step.first, plaintext: step.plaintext });
    } else {
      const { message, first, plaintext } = said[step.number] ?? assert.fail();
      const read = (): string => hear(ends[step.hear], message, first, identityKey(anna));
      if (step.opens) {
        assert.equal(read(), plaintext);
      } else {
        assert.throws(read, CryptoError, `message ${step.number}`);
      }
    }
  }
  assert.equal(anna.entropy.left + bert.entropy.left, 0);
}

const olm = load<OlmCase>("olm");
for (const example of olm.accepted) {
  test(`Olm: ${example.name}`, () => {
    if (example.operation === "conversation") {
      converse(example);
      return;
    }
    const who = speaker(example.account);
    assert.equal(toHex(who.sessions.olmSessionId(fromHex(example.message))), example.expected.session_id);
    assert.equal(hear(who, fromHex(example.message), true, fromHex(example.author)), example.expected.plaintext);
  });
}
for (const example of olm.refused) {
  test(`Olm refuses: ${example.name}`, () => {
    const who = speaker(example.account);
    assert.throws(() => hear(who, fromHex(example.message), true, fromHex(example.author)), CryptoError);
  });
}

const sessions = new Sessions(new Drawn([]));

function group(example: MegolmCase): void {
  const { expected } = example;
  if (example.operation === "export") {
    const { state } = sessions.megolmImport(fromHex(example.session_key));
    assert.equal(toHex(sessions.megolmExport(state, example.index)), expected.exported);
    assert.equal(sessions.megolmRestore(fromHex(expected.exported)).firstIndex, example.index);
    return;
  }
  if (example.operation === "decrypt") {
    const { state } = sessions.megolmRestore(fromHex(example.exported));
    const opened = sessions.megolmDecrypt(state, fromHex(example.message));
    assert.deepEqual([opened.index, toHex(opened.plaintext)], [expected.index, expected.plaintext]);
    return;
  }
  let state = encodeOutboundGroup({
    seed: fromHex(example.seed),
    parts: fromHex(example.parts),
    nextIndex: example.start,
  });
  const sender = sessions.megolmOutbound(state);
  assert.equal(toHex(sender.sessionId), expected.session_id);
  assert.equal(toHex(sender.sessionKey), expected.session_key);
  const into = sessions.megolmImport(sender.sessionKey).state;
  for (const { index, plaintext, message } of expected.messages) {
    const sent = sessions.megolmEncrypt(state.slice(), fromHex(plaintext));
    state = sent.state;
    assert.equal(sent.index, index);
    assert.equal(toHex(sent.message), message);
    assert.equal(toHex(sessions.megolmDecrypt(into, sent.message).plaintext), plaintext);
  }
}

const megolm = load<MegolmCase>("megolm");
for (const example of megolm.accepted) {
  test(`Megolm: ${example.name}`, () => { group(example); });
}
for (const example of megolm.refused) {
  test(`Megolm refuses: ${example.name}`, () => {
    if (example.operation === "import") {
      assert.throws(() => sessions.megolmImport(fromHex(example.session_key)), CryptoError);
    } else {
      const { state } = sessions.megolmRestore(fromHex(example.exported));
      assert.throws(() => sessions.megolmDecrypt(state, fromHex(example.message)), CryptoError);
    }
  });
}

const codes = load<SasCase>("short_codes");
for (const example of codes.accepted) {
  test(`short codes ${example.name}`, () => {
    const sas = new Sas(new Drawn([example.secret]));
    assert.equal(toHex(sas.publicKey), example.expected.public_key);
    const established = sas.establish(fromHex(example.their_key));
    assert.deepEqual([...established.decimals(example.info)], example.expected.decimals);
    assert.equal(toHex(established.mac(fromHex(example.content), example.info)), example.expected.mac);
    established.checkMac(fromHex(example.content), example.info, fromHex(example.expected.mac));
  });
}
for (const example of codes.refused) {
  test(`short codes refuse ${example.name}`, () => {
    assert.throws(() => new Sas(new Drawn([example.secret])).establish(fromHex(example.their_key)), CryptoError);
  });
}
