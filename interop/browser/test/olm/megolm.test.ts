/** Group sessions. */
import assert from "node:assert/strict";
import test from "node:test";

import { concatBytes, u32, utf8 } from "../../src/bytes.js";
import { CryptoError, InvalidArgument } from "../../src/errors.js";
import { GroupRatchet } from "../../src/olm/groupRatchet.js";
import { OutboundGroupSession } from "../../src/olm/groupSession.js";
import { hmacSha256 } from "../../src/olm/primitives.js";
import { Sessions } from "../../src/olm/sessions.js";
import { SeededEntropy } from "./lab.js";

function shared(): { sessions: Sessions; out: Uint8Array; into: Uint8Array } {
  const sessions = new Sessions(new SeededEntropy("megolm"));
  const sender = sessions.megolmNew();
  return { sessions, out: sender.state, into: sessions.megolmImport(sender.sessionKey).state };
}

function say(sessions: Sessions, state: Uint8Array, count: number): { messages: Uint8Array[]; state: Uint8Array } {
  const messages: Uint8Array[] = [];
  let next = state;
  for (let index = 0; index < count; index += 1) {
    const encrypted = sessions.megolmEncrypt(next, utf8(`message ${index}`));
    assert.equal(encrypted.index, index);
    messages.push(encrypted.message);
    next = encrypted.state;
  }
  return { messages, state: next };
}

test("a recipient reads from its first index on, in any order, as often as it likes", () => {
  const { sessions, out, into } = shared();
  const { messages, state } = say(sessions, out, 5);
  for (const index of [4, 0, 2, 2, 1, 3]) {
    const read = sessions.megolmDecrypt(into, messages[index] ?? assert.fail());
    assert.equal(read.index, index);
    assert.equal(new TextDecoder().decode(read.plaintext), `message ${index}`);
  }
  const late = sessions.megolmImport(sessions.megolmOutbound(state).sessionKey);
  assert.equal(late.firstIndex, 5);
  assert.throws(() => sessions.megolmDecrypt(late.state, messages[4] ?? assert.fail()), CryptoError);
  assert.equal(sessions.megolmDecrypt(late.state, sessions.megolmEncrypt(state, utf8("x")).message).index, 5);
});

test("an export reads from its index on", () => {
  const { sessions, out, into } = shared();
  const { messages } = say(sessions, out, 3);
  const exported = sessions.megolmExport(into, 2);
  assert.equal(exported.length, 165);
  const restored = sessions.megolmRestore(exported);
  assert.equal(restored.firstIndex, 2);
  assert.equal(sessions.megolmDecrypt(restored.state, messages[2] ?? assert.fail()).index, 2);
  assert.throws(() => sessions.megolmDecrypt(restored.state, messages[1] ?? assert.fail()), CryptoError);
  assert.throws(() => sessions.megolmExport(restored.state, 1), CryptoError);
  assert.throws(() => sessions.megolmExport(restored.state, 2 ** 32), InvalidArgument);
  assert.throws(() => sessions.megolmImport(exported), CryptoError);
  for (let place = 0; place < exported.length; place += 1) {
    assert.throws(() => sessions.megolmRestore(exported.slice(0, place)), CryptoError);
  }
});

test("every byte of a message and of a session key counts", () => {
  const { sessions, out, into } = shared();
  const [message = new Uint8Array(0)] = say(sessions, out, 1).messages;
  for (let place = 0; place < message.length; place += 1) {
    const spoilt = message.slice();
    spoilt[place] = (spoilt[place] ?? 0) ^ 0x01;
    assert.throws(() => sessions.megolmDecrypt(into, spoilt), CryptoError, `byte ${place}`);
    assert.throws(() => sessions.megolmDecrypt(into, message.slice(0, place)), CryptoError);
  }
  const key = sessions.megolmOutbound(out).sessionKey;
  for (let place = 0; place < key.length; place += 1) {
    const spoilt = key.slice();
    spoilt[place] = (spoilt[place] ?? 0) ^ 0x01;
    assert.throws(() => sessions.megolmImport(spoilt), CryptoError, `byte ${place}`);
  }
});

test("a message of another session is refused", () => {
  const { sessions, into } = shared();
  const other = sessions.megolmEncrypt(sessions.megolmNew().state, utf8("hello"));
  assert.throws(() => sessions.megolmDecrypt(into, other.message), CryptoError);
});

/** The ratchet as the specification defines it, index by index. */
function stepwise(start: Uint8Array, index: number): Uint8Array {
  const next = start.slice();
  const part = [0, 1, 2].find((place) => index % 256 ** (3 - place) === 0) ?? 3;
  const from = start.slice(part * 32, part * 32 + 32);
  for (let place = part; place < 4; place += 1) {
    next.set(hmacSha256(from, Uint8Array.of(place)), place * 32);
  }
  return next;
}

test("winding far ends where single steps end, across each of the parts' borders", () => {
  const start = new SeededEntropy("ratchet").randomBytes(128);
  for (const [from, steps] of [[0, 700], [65_500, 300], [0xff_ff00, 600], [0xffff_fe00, 511]] as const) {
    let parts: Uint8Array = start.slice();
    const near = new GroupRatchet(start.slice(), from);
    for (let index = from + 1; index <= from + steps; index += 1) {
      parts = stepwise(parts, index);
      near.advanceTo(index);
      assert.deepEqual(near.parts, parts, `index ${index}`);
    }
    const far = new GroupRatchet(start.slice(), from);
    far.advanceTo(from + steps);
    assert.deepEqual(far.parts, parts);
    assert.equal(far.index, from + steps);
  }
  assert.throws(() => { new GroupRatchet(start.slice(), 5).advanceTo(4); }, InvalidArgument);
});

test("the last index is used once, and then the session is spent", () => {
  const parts = new SeededEntropy("last").randomBytes(128);
  const session = new OutboundGroupSession({ seed: new Uint8Array(32), parts, nextIndex: 0xffff_ffff });
  const sessions = new Sessions(new SeededEntropy("last"));
  const into = sessions.megolmImport(session.sessionKey()).state;
  const { message, index } = session.encrypt(utf8("last"));
  assert.equal(index, 0xffff_ffff);
  assert.equal(sessions.megolmDecrypt(into, message).index, 0xffff_ffff);
  assert.throws(() => session.encrypt(utf8("more")), InvalidArgument);
  assert.equal(session.nextIndex, 2 ** 32);
});

test("an index of more than 32 bits is refused before anything is computed", () => {
  const { sessions, into } = shared();
  const long = concatBytes(Uint8Array.of(3, 8, 0x80, 0x80, 0x80, 0x80, 0x10, 0x12, 0), new Uint8Array(72));
  assert.throws(() => sessions.megolmDecrypt(into, long), CryptoError);
  assert.equal(u32(5).length, 4);
});
