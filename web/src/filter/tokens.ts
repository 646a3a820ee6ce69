// The table of tokens: what the filter bar understands, which flag of the command line
// says the same, and which field of `Filter` it becomes. A test checks that each field has one.

import type { Filter } from "../wire/messages";

/** One condition: `user:alice`, `-type:session.data`. */
export interface Token {
  readonly key: string;
  readonly value: string;
  readonly negated: boolean;
}

export function token(key: string, value: string, negated = false): Token {
  return { key, value, negated };
}

export interface TokenKind {
  readonly key: string;
  /** The flag of `auditgate search`, with a value unless `bare`. */
  readonly flag: string;
  /** The flag for the negated token, where there is one; otherwise an expression says it. */
  readonly notFlag?: string;
  readonly field: keyof Filter | "start_time" | "end_time";
  readonly notField?: keyof Filter;
  /** Only one such token makes sense. */
  readonly single?: boolean;
  /** The command line splits its value at commas. */
  readonly commas?: boolean;
  /** The values that there are, in the order of their numbers from 1 on. */
  readonly names?: readonly string[];
  /** The field whose values complete this token: see TopValues. */
  readonly path?: string;
  /** The paths that an expression compares, to say the opposite. */
  readonly paths?: readonly string[];
  readonly placeholder: string;
  readonly help: string;
}

export const SEVERITIES = ["info", "warning", "error", "critical"] as const;
export const RESULTS = ["success", "failure", "pending"] as const;
export const CATEGORIES = [
  "access_request",
  "app",
  "auth",
  "cert",
  "connector",
  "db",
  "desktop",
  "exec",
  "file_transfer",
  "kube",
  "lock",
  "mfa",
  "port",
  "recovery",
  "role",
  "session",
  "ssm",
  "trusted_cluster",
  "user",
  "custom",
  "auditgate",
] as const;

export const TOKEN_KINDS: readonly TokenKind[] = [
  { key: "type", flag: "type", notFlag: "not-type", field: "types", notField: "exclude_types", commas: true, path: "type", placeholder: "TYPE", help: "Event type, exact or as a glob: user.login, session.*" },
  { key: "category", flag: "category", field: "categories", commas: true, names: CATEGORIES, path: "category", placeholder: "NAME", help: "Category of the event type: db, session" },
  { key: "severity", flag: "severity", field: "min_severity", single: true, names: SEVERITIES, path: "severity", placeholder: "LEVEL", help: "Minimum severity: info, warning, error, critical" },
  { key: "result", flag: "result", field: "results", commas: true, names: RESULTS, path: "result", paths: ["result"], placeholder: "RESULT", help: "Result of the action: success, failure, pending" },
  { key: "code", flag: "code", field: "codes", commas: true, path: "code", paths: ["event.code"], placeholder: "CODE", help: "Event code, such as T1000W" },
  { key: "user", flag: "user", field: "users", path: "user.name", paths: ["event.user.name", "event.user.impersonator"], placeholder: "NAME", help: "Name of a user: who acted, or the impersonator" },
  { key: "session", flag: "session", field: "session_ids", path: "session.id", paths: ["event.session.id"], placeholder: "ID", help: "Id of a session" },
  { key: "server-id", flag: "server-id", field: "server_ids", path: "server.id", paths: ["event.server.id"], placeholder: "ID", help: "Id of a server" },
  { key: "cluster", flag: "cluster", field: "cluster_names", path: "cluster_name", paths: ["event.cluster_name"], placeholder: "NAME", help: "Name of a cluster" },
  { key: "source", flag: "source", field: "sources", path: "source.name", paths: ["event.source.name"], placeholder: "NAME", help: "Name of the service that emitted the event" },
  { key: "address", flag: "address", field: "remote_addresses", commas: true, path: "connection.remote_address", placeholder: "ADDR", help: "Remote address or CIDR block: 10.0.0.0/8" },
  { key: "label", flag: "label", field: "labels", placeholder: "KEY=VALUE", help: "Label of the event; all of them must match" },
  { key: "text", flag: "text", field: "text", single: true, placeholder: "TEXT", help: "Text that occurs in any string of the event" },
  { key: "cel", flag: "filter", field: "expression", placeholder: "CEL", help: "Expression in CEL: event.user.name == 'alice'" },
  { key: "since", flag: "since", field: "start_time", single: true, placeholder: "TIME", help: "From this time on: 1h, 2d, a date, RFC 3339" },
  { key: "until", flag: "until", field: "end_time", single: true, placeholder: "TIME", help: "Before this time, in the same formats" },
];

export function kindOf(key: string): TokenKind | undefined {
  return TOKEN_KINDS.find((kind) => kind.key === key);
}

/** Whether `-key:value` says something. */
export function canNegate(kind: TokenKind): boolean {
  return kind.notField !== undefined || kind.paths !== undefined || kind.key === "label" || kind.key === "cel";
}

export function same(a: Token, b: Token): boolean {
  return a.key === b.key && a.value === b.value && a.negated === b.negated;
}

/** The tokens with this one more: in the place of another where only one makes sense. */
export function withToken(tokens: readonly Token[], added: Token): Token[] {
  const opposite = { ...added, negated: !added.negated };
  const kept = tokens.filter((other) => !same(other, added) && !same(other, opposite) && !(kindOf(added.key)?.single === true && other.key === added.key));
  return [...kept, added];
}

export function without(tokens: readonly Token[], removed: Token): Token[] {
  return tokens.filter((other) => !same(other, removed));
}

/** The name that is nearest to a misspelt one, if it is near. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let bound = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const steps = distance(word, name, bound);
    if (steps < bound) {
      bound = steps;
      best = name;
    }
  }
  return best;
}

/** How many letters must change, be added, be dropped or swap places; at least `bound` if it is not less. */
function distance(a: string, b: string, bound: number): number {
  if (Math.abs(a.length - b.length) >= bound) return bound;
  const rows: number[][] = [];
  for (let i = 0; i <= a.length; i++) {
    const row: number[] = [i];
    for (let j = 1; j <= b.length; j++) {
      const above = rows[i - 1];
      if (above === undefined) {
        row.push(j);
        continue;
      }
      const changed = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(changed, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      }
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? bound;
}
