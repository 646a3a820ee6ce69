// Tokens as the filter of a request.

import { empty } from "../wire/codec";
import { Filter, type Timestamp } from "../wire/messages";
import { singleQuoted } from "../text/escape";
import { fromMs, parseTime, resolve, type Zone } from "../text/time";
import { canNegate, CATEGORIES, kindOf, RESULTS, SEVERITIES, token, type Token } from "./tokens";

export interface Query {
  readonly filter: Filter;
  readonly start_time: Timestamp | undefined;
  readonly end_time: Timestamp | undefined;
}

/** A string of CEL. Hidden characters stand by their numbers, so that the expression shows what it compares. */
export function celString(text: string): string {
  return `'${singleQuoted(text)}'`;
}

/** The token that excludes what this one selects, be it by an expression; nothing where neither says it. */
export function negation(of: Token): Token | undefined {
  const kind = kindOf(of.key);
  if (kind !== undefined && canNegate(kind)) return { ...of, negated: true };
  const expression = opposite(of);
  return expression === "" ? undefined : token("cel", expression);
}

/** The expression that says the opposite of a token that the filter has no field to exclude by; empty where none does. */
function opposite({ key, value }: Token): string {
  if (key === "cel") return `!(${value})`;
  if (key === "severity") return `severity != ${celString(value)}`;
  if (key === "address") {
    const path = "event.connection.remote_address";
    const port = value.includes(":") ? `[${value}]:` : `${value}:`;
    return `${path} != ${celString(value)} && !${path}.startsWith(${celString(port)})`;
  }
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
  for (const of of tokens) {
    const kind = kindOf(of.key);
    if (kind === undefined) continue;
    if (of.negated && kind.notField === undefined) terms.push(opposite(of));
    else if (kind.field === "expression") terms.push(of.value);
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
