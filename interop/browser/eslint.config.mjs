// The house rules that the compiler does not hold: layers, purity, sizes. The same as the Python side's in pyproject.toml.
import tseslint from "typescript-eslint";

const AMBIENT_GLOBALS = [
  "Date", "performance", "crypto", "fetch", "WebSocket", "RTCPeerConnection", "indexedDB", "localStorage",
  "sessionStorage", "navigator", "location", "window", "document", "self", "process", "console", "setTimeout",
  "setInterval", "setImmediate", "queueMicrotask", "requestAnimationFrame",
].map((name) => ({ name, message: "pure code is given time, randomness and the outside world" }));

/** What each layer must not import: everything above it, and Node's modules. */
const ABOVE = {
  wire: ["crypto", "olm", "core", "dht", "links", "storage", "api"],
  crypto: ["olm", "core", "dht", "links", "storage", "api"],
  olm: ["core", "dht", "links", "storage", "api"],
  core: ["dht", "links", "storage", "api"],
  dht: ["core", "links", "storage", "api"],
  links: ["core", "dht", "storage", "api"],
  storage: ["core", "dht", "links", "api"],
};

function layer([name, above]) {
  return {
    files: [`src/${name}/**/*.ts`],
    rules: {
      "no-restricted-imports": ["error", {
        patterns: [
          ...above.map((other) => ({ group: [`**/${other}/**`], message: `${name} must not know ${other}` })),
          { group: ["node:*"], message: "the library runs in browsers" },
        ],
      }],
    },
  };
}

export default tseslint.config(
  { ignores: ["build/", "dist/", "node_modules/"] },
  {
    files: ["src/**/*.ts", "test/**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname ?? new URL(".", import.meta.url).pathname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "complexity": ["error", 16],
      "eqeqeq": "error",
      "max-len": ["error", { code: 120, ignoreUrls: true, ignoreTemplateLiterals: true }],
      "max-lines": ["error", 600],
      "max-lines-per-function": ["error", 70],
      "max-params": ["error", 8],
      "no-console": "error",
      "prefer-const": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/naming-convention": ["error",
        { selector: "default", format: ["camelCase"], leadingUnderscore: "allow" },
        { selector: "variable", format: ["camelCase", "UPPER_CASE", "PascalCase"] },
        { selector: "import", format: null },
        { selector: "typeLike", format: ["PascalCase"] },
        { selector: "property", format: null },
        { selector: "objectLiteralMethod", format: null },
      ],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
    },
  },
  {
    // No module-level mutable state, and nothing ambient, inside.
    files: ["src/{wire,crypto,olm,core,dht}/**/*.ts", "src/*.ts"],
    rules: {
      "no-restricted-globals": ["error", ...AMBIENT_GLOBALS],
      "no-restricted-properties": ["error", { object: "Math", property: "random", message: "randomness is passed in" }],
      "no-restricted-syntax": ["error",
        { selector: "Program > VariableDeclaration[kind!='const']", message: "no module-level mutable state" },
        { selector: "Program > ExportNamedDeclaration > VariableDeclaration[kind!='const']", message: "no module-level mutable state" },
        { selector: "Program VariableDeclaration > VariableDeclarator > MemberExpression[object.name='sodium'][property.name=/^randombytes/]", message: "randomness is passed in" },
        { selector: "MemberExpression[property.name=/^(randombytes_|crypto_\\w+_keygen$)/]", message: "randomness is passed in" },
      ],
    },
  },
  ...Object.entries(ABOVE).map(layer),
  {
    files: ["test/**/*.ts"],
    rules: {
      "max-lines-per-function": "off",
      "@typescript-eslint/no-floating-promises": "off", // node:test's own registration calls
    },
  },
);
