// Lines of the command line, both ways: `auditgate search --user alice` pasted into the
// filter bar, and the filter bar as such a line or as a call of grpcurl.

import type { Filter, Timestamp } from "../wire/messages";
import { segments, singleQuoted } from "../text/escape";
import { rfc3339, toMs } from "../text/time";
import { check, parse, type Parsed, type Problem } from "./grammar";
import { celString, expressionOf, type Query } from "./query";
import { CATEGORIES, kindOf, nearest, RESULTS, SEVERITIES, token, TOKEN_KINDS, type Token } from "./tokens";

/** Flags of the commands that read which say nothing about the filter: with a value, and without. */
const OTHER_WITH_VALUE = ["limit", "n", "sort", "output", "o", "fields", "color", "server", "token-file", "cacert", "cert", "key", "lines", "from", "cursor-file", "by", "top", "bucket", "format"];
const OTHER_BARE = ["reverse", "follow", "f", "utc", "insecure", "no-follow"];
/** Flags for which the filter has no field, but expressions have a form. */
const BY_EXPRESSION = ["id", "before", "after", "around"];
/** How many records on each side `--around` shows here. */
const AROUND = 50n;
const COMMANDS = ["search", "tail", "count", "export"];
/** Options of the program that stand before or behind the command. */
const LINE = /^\s*(?:\$\s+)?(?:\S*\/)?auditgate\s/;

/** Whether this is a line of the command line. */
export function isCommandLine(text: string): boolean {
  return LINE.test(text);
}

/** Reads what the filter bar holds: words, or a pasted command line. */
export function parseBar(text: string): Parsed & { readonly ignored: string[] } {
  return isCommandLine(text) ? parseCommandLine(text) : { ...parse(text), ignored: [] };
}

/** Reads a line such as `auditgate search --type 'user.*' --failed`. `ignored` are flags that do not filter. */
export function parseCommandLine(line: string): Parsed & { readonly ignored: string[] } {
  const tokens: Token[] = [];
  const problems: Problem[] = [];
  const ignored: string[] = [];
  const ids: string[] = [];
  const wrong = (word: string, message: string) => problems.push({ word, message });
  let words: string[];
  try {
    words = shellWords(line.replace(/^\s*(?:\$\s+)?/, ""));
  } catch (error) {
    wrong(line, error instanceof Error ? error.message : String(error));
    return { tokens, problems, ignored };
  }
  let at = 1;
  const command = words[at] ?? "";
  if (COMMANDS.includes(command)) at += 1;
  else if (!command.startsWith("-")) wrong(command, `auditgate ${command} does not read records; paste a line of search, tail, count or export`);
  const add = (key: string, value: string, word: string, negated: boolean) => {
    const added = token(key, value, negated);
    const problem = check(added);
    if (problem === undefined) tokens.push(added);
    else problems.push({ ...problem, word });
  };
  while (at < words.length) {
    const word = words[at] ?? "";
    at += 1;
    const flag = /^--?([A-Za-z][A-Za-z-]*)(?:=([^]*))?$/.exec(word) ?? /^-([on])([^]+)$/.exec(word);
    if (flag === null) {
      wrong(word, `"${word}" belongs to no flag`);
      continue;
    }
    const name = flag[1] ?? "";
    if (name === "failed") {
      add("result", "failure", word, false);
      continue;
    }
    if (OTHER_BARE.includes(name)) {
      ignored.push(`--${name}`);
      continue;
    }
    const kind = TOKEN_KINDS.find((known) => known.flag === name || known.notFlag === name);
    if (kind === undefined && !OTHER_WITH_VALUE.includes(name) && !BY_EXPRESSION.includes(name)) {
      const near = nearest(name, TOKEN_KINDS.map((known) => known.flag));
      wrong(word, near === undefined ? `auditgate has no flag --${name} that filters` : `there is no flag --${name}; did you mean --${near}?`);
      continue;
    }
    let value = flag[2];
    if (value === undefined) {
      value = words[at];
      at += 1;
    }
    if (value === undefined) {
      wrong(word, `--${name} needs a value`);
      continue;
    }
    if (name === "id") {
      ids.push(value);
      continue;
    }
    if (kind === undefined && BY_EXPRESSION.includes(name)) {
      if (/^\d{1,20}$/.test(value)) add("cel", rangeExpression(name, BigInt(value)), word, false);
      else wrong(word, `--${name} takes a sequence, which is a number`);
      continue;
    }
    if (kind === undefined) {
      ignored.push(`--${name}`);
      continue;
    }
    const values = kind.commas === true ? value.split(",") : [value];
    for (const part of values) {
      add(kind.key, kind.names === undefined ? part : part.toLowerCase().replaceAll("-", "_"), word, name === kind.notFlag);
    }
  }
  if (ids.length > 0) add("cel", ids.length === 1 ? `event.id == ${celString(ids[0] ?? "")}` : `event.id in [${ids.map(celString).join(", ")}]`, "--id", false);
  return { tokens, problems, ignored };
}

function rangeExpression(flag: string, sequence: bigint): string {
  if (flag === "before") return `sequence < ${sequence}`;
  if (flag === "after") return `sequence > ${sequence}`;
  return `sequence >= ${sequence > AROUND ? sequence - AROUND : 1n} && sequence <= ${sequence + AROUND}`;
}

/** Splits a line as a shell does. Throws where a quote has no end, or where the line does more than run one program. */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  const until = (quote: string): string => {
    const end = line.indexOf(quote, at);
    if (end < 0) throw new Error(`the quote ${quote} has no end`);
    const inside = line.slice(at, end);
    at = end + 1;
    return inside;
  };
  while (at < line.length) {
    const letter = line.charAt(at);
    at += 1;
    if (letter === "\\") {
      const next = line.charAt(at);
      at += 1;
      if (next !== "\n") word = (word ?? "") + next;
    } else if (letter === "'") {
      word = (word ?? "") + until("'");
    } else if (letter === "$" && line.charAt(at) === "'") {
      at += 1;
      const [text, end] = ansiQuoted(line, at);
      word = (word ?? "") + text;
      at = end;
    } else if (letter === '"') {
      word ??= "";
      for (;;) {
        if (at >= line.length) throw new Error('the quote " has no end');
        const inside = line.charAt(at);
        at += 1;
        if (inside === '"') break;
        if (inside === "\\" && /["\\$`\n]/.test(line.charAt(at))) {
          if (line.charAt(at) !== "\n") word += line.charAt(at);
          at += 1;
        } else {
          word += inside;
        }
      }
    } else if (/\s/.test(letter)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (word === undefined && letter === "#") {
      break;
    } else if (/[|;&<>]/.test(letter)) {
      // What follows belongs to the shell, not to the filter.
      break;
    } else {
      word = (word ?? "") + letter;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

function ansiQuoted(line: string, from: number): [text: string, end: number] {
  let text = "";
  let at = from;
  while (at < line.length) {
    const letter = line.charAt(at);
    at += 1;
    if (letter === "'") return [text, at];
    if (letter !== "\\") {
      text += letter;
      continue;
    }
    const escape = /^(?:n|r|t|e|\\|'|"|x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8})/.exec(line.slice(at))?.[0];
    if (escape === undefined) {
      text += letter;
      continue;
    }
    at += escape.length;
    const named: Record<string, string> = { n: "\n", r: "\r", t: "\t", e: "\u001b" };
    text += /^[xuU]/.test(escape) ? String.fromCodePoint(parseInt(escape.slice(1), 16)) : (named[escape] ?? escape);
  }
  throw new Error("the quote ' has no end");
}

/** A word that a shell reads as this text. */
export function shellQuote(text: string): string {
  if (/^[A-Za-z0-9_.,:/@%+=-]+$/.test(text)) return text;
  // A hidden character in a line that somebody is to trust and run stands there by its number.
  if (segments(text).some((part) => part.escaped)) return `$'${singleQuoted(text)}'`;
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The line of `auditgate search` that finds what these tokens do. */
export function toCommandLine(tokens: readonly Token[], utc: boolean, server?: string): string {
  const parts = ["auditgate search"];
  const listed = new Map<string, string[]>();
  const flag = (name: string, value: string) => parts.push(`--${name}${value.startsWith("-") ? "=" : " "}${shellQuote(value)}`);
  for (const { key, value, negated } of tokens) {
    const kind = kindOf(key);
    if (kind === undefined || kind.field === "expression" || (negated && kind.notFlag === undefined)) continue;
    const name = negated ? (kind.notFlag ?? kind.flag) : kind.flag;
    if (kind.commas === true) listed.set(name, [...(listed.get(name) ?? []), value]);
    else flag(name, value);
  }
  for (const [name, values] of listed) {
    if (name === "result" && values.length === 1 && values[0] === "failure") parts.push("--failed");
    else flag(name, values.join(","));
  }
  const expression = expressionOf(tokens);
  if (expression !== "") flag("filter", expression);
  if (utc && tokens.some(({ key }) => key === "since" || key === "until")) parts.push("--utc");
  if (server !== undefined) parts.push(`--server ${shellQuote(server)}`);
  return parts.join(" ");
}

/** The filter as the JSON of protobuf. */
export function filterJson(filter: Filter): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  const names = (prefix: string, all: readonly string[], numbers: readonly number[]) => numbers.map((number) => `${prefix}_${all[number - 1] ?? "unspecified"}`.toUpperCase());
  for (const [name, value] of Object.entries(filter)) {
    if (value === "" || value === 0 || (Array.isArray(value) && value.length === 0) || (value instanceof Map && value.size === 0)) continue;
    if (name === "categories") json[name] = names("CATEGORY", CATEGORIES, filter.categories);
    else if (name === "results") json[name] = names("RESULT", RESULTS, filter.results);
    else if (name === "min_severity") json[name] = names("SEVERITY", SEVERITIES, [filter.min_severity])[0];
    else json[name] = value instanceof Map ? Object.fromEntries(value) : value;
  }
  return json;
}

/** The call of grpcurl that asks the same of `address`. */
export function toGrpcurl(query: Query, address: string, secure: boolean, authenticated: boolean): string {
  const time = (at: Timestamp | undefined) => (at === undefined ? undefined : rfc3339(toMs(at)));
  const request = { filter: filterJson(query.filter), start_time: time(query.start_time), end_time: time(query.end_time) };
  const token = authenticated ? `-H "authorization: Bearer $TOKEN" ` : "";
  return `grpcurl ${secure ? "" : "-plaintext "}${token}-d ${shellQuote(JSON.stringify(request))} ${shellQuote(address)} auditgate.v1.AuditService/Search`;
}
