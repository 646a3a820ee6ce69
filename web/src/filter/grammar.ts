// The text of the filter bar: words like `user:alice`, `-type:session.*`, `failed`, and
// text to look for. A pasted line of the command line is understood, too: see shell.ts.

import { kindOf, nearest, token, canNegate, TOKEN_KINDS, type Token } from "./tokens";
import { parseTime } from "../text/time";

/** What is wrong with a part of the text. */
export interface Problem {
  readonly message: string;
  /** What the part should be, if that can be guessed. */
  readonly fix?: string;
  /** The word that is wrong. */
  readonly word: string;
}

export interface Parsed {
  readonly tokens: Token[];
  readonly problems: Problem[];
}

interface Word {
  /** As it was typed. */
  readonly raw: string;
  /** Without quotes. */
  readonly text: string;
  /** Where in `text` the first colon outside of quotes is; -1 without one. */
  readonly colon: number;
  /** It begins with a quote, so it is text. */
  readonly quoted: boolean;
}

const KEY = /^-?[a-z][a-z-]*$/;
/** Keys of the table, and those that people try. */
const ALIASES: Readonly<Record<string, string>> = {
  server: "server-id",
  filter: "cel",
  from: "since",
  to: "until",
  ip: "address",
  host: "server-id",
};

/** Reads the text of the filter bar. */
export function parse(text: string): Parsed {
  const tokens: Token[] = [];
  const problems: Problem[] = [];
  let loose: string[] = [];
  const flush = () => {
    if (loose.length > 0) add(token("text", loose.join(" ")), loose.join(" "));
    loose = [];
  };
  const add = (added: Token, word: string) => {
    const problem = check(added);
    if (problem !== undefined) {
      problems.push({ ...problem, word });
      return;
    }
    const kind = kindOf(added.key);
    if (kind?.single === true && tokens.some((other) => other.key === added.key)) {
      problems.push({ message: `${added.key} can be given once; remove one of them`, word });
      return;
    }
    if (!tokens.some((other) => other.key === added.key && other.value === added.value && other.negated === added.negated)) tokens.push(added);
  };
  for (const word of words(text)) {
    if (!word.quoted && (word.text === "failed" || word.text === "-failed")) {
      flush();
      add(token("result", "failure", word.text === "-failed"), word.raw);
      continue;
    }
    const key = word.colon > 0 && !word.quoted ? word.text.slice(0, word.colon) : "";
    if (!KEY.test(key)) {
      loose.push(word.text);
      continue;
    }
    const negated = key.startsWith("-");
    const name = negated ? key.slice(1) : key;
    const kind = kindOf(name === "not-type" ? "type" : (ALIASES[name] ?? name));
    const value = word.text.slice(word.colon + 1);
    if (kind === undefined) {
      const near = nearest(name, TOKEN_KINDS.map((known) => known.key));
      if (near === undefined && value.startsWith("//")) {
        loose.push(word.text);
        continue;
      }
      flush();
      problems.push({
        message: near === undefined ? `there is no filter "${name}"; to search for this text, put it in quotes` : `there is no filter "${name}"; did you mean ${near}?`,
        fix: near === undefined ? quote(word.text, true) : `${negated ? "-" : ""}${near}:${quote(value)}`,
        word: word.raw,
      });
      continue;
    }
    flush();
    const not = negated !== (name === "not-type");
    if (value === "") {
      problems.push({ message: `${key} needs a value: ${key}:${kind.placeholder}`, word: word.raw });
      continue;
    }
    const values = kind.commas === true ? value.split(",").filter((part) => part !== "") : [value];
    for (const part of values) add(token(kind.key, kind.names === undefined ? part : part.toLowerCase().replaceAll("-", "_"), not), word.raw);
  }
  flush();
  return { tokens, problems };
}

/** What is wrong with a token, as far as the page can tell. */
export function check({ key, value, negated }: Token): Omit<Problem, "word"> | undefined {
  const kind = kindOf(key);
  if (kind === undefined) return { message: `there is no filter "${key}"` };
  if (negated && !canNegate(kind)) return { message: `${key} cannot be excluded; use an expression: cel:"…"` };
  if (kind.names !== undefined && !kind.names.includes(value)) {
    const near = nearest(value, kind.names);
    const there = `there are: ${kind.names.join(", ")}`;
    return near === undefined
      ? { message: `${key} has no value "${value}"; ${there}` }
      : { message: `${key} has no value "${value}"; did you mean ${near}?`, fix: `${key}:${near}` };
  }
  if ((key === "since" || key === "until") && parseTime(value) === undefined) {
    return { message: `"${value}" is not a time: write how long ago (90s, 1h30m, 2d), a date (2026-03-01, "2026-03-01 12:00") or RFC 3339` };
  }
  if (key === "label" && !/^[^=]+=/.test(value)) return { message: `"${value}" is not of the form KEY=VALUE` };
  return undefined;
}

/** The text of a token in the filter bar. */
export function show({ key, value, negated }: Token): string {
  if (key === "result" && value === "failure" && !negated) return "failed";
  return `${negated ? "-" : ""}${key}:${quote(value)}`;
}

/** The text of the filter bar that `parse` reads as these tokens. */
export function format(tokens: readonly Token[]): string {
  return tokens.map(show).join(" ");
}

export function quote(value: string, always = false): string {
  if (!always && value !== "" && !/[\s"]/.test(value)) return value;
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** Splits at blanks outside of double quotes, in which a backslash stands before a quote and before itself. */
function words(text: string): Word[] {
  const found: Word[] = [];
  const letters = [...text];
  let at = 0;
  while (at < letters.length) {
    if (/\s/.test(letters[at] ?? "")) {
      at += 1;
      continue;
    }
    const from = at;
    let plain = "";
    let colon = -1;
    let inside = false;
    while (at < letters.length) {
      const letter = letters[at] ?? "";
      if (letter === '"' && (inside || plain === "" || plain.length === colon + 1)) {
        inside = !inside;
      } else if (inside && letter === "\\" && /["\\]/.test(letters[at + 1] ?? "")) {
        at += 1;
        plain += letters[at] ?? "";
      } else if (!inside && /\s/.test(letter)) {
        break;
      } else {
        if (letter === ":" && !inside && colon < 0) colon = plain.length;
        plain += letter;
      }
      at += 1;
    }
    found.push({ raw: letters.slice(from, at).join(""), text: plain, colon, quoted: letters[from] === '"' });
  }
  return found;
}
