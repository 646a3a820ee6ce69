// What a row says: who, where, and how it came out. As the command line has it.

import type { Row } from "../wire/row";
import { celString } from "../filter/query";
import { token, type Token } from "../filter/tokens";
import { withoutPort } from "../text/address";

export const SEVERITY_WORDS = ["-", "info", "warning", "error", "critical"] as const;
export const RESULT_WORDS = ["-", "success", "failure", "pending"] as const;

export const COLUMNS = ["Time", "Severity", "Type", "Who", "Where", "Result", "What"] as const;

export function who(row: Row): string {
  const name = row.user || row.login;
  return row.impersonator === "" ? name : `${name} (by ${row.impersonator})`;
}

/** Of what somebody does who comes from elsewhere, where from tells more than which host it was. */
export function where(row: Row): string {
  const host = row.hostname || row.server;
  const fromElsewhere = row.type === "auth" || row.type.startsWith("user.");
  return fromElsewhere ? withoutPort(row.address) || host : host || withoutPort(row.address);
}

/** Event time and acceptance differ by more than a second. */
export function isSkewed(row: Row): boolean {
  return row.skewed || Math.abs(row.accepted - row.time) > 1_000;
}

/** The token that selects what stands in a column of this row. */
export function tokenOfColumn(row: Row, column: number): Token | undefined {
  switch (COLUMNS[column]) {
    case "Severity":
      return row.severity === 0 ? undefined : token("severity", SEVERITY_WORDS[row.severity] ?? "");
    case "Who":
      return row.user === "" ? undefined : token("user", row.user);
    case "Where": {
      if (row.server !== "" && where(row) === (row.hostname || row.server)) return token("server-id", row.server);
      return row.address === "" ? undefined : token("address", withoutPort(row.address));
    }
    case "Result":
      return row.result === 0 ? undefined : token("result", RESULT_WORDS[row.result] ?? "");
    default:
      return row.type === "" ? undefined : token("type", row.type);
  }
}

/** A token as its opposite; of what cannot be excluded, an expression. */
export function negation(of: Token): Token | undefined {
  if (of.key === "severity") return token("cel", `severity != '${of.value}'`);
  if (of.key === "address") {
    const path = "event.connection.remote_address";
    const port = of.value.includes(":") ? `[${of.value}]:` : `${of.value}:`;
    return token("cel", `${path} != ${celString(of.value)} && !${path}.startsWith(${celString(port)})`);
  }
  if (of.key === "cel") return token("cel", `!(${of.value})`);
  if (of.key === "category" || of.key === "since" || of.key === "until" || of.key === "text") return undefined;
  return { ...of, negated: true };
}
