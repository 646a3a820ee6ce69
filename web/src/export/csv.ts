// Tables as the command line writes them (RFC 4180), with a guard against formulas: a
// spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`.

/** The columns, as those of `auditgate search -o csv`. */
export const COLUMNS = [
  "sequence",
  "event.time",
  "type",
  "severity",
  "result",
  "event.code",
  "event.user.name",
  "event.user.login",
  "event.session.id",
  "event.server.hostname",
  "event.connection.remote_address",
  "event.resource.name",
  "event.outcome.error",
  "event.id",
] as const;

const NUMBER = /^[+-]?\d+(?:\.\d+)?$/;

/** A cell that no spreadsheet takes for a formula. Numbers stay numbers. */
export function guarded(text: string): string {
  return /^[=+\-@\t\r]/.test(text) && !NUMBER.test(text) ? `'${text}` : text;
}

/** A line of the table, without its end. */
export function csvLine(cells: readonly string[]): string {
  return cells.map((cell) => quoted(guarded(cell))).join(",");
}

function quoted(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
