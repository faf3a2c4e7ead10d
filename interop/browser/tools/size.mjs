// Bundles the library as a page would load it and says how large it is, with and without libsodium. Fails beyond the bound.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const GZIP_BYTES_MAX = 150 * 1024;
const options = {
  bundle: true, minify: true, write: false, format: "esm", platform: "browser", target: "es2022",
  entryPoints: [fileURLToPath(new URL("../src/index.ts", import.meta.url))],
};

async function gzipBytes(external) {
  const result = await build({ ...options, external });
  return gzipSync(result.outputFiles[0].contents, { level: 9 }).length;
}

const without = await gzipBytes(["libsodium-wrappers"]);
const whole = await gzipBytes([]);
process.stdout.write(`library ${without} bytes gzipped without libsodium (at most ${GZIP_BYTES_MAX}), ${whole} with it\n`);
if (without > GZIP_BYTES_MAX) {
  process.stderr.write("the library is too large\n");
  process.exitCode = 1;
}
