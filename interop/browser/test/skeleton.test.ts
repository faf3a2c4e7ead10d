import assert from "node:assert/strict";
import test from "node:test";

import { sodium } from "../src/sodium.js";

test("libsodium is loaded and has what the protocol needs", () => {
  assert.equal(sodium.crypto_generichash(32, new Uint8Array(0), null).length, 32);
  assert.equal(sodium.crypto_kem_xwing_CIPHERTEXTBYTES, 1120);
  assert.equal(sodium.crypto_kem_xwing_PUBLICKEYBYTES, 1216);
});
