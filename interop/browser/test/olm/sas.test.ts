/** Short codes. */
import assert from "node:assert/strict";
import test from "node:test";

import { utf8 } from "../../src/bytes.js";
import { CryptoError } from "../../src/errors.js";
import { Sas } from "../../src/olm/sas.js";
import { SeededEntropy } from "./lab.js";

test("two ends show the same numbers for one context, others for another, and check each other's MACs", () => {
  const one = new Sas(new SeededEntropy("one"));
  const other = new Sas(new SeededEntropy("other"));
  const [here, there] = [one.establish(other.publicKey), other.establish(one.publicKey)];
  assert.deepEqual(here.decimals("context"), there.decimals("context"));
  assert.notDeepEqual(here.decimals("context"), here.decimals("another"));
  for (const number of here.decimals("context")) {
    assert.ok(number >= 1_000 && number <= 9_191);
  }
  const mac = here.mac(utf8("content"), "context");
  there.checkMac(utf8("content"), "context", mac);
  assert.throws(() => { there.checkMac(utf8("other"), "context", mac); }, CryptoError);
  assert.throws(() => { there.checkMac(utf8("content"), "another", mac); }, CryptoError);
  assert.throws(() => { there.checkMac(utf8("content"), "context", mac.slice(1)); }, CryptoError);
});

test("an end serves once, and not with a key that is none", () => {
  const spent = new Sas(new SeededEntropy("spent"));
  spent.establish(new Sas(new SeededEntropy("other")).publicKey);
  assert.throws(() => spent.establish(spent.publicKey), CryptoError);
  for (const bad of [new Uint8Array(32), new Uint8Array(31), new Uint8Array(0)]) {
    assert.throws(() => new Sas(new SeededEntropy("bad")).establish(bad), CryptoError);
  }
});
