/** Whatever bytes come: each decoder takes what its encoder makes, or refuses with the one error. */
import assert from "node:assert/strict";
import test from "node:test";

import { concatBytes, utf8 } from "../../src/bytes.js";
import { CryptoError } from "../../src/errors.js";
import { InboundGroupSession } from "../../src/olm/groupSession.js";
import {
  decodeFirstMessage,
  decodeGroupMessage,
  decodeOlmMessage,
  encodeFirstMessage,
  encodeGroupMessage,
  encodeOlmMessage,
  MAC_BYTES,
} from "../../src/olm/messages.js";
import { Sessions } from "../../src/olm/sessions.js";
import { pair, SeededEntropy } from "./lab.js";

const ROUNDS = 4_000;
const ACCEPTED_SHARE_MIN = 0.05;

interface Target {
  name: string;
  seeds: Uint8Array[];
  /** Decode, and encode again. */
  repeat: (data: Uint8Array) => Uint8Array;
}

function olmAgain(data: Uint8Array): Uint8Array {
  const { ratchetKey, chainIndex, ciphertext, mac } = decodeOlmMessage(data);
  // An index beyond 2^53 is taken, as one that no message will ever have; it is no longer known which.
  return chainIndex === Number.MAX_SAFE_INTEGER
    ? data
    : concatBytes(encodeOlmMessage(ratchetKey, chainIndex, ciphertext), mac);
}

function targets(): Target[] {
  const sessions = new Sessions(new SeededEntropy("fuzz"));
  const { anna, bert } = pair();
  const first = [0, 100, 5_000].map((length) => anna.say("x".repeat(length)).message);
  anna.hear(bert.say("turn"));
  const later = [0, 100, 5_000].map((length) => anna.say("x".repeat(length)).message);
  const sender = sessions.megolmNew();
  const group = [0, 100, 5_000].map((length) => sessions.megolmEncrypt(sender.state, utf8("x".repeat(length))).message);
  const exported = sessions.megolmExport(sessions.megolmImport(sender.sessionKey).state, 300);
  return [
    { name: "later messages", seeds: later, repeat: olmAgain },
    {
      name: "first messages",
      seeds: first,
      repeat: (data) => {
        const { keys, message } = decodeFirstMessage(data);
        const inner = concatBytes(message.authenticated, message.mac);
        return encodeFirstMessage(keys, olmAgain(inner));
      },
    },
    {
      name: "group messages",
      seeds: group,
      repeat: (data) => {
        const { index, ciphertext, mac, signature } = decodeGroupMessage(data);
        assert.equal(mac.length, MAC_BYTES);
        return concatBytes(encodeGroupMessage(index, ciphertext), mac, signature);
      },
    },
    {
      name: "exported keys",
      seeds: [exported],
      repeat: (data) => {
        const session = InboundGroupSession.fromExport(data);
        return session.exportAt(session.firstIndex);
      },
    },
    {
      name: "session keys",
      seeds: [sender.sessionKey],
      repeat: (data) => {
        const { id, state } = InboundGroupSession.fromSessionKey(data);
        return concatBytes(data.subarray(0, 5), state.parts, id, data.subarray(165));
      },
    },
  ];
}

function mutate(data: Uint8Array, chance: SeededEntropy): Uint8Array {
  const place = chance.below(data.length + 1);
  switch (chance.below(7)) {
    case 0:
      return data.slice(0, place);
    case 1:
      return concatBytes(data.subarray(0, place), chance.randomBytes(1 + chance.below(4)), data.subarray(place));
    case 2:
      return concatBytes(data.subarray(0, place), data.subarray(Math.min(data.length, place + 1 + chance.below(4))));
    case 3:
      return chance.randomBytes(chance.below(300));
    case 4:
      return data.slice();
    default: {
      const spoilt = data.slice();
      const near = chance.below(2) === 0 ? chance.below(Math.min(data.length, 48)) : place % data.length;
      spoilt[near] = chance.below(256);
      return spoilt;
    }
  }
}

for (const { name, seeds, repeat } of targets()) {
  test(name, () => {
    const chance = new SeededEntropy(name);
    let accepted = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const data = mutate(seeds[chance.below(seeds.length)] ?? assert.fail(), chance);
      let again: Uint8Array;
      try {
        again = repeat(data);
      } catch (error) {
        assert.ok(error instanceof CryptoError, `${String(error)} for ${Buffer.from(data).toString("hex")}`);
        continue;
      }
      assert.deepEqual(again, data);
      accepted += 1;
    }
    assert.ok(accepted >= ROUNDS * ACCEPTED_SHARE_MIN && accepted < ROUNDS * 0.95, `${accepted} of ${ROUNDS}`);
  });
}
