// Builds the page: `node build/build.mjs TREE WORK OUT`. TREE is the repository, WORK a copy of
// its folder web/ with node_modules, OUT where index.html, app.js and the others go.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
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
/** Chunks that are loaded later. They share the modules of app.js, which exports what they use. */
const LAZY = { views: "src/views.ts", record: "src/drawer/record.ts" };

// First, which modules app.js has.
const plain = await build({ ...common, entryPoints: ["src/app.tsx"], outdir: out, write: false, metafile: true });
const shared = new Set(Object.keys(plain.metafile.inputs).map((path) => resolve(work, path)));

// Then, what the chunks import of them.
const used = new Map();
const fromApp = {
  name: "from-app",
  setup(plugin) {
    plugin.onResolve({ filter: /./ }, async (args) => {
      if (args.kind === "entry-point" || args.pluginData === "own") return undefined;
      const found = await plugin.resolve(args.path, { kind: args.kind, importer: args.importer, resolveDir: args.resolveDir, pluginData: "own" });
      if (found.errors.length > 0 || !shared.has(found.path)) return found;
      used.set(found.path, args.path.startsWith(".") ? undefined : args.path);
      return { path: "./app.js", external: true };
    });
  },
};
for (const [name, entry] of Object.entries(LAZY)) {
  await build({ ...common, entryPoints: { [name]: entry }, outdir: out, plugins: [fromApp] });
}
const imported = new Set(Object.keys(LAZY).flatMap((name) => namesOf(join(out, `${name}.js`), /import\s*\{([^}]*)\}\s*from\s*"\.\/app\.js"/g)));

// At last app.js, with just these exports.
const lines = [...used].map(([path, bare]) => {
  const from = bare ?? `./${relative(work, path)}`;
  return `export * from ${JSON.stringify(from)};`;
});
const entry = join(work, "app-with-exports.ts");
writeFileSync(entry, `import "./src/app.tsx";\n${lines.join("\n")}\n`);
const whole = await build({ ...common, entryPoints: [entry], outdir: out, write: false });
const exported = new Set(namesOfText(whole.outputFiles[0].text, /export\s*\{([^}]*)\}/g, true));
for (const name of imported) {
  if (!exported.has(name)) throw new Error(`two shared modules export ${name}: give one of them another name`);
}
// Exports that no chunk uses would only keep code alive.
writeFileSync(entry, `import "./src/app.tsx";\nexport { ${[...imported].sort().join(", ")} } from "./app-exports";\n`);
writeFileSync(join(work, "app-exports.ts"), `${lines.join("\n")}\n`);
await build({ ...common, entryPoints: { app: entry }, outdir: out });
await build({ ...common, entryPoints: { app: "src/app.css" }, outdir: out });
for (const name of ["index.html", "icon.svg"]) copyFileSync(join(work, "src", name), join(out, name));

/** The names in the clauses of a file that the pattern finds: before `as` for imports. */
function namesOf(path, pattern) {
  return namesOfText(readFileSync(path, "utf8"), pattern, false);
}

function namesOfText(text, pattern, outer) {
  return [...text.matchAll(pattern)].flatMap(([, list]) =>
    list
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "")
      .map((item) => item.split(/\s+as\s+/))
      .map(([inner, renamed]) => (outer ? (renamed ?? inner) : inner)),
  );
}
