// Rules for the sources of the page, and whether the committed build is that of the sources:
// `node build/lint.mjs WEB BUILT`.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** What puts text on the page as markup, runs text as code, or leaves the page. */
const FORBIDDEN = [
  [/\b(?:inner|outer)HTML\b|\binsertAdjacentHTML\b|\bdangerouslySetInnerHTML\b|\bsrcdoc\b|\bDOMParser\b|\bcreateContextualFragment\b|\bdocument\.write/, "markup from text: use text nodes, by way of <Safe>"],
  [/\beval\s*\(|\bnew Function\b|\bsetTimeout\(\s*["'`]/, "text run as code"],
  [/\bwindow\.open\b|<a\b[^>]*href=\{(?!"#")/, "a link made from data"],
  [/https?:\/\/(?!www\.w3\.org\/2000\/svg|c2sp\.org)/, "an address of another host"],
  [/@ts-ignore|@ts-nocheck|:\s*any\b|\bas any\b/, "a check that is switched off"],
];
const LINES_MAX = 500;

const [web, built] = process.argv.slice(2);
const objections = [];
for (const file of files(join(web, "src"))) {
  const text = readFileSync(file, "utf8");
  const name = relative(web, file);
  text.split("\n").forEach((line, index) => {
    const code = line.replace(/^\s*(?:\/\/|\*|\/\*\*).*$/, "");
    for (const [pattern, why] of FORBIDDEN) {
      if (pattern.test(code) && !name.endsWith(".svg")) objections.push(`${name}:${index + 1}: ${why}`);
    }
  });
  const lines = text.split("\n").length;
  if (/\.tsx?$/.test(name) && lines > LINES_MAX) objections.push(`${name}: ${lines} lines, limit ${LINES_MAX}`);
}
const committed = join(web, "dist");
const names = new Set([...readdirSync(committed), ...readdirSync(built)]);
for (const name of names) {
  let same = false;
  try {
    same = readFileSync(join(committed, name)).equals(readFileSync(join(built, name)));
  } catch {
    // It is only in one of them.
  }
  if (!same) objections.push(`web/dist/${name} is not what the sources build: run make web, and commit it`);
}
for (const objection of objections) console.error(objection);
process.exit(objections.length === 0 ? 0 : 1);

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)]));
}
