// What may follow in the filter bar: names of tokens, event types, values.

import type { EventType } from "../wire/messages";
import { quote } from "./grammar";
import { canNegate, kindOf, TOKEN_KINDS } from "./tokens";

export interface Suggestion {
  /** What the word becomes. */
  readonly text: string;
  readonly label: string;
  readonly help: string;
  /** The word is whole: it can become a token at once. */
  readonly whole: boolean;
}

const SUGGESTIONS_MAX = 12;

/** The word in which the cursor is: `-type:us`. */
export interface Word {
  readonly negated: boolean;
  readonly key: string | undefined;
  readonly value: string;
}

export function wordOf(text: string): Word {
  const negated = text.startsWith("-");
  const rest = negated ? text.slice(1) : text;
  const colon = rest.indexOf(":");
  if (colon < 0) return { negated, key: undefined, value: rest };
  return { negated, key: rest.slice(0, colon), value: rest.slice(colon + 1).replace(/^"/, "") };
}

/** The field whose values are asked for while this word is written. */
export function pathOf(word: Word): string | undefined {
  const kind = word.key === undefined ? undefined : kindOf(word.key);
  if (kind === undefined || kind.names !== undefined || kind.key === "type") return undefined;
  return kind.path;
}

/** `values` are those that records have at that path. */
export function suggest(word: Word, catalog: readonly EventType[], values: readonly string[]): Suggestion[] {
  const sign = word.negated ? "-" : "";
  const kind = word.key === undefined ? undefined : kindOf(word.key);
  if (word.key !== undefined && kind === undefined) return [];
  if (kind === undefined) {
    const wanted = word.value.toLowerCase();
    const keys = TOKEN_KINDS.filter((known) => known.key.startsWith(wanted) && (!word.negated || canNegate(known))).map((known) => ({
      text: `${sign}${known.key}:`,
      label: `${sign}${known.key}:`,
      help: known.help,
      whole: false,
    }));
    const failed = !word.negated && "failed".startsWith(wanted) ? [{ text: "failed", label: "failed", help: "Only failures", whole: true }] : [];
    const types = wanted === "" ? [] : typesLike(wanted, sign, catalog);
    return [...failed, ...keys, ...types].slice(0, SUGGESTIONS_MAX);
  }
  if (kind.key === "type") return typesLike(word.value.toLowerCase(), sign, catalog).slice(0, SUGGESTIONS_MAX);
  if (kind.names !== undefined) {
    return kind.names.filter((name) => name.startsWith(word.value.toLowerCase())).map((name) => ({ text: `${sign}${kind.key}:${name}`, label: name, help: "", whole: true }));
  }
  if (kind.key === "since" || kind.key === "until") {
    return [
      ["15m", "15 minutes ago"],
      ["1h", "an hour ago"],
      ["24h", "a day ago"],
      ["7d", "a week ago"],
    ]
      .filter(([text]) => (text ?? "").startsWith(word.value))
      .map(([text = "", help = ""]) => ({ text: `${kind.key}:${text}`, label: text, help, whole: true }));
  }
  const wanted = word.value.toLowerCase();
  const begin = values.filter((value) => value.toLowerCase().startsWith(wanted));
  const within = wanted === "" ? [] : values.filter((value) => !value.toLowerCase().startsWith(wanted) && value.toLowerCase().includes(wanted));
  return [...begin, ...within].slice(0, SUGGESTIONS_MAX).map((value) => ({ text: `${sign}${kind.key}:${quote(value)}`, label: value, help: "", whole: true }));
}

function typesLike(wanted: string, sign: string, catalog: readonly EventType[]): Suggestion[] {
  const begin = catalog.filter(({ type }) => type.startsWith(wanted));
  const within = wanted === "" ? [] : catalog.filter(({ type }) => !type.startsWith(wanted) && type.includes(wanted));
  // A family of several types: `session.*`.
  const families = new Map<string, number>();
  for (const { type } of begin) {
    const dot = type.indexOf(".", wanted.length === 0 ? 0 : Math.max(0, wanted.length - 1));
    if (dot > 0) families.set(`${type.slice(0, dot)}.*`, (families.get(`${type.slice(0, dot)}.*`) ?? 0) + 1);
  }
  const globs = [...families].filter(([, count]) => count > 1).map(([glob, count]) => ({ text: `${sign}type:${glob}`, label: glob, help: `${count} types`, whole: true }));
  return [...globs, ...[...begin, ...within].map(({ type, description }) => ({ text: `${sign}type:${type}`, label: type, help: description, whole: true }))];
}
