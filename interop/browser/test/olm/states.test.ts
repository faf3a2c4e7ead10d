/** What is kept: it reads back, it is refused when damaged, and nothing that is printed shows it. */
import assert from "node:assert/strict";
import test from "node:test";
import { inspect } from "node:util";

import { toHex, utf8 } from "../../src/bytes.js";
import { CryptoError } from "../../src/errors.js";
import { OlmAccount } from "../../src/olm/account.js";
import { InboundGroupSession, OutboundGroupSession } from "../../src/olm/groupSession.js";
import { GroupRatchet } from "../../src/olm/groupRatchet.js";
import { ReceiverChain } from "../../src/olm/receiverChain.js";
import { EstablishedSas, Sas } from "../../src/olm/sas.js";
import { OlmSession } from "../../src/olm/session.js";
import { Sessions } from "../../src/olm/sessions.js";
import {
  decodeAccount,
  decodeInboundGroup,
  decodeOutboundGroup,
  decodeSession,
  encodeAccount,
  encodeInboundGroup,
  encodeOutboundGroup,
  encodeSession,
  STATE_BYTES_MAX,
} from "../../src/olm/state.js";
import { decode, encode, type Value } from "../../src/wire/cbor.js";
import { End, pair, SeededEntropy } from "./lab.js";

/** The same bytes in an array that no live object is known for. */
function stored(state: Uint8Array): Uint8Array {
  return state.slice();
}

test("a conversation goes on when every state was stored and read again", () => {
  const { anna, bert } = pair();
  for (let turn = 0; turn < 12; turn += 1) {
    const [from, to] = turn % 3 === 0 ? [anna, bert] : [bert, anna];
    const skipped = from.say("late");
    from.state = stored(from.state);
    assert.equal(to.hear(from.say(`${turn}`)), `${turn}`);
    to.state = stored(to.state);
    assert.equal(to.hear(skipped), "late");
    to.state = stored(to.state);
  }
});

test("group sessions and accounts read back", () => {
  const sessions = new Sessions(new SeededEntropy("stored"));
  const sender = sessions.megolmNew();
  const into = stored(sessions.megolmImport(sender.sessionKey).state);
  const one = sessions.megolmEncrypt(stored(sender.state), utf8("one"));
  const two = sessions.megolmEncrypt(stored(one.state), utf8("two"));
  assert.equal(sessions.megolmDecrypt(into, two.message).index, 1);
  assert.equal(sessions.megolmDecrypt(stored(into), one.message).index, 0);
  const account = sessions.olmNewFallback(sessions.olmAccountNew().state);
  assert.deepEqual(sessions.olmAccount(stored(account.state)).fallbackKey, account.fallbackKey);
});

function kinds(): { name: string; state: Uint8Array; again: (state: Uint8Array) => Uint8Array }[] {
  const { anna, bert } = pair();
  const sessions = new Sessions(new SeededEntropy("kinds"));
  const account = sessions.olmNewFallback(sessions.olmNewFallback(sessions.olmAccountNew().state).state);
  const sender = sessions.megolmNew();
  anna.say("missing");
  bert.hear(anna.say("heard"));
  return [
    { name: "account", state: account.state, again: (state) => encodeAccount(decodeAccount(state)) },
    { name: "active session", state: anna.state, again: (state) => encodeSession(decodeSession(state)) },
    { name: "waiting session", state: bert.state, again: (state) => encodeSession(decodeSession(state)) },
    { name: "outbound", state: sender.state, again: (state) => encodeOutboundGroup(decodeOutboundGroup(state)) },
    {
      name: "inbound",
      state: sessions.megolmImport(sender.sessionKey).state,
      again: (state) => encodeInboundGroup(decodeInboundGroup(state)),
    },
  ];
}

for (const { name, state, again } of kinds()) {
  test(`a damaged state of an ${name} is refused with the one error`, () => {
    assert.deepEqual(again(state), state);
    const entropy = new SeededEntropy(name);
    for (let round = 0; round < 500; round += 1) {
      const spoilt = state.slice();
      spoilt[entropy.below(spoilt.length)] = entropy.below(256);
      refusesOrRepeats(again, spoilt);
      refusesOrRepeats(again, state.slice(0, entropy.below(state.length)));
    }
    const values = decode(state, STATE_BYTES_MAX) as readonly Value[];
    const others: Value[] = [[2, ...values.slice(1)], [1, "other", ...values.slice(2)], values.slice(0, -1), 1, []];
    for (const other of [...others, [...values, 0]]) {
      assert.throws(() => again(encode(other)), CryptoError);
    }
    assert.throws(() => again(new Uint8Array(STATE_BYTES_MAX + 1)), CryptoError);
  });
}

/** Bytes of a key may be others and still be a key; what is taken says the same again. */
function refusesOrRepeats(again: (state: Uint8Array) => Uint8Array, state: Uint8Array): void {
  try {
    assert.deepEqual(again(state), state);
  } catch (error) {
    assert.ok(error instanceof CryptoError, String(error));
  }
}

test("the fullest session fits", () => {
  const { anna, bert } = pair();
  for (let turn = 0; turn < 5; turn += 1) {
    for (let missing = 0; missing < 41; missing += 1) {
      anna.say("missing");
    }
    bert.hear(anna.say("heard"));
    anna.hear(bert.say("turn"));
  }
  assert.ok(bert.state.length > 7_000 && bert.state.length < STATE_BYTES_MAX, `${bert.state.length}`);
  assert.deepEqual(encodeSession(decodeSession(bert.state)), bert.state);
});

test("skipped keys that belong to no missing message are refused", () => {
  const { bert } = pair();
  const state = decodeSession(bert.state);
  const [chain = assert.fail()] = state.chains;
  for (const skipped of [[7, 7], [chain.index]]) {
    const spoilt = { ...chain, index: chain.index, skipped: skipped.map((index) => ({ index, key: chain.chainKey })) };
    assert.throws(() => decodeSession(encodeSession({ ...state, chains: [spoilt] })), CryptoError);
  }
});

test("nothing that holds secrets shows them", () => {
  const entropy = new SeededEntropy("secret");
  const sessions = new Sessions(entropy);
  const account = sessions.olmNewFallback(sessions.olmAccountNew().state);
  const sender = sessions.megolmNew();
  const started = sessions.olmStart(account.state, account.identityKey, account.fallbackKey);
  const first = sessions.olmEncrypt(started.state, utf8("plain text"));
  const group = sessions.megolmEncrypt(sender.state, utf8("plain text"));
  const inbound = sessions.megolmImport(sender.sessionKey);
  const chain = decodeSession(pair().bert.state).chains[0] ?? assert.fail();
  const sas = new Sas(entropy);
  const holders: object[] = [
    sessions, account, sender, started, first, group, inbound, sas,
    sessions.megolmDecrypt(inbound.state, group.message),
    sessions.olmAccept(account.state, account.identityKey, first.message),
    new OlmAccount(decodeAccount(account.state)),
    new OlmSession(decodeSession(started.state)),
    new OutboundGroupSession(decodeOutboundGroup(sender.state)),
    new InboundGroupSession(decodeInboundGroup(inbound.state)),
    new GroupRatchet(entropy.randomBytes(128), 0),
    new ReceiverChain(chain),
    new EstablishedSas(entropy.randomBytes(32)),
  ];
  for (const holder of holders) {
    const shown = [
      inspect(holder, { depth: null, showHidden: true, getters: true }), // as a debugging session would
      JSON.stringify(holder), "".concat(holder as unknown as string), inspect([{ holder }], { depth: null }),
    ];
    for (const text of shown) {
      assert.match(text, /<redacted>/);
      assert.ok(text.length < 80, text);
    }
  }
});

test("a state is not the object's own memory: what is written over it later changes no session", () => {
  const { anna, bert } = pair();
  const state = stored(bert.state);
  const live = new End(bert.sessions, state);
  const before = toHex(state);
  live.hear(anna.say("one"));
  assert.equal(toHex(state), before);
});
