// What a row says: who, where, and how it came out. As the command line has it.

import type { Row } from "../wire/row";
import { RESULTS, SEVERITIES, token, type Token } from "../filter/tokens";
import { withoutPort } from "../text/address";

export const COLUMNS = ["Time", "Severity", "Type", "Who", "Where", "Result", "What"] as const;

/** The severity in a word; one that this page does not know by its number. */
export function severityWord({ severity }: Row): string {
  return wordOf(severity, SEVERITIES);
}

export function resultWord({ result }: Row): string {
  return wordOf(result, RESULTS);
}

function wordOf(number: number, names: readonly string[]): string {
  return number === 0 ? "-" : (names[number - 1] ?? String(number));
}

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
      return row.severity === 0 ? undefined : token("severity", severityWord(row));
    case "Who":
      return row.user === "" ? undefined : token("user", row.user);
    case "Where": {
      if (row.server !== "" && where(row) === (row.hostname || row.server)) return token("server-id", row.server);
      return row.address === "" ? undefined : token("address", withoutPort(row.address));
    }
    case "Result":
      return row.result === 0 ? undefined : token("result", resultWord(row));
    default:
      return row.type === "" ? undefined : token("type", row.type);
  }
}
