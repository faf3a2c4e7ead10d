// Node 18 has WebCrypto, but not where browsers and later versions of Node have it; libsodium looks there.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto;
