// Bundles each test file for Node and runs them all: `node build/test.mjs`, from a copy of web/
// with node_modules and generated/.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const names = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
rmSync("built-tests", { recursive: true, force: true });
await build({
  entryPoints: names.map((name) => join("test", name)),
  outdir: "built-tests",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
  sourcemap: "inline",
});
const built = names.map((name) => join("built-tests", name.replace(/\.ts$/, ".mjs")));
const { status } = spawnSync(process.execPath, ["--enable-source-maps", "--test-timeout=30000", "--test", ...built], { stdio: "inherit" });
process.exit(status ?? 1);
