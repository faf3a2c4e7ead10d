/** The library that first implemented Olm, as a third voice: it and this one read each other. Used by tests alone. */
import assert from "node:assert/strict";
import test from "node:test";

import * as olmModule from "@matrix-org/olm";

import { toHex, utf8 } from "../../src/bytes.js";
import { CryptoError } from "../../src/errors.js";
import { Sessions } from "../../src/olm/sessions.js";
import { SeededEntropy } from "./lab.js";

const olm = (olmModule as unknown as { default: typeof olmModule }).default;
await olm.init();

const DECODER = new TextDecoder();

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replace(/=+$/, "");
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}

class LibolmEnd {
  readonly session = new olm.Session();

  say(plaintext: string): { message: Uint8Array; isFirst: boolean } {
    const { type, body } = this.session.encrypt(plaintext) as unknown as { type: number; body: string };
    return { message: fromBase64(body), isFirst: type === 0 };
  }

  hear({ message, isFirst }: { message: Uint8Array; isFirst: boolean }): string {
    return this.session.decrypt(isFirst ? 0 : 1, toBase64(message));
  }
}

class OwnEnd {
  readonly sessions: Sessions;
  state: Uint8Array;

  constructor(sessions: Sessions, state: Uint8Array) {
    this.sessions = sessions;
    this.state = state;
  }

  say(plaintext: string): { message: Uint8Array; isFirst: boolean } {
    const sent = this.sessions.olmEncrypt(this.state, utf8(plaintext));
    this.state = sent.state;
    return sent;
  }

  hear({ message, isFirst }: { message: Uint8Array; isFirst: boolean }): string {
    const read = this.sessions.olmDecrypt(this.state, message, isFirst);
    this.state = read.session.state;
    return DECODER.decode(read.plaintext);
  }
}

interface Late {
  to: LibolmEnd | OwnEnd;
  sent: { message: Uint8Array; isFirst: boolean };
  text: string;
  turn: number;
}

const LATE_TURNS_MAX = 4; // later ones may belong to a chain that both ends have forgotten by then

/** A conversation with turns, losses and late messages. */
function converse(one: LibolmEnd | OwnEnd, other: LibolmEnd | OwnEnd, seed: string): void {
  const chance = new SeededEntropy(seed);
  const late: Late[] = [];
  for (let turn = 0; turn < 60; turn += 1) {
    const [from, to] = chance.below(2) === 0 ? [one, other] : [other, one];
    const text = `${turn}`.repeat(1 + chance.below(40));
    const sent = from.say(text);
    if (chance.below(3) === 0) {
      late.push({ to, sent, text, turn });
      continue;
    }
    assert.equal(to.hear(sent), text);
    assert.throws(() => to.hear(sent));
    const due = chance.below(2) === 0 ? late.pop() : undefined;
    if (due !== undefined && turn - due.turn <= LATE_TURNS_MAX) {
      assert.equal(due.to.hear(due.sent), due.text);
    }
  }
}

for (const seed of ["a", "b", "c", "d", "e", "f"]) {
  test(`a session that libolm starts, schedule ${seed}`, () => {
    const sessions = new Sessions(new SeededEntropy(`own ${seed}`));
    const own = sessions.olmNewFallback(sessions.olmAccountNew().state);
    const account = new olm.Account();
    account.create();
    const { curve25519 } = JSON.parse(account.identity_keys()) as { curve25519: string };
    const libolm = new LibolmEnd();
    libolm.session.create_outbound(account, toBase64(own.identityKey), toBase64(own.fallbackKey));
    const first = libolm.say("hello");
    const accepted = sessions.olmAccept(own.state, fromBase64(curve25519), first.message);
    assert.equal(DECODER.decode(accepted.plaintext), "hello");
    assert.equal(toBase64(accepted.session.sessionId), libolm.session.session_id());
    converse(libolm, new OwnEnd(sessions, accepted.session.state), seed);
    libolm.session.free();
    account.free();
  });

  test(`a session that libolm takes, schedule ${seed}`, () => {
    const sessions = new Sessions(new SeededEntropy(`own ${seed}`));
    const own = sessions.olmAccountNew();
    const account = new olm.Account();
    account.create();
    account.generate_fallback_key();
    const { curve25519 } = JSON.parse(account.identity_keys()) as { curve25519: string };
    const fallback = JSON.parse(account.unpublished_fallback_key()) as { curve25519: Record<string, string> };
    const [fallbackKey = ""] = Object.values(fallback.curve25519);
    const started = sessions.olmStart(own.state, fromBase64(curve25519), fromBase64(fallbackKey));
    const end = new OwnEnd(sessions, started.state);
    const first = end.say("hello");
    const libolm = new LibolmEnd();
    libolm.session.create_inbound_from(account, toBase64(own.identityKey), toBase64(first.message));
    assert.equal(libolm.hear(first), "hello");
    assert.equal(toBase64(started.sessionId), libolm.session.session_id());
    converse(end, libolm, seed);
    libolm.session.free();
    account.free();
  });
}

test("group sessions, both ways, with exports", () => {
  const sessions = new Sessions(new SeededEntropy("group"));
  const theirs = new olm.OutboundGroupSession();
  theirs.create();
  const into = sessions.megolmImport(fromBase64(theirs.session_key()));
  assert.equal(toBase64(into.sessionId), theirs.session_id());
  for (let index = 0; index < 300; index += 1) {
    const read = sessions.megolmDecrypt(into.state, fromBase64(theirs.encrypt(`message ${index}`)));
    assert.deepEqual([read.index, DECODER.decode(read.plaintext)], [index, `message ${index}`]);
  }
  const own = sessions.megolmNew();
  const reader = new olm.InboundGroupSession();
  reader.create(toBase64(own.sessionKey));
  let state = own.state;
  for (let index = 0; index < 300; index += 1) {
    const sent = sessions.megolmEncrypt(state, utf8(`message ${index}`));
    state = sent.state;
    const read = reader.decrypt(toBase64(sent.message));
    assert.deepEqual([read.message_index, read.plaintext], [index, `message ${index}`]);
  }
  const mine = sessions.megolmImport(own.sessionKey).state;
  for (const index of [0, 1, 255, 256, 65_536, 20_000_000]) {
    assert.equal(toHex(sessions.megolmExport(mine, index)), toHex(fromBase64(reader.export_session(index))));
  }
  theirs.free();
  reader.free();
});

test("short codes", () => {
  const sas = new Sessions(new SeededEntropy("codes")).sasNew();
  const theirs = new olm.SAS();
  theirs.set_their_key(toBase64(sas.publicKey));
  const established = sas.establish(fromBase64(theirs.get_pubkey()));
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = theirs.generate_bytes("info", 5);
  assert.deepEqual([...established.decimals("info")], [
    ((a << 5) | (b >> 3)) + 1000,
    (((b & 7) << 10) | (c << 2) | (d >> 6)) + 1000,
    (((d & 63) << 7) | (e >> 1)) + 1000,
  ]);
  const content = utf8("content");
  const mac = theirs.calculate_mac_fixed_base64(toHex(content), "info");
  assert.equal(toBase64(established.mac(content, "info")), mac);
  established.checkMac(content, "info", fromBase64(mac));
  assert.throws(() => { established.checkMac(content, "other", fromBase64(mac)); }, CryptoError);
  theirs.free();
});
