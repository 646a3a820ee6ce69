// Tokens as the filter of a request.

import { empty } from "../wire/codec";
import { Filter, type Timestamp } from "../wire/messages";
import { fromMs, parseTime, resolve, type Zone } from "../text/time";
import { CATEGORIES, kindOf, RESULTS, SEVERITIES, type Token } from "./tokens";

export interface Query {
  readonly filter: Filter;
  readonly start_time: Timestamp | undefined;
  readonly end_time: Timestamp | undefined;
}

/** A string of CEL. */
export function celString(text: string): string {
  let quoted = "";
  for (const letter of text) {
    const number = letter.codePointAt(0) ?? 0;
    if (letter === "'" || letter === "\\") quoted += `\\${letter}`;
    else if (letter === "\n") quoted += "\\n";
    else if (letter === "\r") quoted += "\\r";
    else if (letter === "\t") quoted += "\\t";
    else if (number < 0x20 || number === 0x7f) quoted += `\\x${number.toString(16).padStart(2, "0")}`;
    else quoted += letter;
  }
  return `'${quoted}'`;
}

/** The expression that says the opposite of a token that the filter has no field to exclude by. */
function opposite({ key, value }: Token): string {
  if (key === "cel") return `!(${value})`;
  if (key === "label") {
    const split = value.indexOf("=");
    const name = celString(value.slice(0, split));
    return `!(${name} in event.labels && event.labels[${name}] == ${celString(value.slice(split + 1))})`;
  }
  const paths = kindOf(key)?.paths ?? [];
  return paths.map((path) => `${path} != ${celString(value)}`).join(" && ");
}

/** All expressions as one. */
export function conjunction(terms: readonly string[]): string {
  if (terms.length < 2) return terms[0] ?? "";
  return terms.map((term) => (/[|?]/.test(term) ? `(${term})` : term)).join(" && ");
}

/** The conditions in CEL: of `cel:` tokens, and of those that an expression negates. */
export function expressionOf(tokens: readonly Token[]): string {
  const terms: string[] = [];
  for (const token of tokens) {
    const kind = kindOf(token.key);
    if (kind === undefined) continue;
    if (token.negated && kind.notField === undefined) terms.push(opposite(token));
    else if (kind.field === "expression") terms.push(token.value);
  }
  return conjunction(terms);
}

/** What to ask for, where it is `now` in `zone`. Tokens that `check` refuses are left out. */
export function queryOf(tokens: readonly Token[], now: number, zone: Zone): Query {
  const filter = empty(Filter);
  let start: number | undefined;
  let end: number | undefined;
  for (const { key, value, negated } of tokens) {
    const kind = kindOf(key);
    if (kind === undefined) continue;
    if (negated) {
      if (kind.notField === "exclude_types") filter.exclude_types.push(value);
      continue;
    }
    const time = kind.field === "start_time" || kind.field === "end_time" ? parseTime(value) : undefined;
    switch (kind.field) {
      case "start_time":
        if (time !== undefined) start = resolve(time, now, zone);
        break;
      case "end_time":
        if (time !== undefined) end = resolve(time, now, zone);
        break;
      case "categories":
        filter.categories.push(1 + CATEGORIES.findIndex((name) => name === value));
        break;
      case "results":
        filter.results.push(1 + RESULTS.findIndex((name) => name === value));
        break;
      case "min_severity":
        filter.min_severity = 1 + SEVERITIES.findIndex((name) => name === value);
        break;
      case "labels": {
        const split = value.indexOf("=");
        filter.labels.set(value.slice(0, split), value.slice(split + 1));
        break;
      }
      case "text":
        filter.text = value;
        break;
      case "expression":
        break;
      default:
        filter[kind.field].push(value);
    }
  }
  filter.expression = expressionOf(tokens);
  return {
    filter,
    start_time: start === undefined ? undefined : fromMs(start),
    end_time: end === undefined ? undefined : fromMs(end),
  };
}
