// Builds the page: `node build/build.mjs TREE WORK OUT`. TREE is the repository, WORK a copy of
// its folder web/ with node_modules, OUT where index.html, app.js and the others go.
import { build } from "esbuild";
import { copyFileSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { generate } from "./generate.mjs";

const [tree, work, out] = process.argv.slice(2).map((path) => resolve(path));
if (out === undefined) throw new Error("usage: build.mjs TREE WORK OUT");
generate(tree, work);
mkdirSync(out, { recursive: true });
const common = {
  absWorkingDir: work,
  bundle: true,
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16.4"],
  minify: true,
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
  jsx: "automatic",
  jsxImportSource: "preact",
};
await build({
  ...common,
  entryPoints: { app: "src/app.tsx", record: "src/drawer/record.ts" },
  outdir: out,
  splitting: false,
  // app.js loads record.js when a record is opened; they share no module but the types.
  external: ["./record.js"],
});
await build({ ...common, entryPoints: { app: "src/app.css" }, outdir: out });
for (const name of ["index.html", "icon.svg"]) copyFileSync(join(work, "src", name), join(out, name));
