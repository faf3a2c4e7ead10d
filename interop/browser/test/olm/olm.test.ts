/** Pairwise sessions: one contract, the Python side's (tests/unit/crypto/test_olm.py). */
import assert from "node:assert/strict";
import test from "node:test";

import { concatBytes, utf8 } from "../../src/bytes.js";
import { CryptoError } from "../../src/errors.js";
import { decodeFirstMessage, encodeFirstMessage } from "../../src/olm/messages.js";
import { Sessions } from "../../src/olm/sessions.js";
import { decodeSession, encodeSession } from "../../src/olm/state.js";
import { End, pair, SeededEntropy } from "./lab.js";

test("both ends know the session by one id, and talk both ways", () => {
  const sessions = new Sessions(new SeededEntropy("ids"));
  const annas = sessions.olmAccountNew();
  const berts = sessions.olmNewFallback(sessions.olmAccountNew().state);
  const started = sessions.olmStart(annas.state, berts.identityKey, berts.fallbackKey);
  const first = sessions.olmEncrypt(started.state, utf8("one"));
  assert.ok(first.isFirst);
  assert.deepEqual(sessions.olmSessionId(first.message), started.sessionId);
  const accepted = sessions.olmAccept(berts.state, annas.identityKey, first.message);
  assert.deepEqual(accepted.session.sessionId, started.sessionId);
  const bert = new End(sessions, accepted.session.state);
  const anna = new End(sessions, first.state);
  for (const text of ["two", "", "x".repeat(1000)]) {
    const answer = bert.say(text);
    assert.equal(answer.isFirst, false);
    assert.equal(anna.hear(answer), text);
    assert.equal(bert.hear(anna.say(text)), text);
  }
});

test("first messages until something is heard", () => {
  const { anna, bert } = pair();
  assert.ok(anna.say("again").isFirst);
  anna.hear(bert.say("heard"));
  assert.equal(anna.say("later").isFirst, false);
});

test("an account names its newest fallback key, and opens under the one before, none older", () => {
  const sessions = new Sessions(new SeededEntropy("fallback"));
  const annas = sessions.olmAccountNew();
  const empty = sessions.olmAccountNew();
  assert.equal(empty.fallbackKey.length, 0);
  const one = sessions.olmNewFallback(empty.state);
  const two = sessions.olmNewFallback(one.state);
  const three = sessions.olmNewFallback(two.state);
  assert.notDeepEqual(one.fallbackKey, two.fallbackKey);
  const begin = (fallbackKey: Uint8Array): Uint8Array =>
    sessions.olmEncrypt(sessions.olmStart(annas.state, empty.identityKey, fallbackKey).state, utf8("hi")).message;
  const [old, before, newest] = [begin(one.fallbackKey), begin(two.fallbackKey), begin(three.fallbackKey)];
  sessions.olmAccept(three.state, annas.identityKey, newest);
  sessions.olmAccept(three.state, annas.identityKey, before);
  assert.throws(() => sessions.olmAccept(three.state, annas.identityKey, old), CryptoError);
  assert.throws(() => sessions.olmAccept(three.state, empty.identityKey, newest), CryptoError);
});

test("each message opens once, in any order", () => {
  const { anna, bert } = pair();
  const said = ["a", "b", "c", "d"].map((text) => ({ text, sent: anna.say(text) }));
  for (const [place, { text, sent }] of said.reverse().entries()) {
    assert.equal(bert.hear(sent), text);
    const kept = decodeSession(bert.state).chains.flatMap((chain) => chain.skipped);
    assert.equal(kept.length, 3 - place, "a key that has served is forgotten");
    assert.throws(() => bert.hear(sent), CryptoError);
  }
});

test("2,000 may be missing, the last 40 of them still come; one more is too many", () => {
  const { anna, bert } = pair();
  const sent = Array.from({ length: 2003 }, (_, index) => anna.say(`${index}`));
  const before = bert.state;
  assert.throws(() => bert.hear(sent[2001] ?? assert.fail()), CryptoError);
  bert.state = before;
  assert.equal(bert.hear(sent[2000] ?? assert.fail()), "2000");
  assert.equal(bert.hear(sent[1999] ?? assert.fail()), "1999");
  assert.equal(bert.hear(sent[1960] ?? assert.fail()), "1960");
  assert.throws(() => bert.hear(sent[1959] ?? assert.fail()), CryptoError);
  assert.equal(bert.hear(sent[2002] ?? assert.fail()), "2002");
});

test("the keys of an old chain are kept for five of the other end's chains", () => {
  const { anna, bert } = pair();
  const missing: { turn: number; sent: ReturnType<End["say"]> }[] = [];
  for (let turn = 0; turn < 7; turn += 1) {
    anna.hear(bert.say("your turn"));
    missing.push({ turn, sent: anna.say(`missing ${turn}`) });
    bert.hear(anna.say("heard"));
  }
  for (const { turn, sent } of missing) {
    if (turn < 2) {
      const before = bert.state;
      assert.throws(() => bert.hear(sent), CryptoError);
      bert.state = before;
    } else {
      assert.equal(bert.hear(sent), `missing ${turn}`);
    }
  }
});

test("a message that does not open changes nothing", () => {
  const { anna, bert } = pair();
  anna.hear(bert.say("turn"));
  const sent = anna.say("hello");
  const before = bert.state;
  for (let place = 0; place < sent.message.length; place += 1) {
    const spoilt = sent.message.slice();
    spoilt[place] = (spoilt[place] ?? 0) ^ 0x01;
    assert.throws(() => bert.sessions.olmDecrypt(before, spoilt, false), CryptoError, `byte ${place}`);
    assert.throws(() => bert.sessions.olmDecrypt(before, sent.message.slice(0, place), false), CryptoError);
  }
  assert.throws(() => bert.hear({ message: concatBytes(sent.message, Uint8Array.of(0)), isFirst: false }), CryptoError);
  bert.state = before;
  assert.equal(bert.hear(sent), "hello");
});

test("every byte of a first message counts", () => {
  const sessions = new Sessions(new SeededEntropy("bytes"));
  const annas = sessions.olmAccountNew();
  const berts = sessions.olmNewFallback(sessions.olmAccountNew().state);
  const state = sessions.olmStart(annas.state, berts.identityKey, berts.fallbackKey).state;
  const { message } = sessions.olmEncrypt(state, utf8("hello"));
  for (let place = 0; place < message.length; place += 1) {
    const spoilt = message.slice();
    spoilt[place] = (spoilt[place] ?? 0) ^ 0x40;
    assert.throws(() => sessions.olmAccept(berts.state, annas.identityKey, spoilt), CryptoError, `byte ${place}`);
  }
  sessions.olmAccept(berts.state, annas.identityKey, message);
});

test("a first message is not opened under another session, nor a later one as a first", () => {
  const one = pair("one");
  const other = pair("other");
  const first = one.anna.say("hello");
  assert.throws(() => other.bert.sessions.olmDecrypt(other.bert.state, first.message, true), CryptoError);
  assert.throws(() => one.bert.sessions.olmDecrypt(one.bert.state, first.message, false), CryptoError);
  const { keys, message } = decodeFirstMessage(first.message);
  for (const name of ["identityKey", "baseKey", "oneTimeKey"] as const) {
    const relabelled = encodeFirstMessage(
      { ...keys, [name]: Uint8Array.from(keys[name], (byte) => byte ^ 1) },
      concatBytes(message.authenticated, message.mac),
    );
    assert.throws(() => one.bert.sessions.olmDecrypt(one.bert.state, relabelled, true), CryptoError);
  }
  assert.equal(one.bert.hear(first), "hello");
});

test("keys of small order start nothing, and a session whose other end named one cannot be spoken under", () => {
  const sessions = new Sessions(new SeededEntropy("small"));
  const account = sessions.olmNewFallback(sessions.olmAccountNew().state);
  for (const bad of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31)), new Uint8Array(31)]) {
    assert.throws(() => sessions.olmStart(account.state, bad, account.fallbackKey), CryptoError);
    assert.throws(() => sessions.olmStart(account.state, account.identityKey, bad), CryptoError);
  }
  const { bert } = pair();
  const { keys, sender, chains } = decodeSession(bert.state);
  const waiting = { rootKey: sender.rootKey, theirRatchetKey: new Uint8Array(32) };
  const hostile = encodeSession({ keys, chains, sender: waiting });
  for (let attempt = 0; attempt < 2; attempt += 1) {
    assert.throws(() => sessions.olmEncrypt(hostile, utf8("answer")), CryptoError);
  }
});

test("a stale state is read again, so the same index is used by it again: states are values", () => {
  const { anna, bert } = pair();
  const stale = anna.state;
  const first = anna.sessions.olmEncrypt(stale, utf8("first"));
  const second = anna.sessions.olmEncrypt(stale, utf8("second"));
  assert.deepEqual(first.state.length, second.state.length);
  bert.hear(first);
  assert.throws(() => bert.hear(second), CryptoError);
});
