// Places in the text of an expression.

/** Where in the text a line and column are, both from 1, columns in characters. */
export function offsetOf(text: string, line: number, column: number): number {
  const lines = text.split("\n");
  let offset = 0;
  for (let index = 0; index < Math.min(line - 1, lines.length); index++) offset += (lines[index] ?? "").length + 1;
  const letters = [...(lines[line - 1] ?? "")];
  return offset + letters.slice(0, column - 1).join("").length;
}

/** The path that is being written before the cursor, and where it begins. */
export function pathBefore(text: string, cursor: number): { below: string; part: string; from: number } | undefined {
  const before = text.slice(0, cursor);
  const inString = (before.match(/(?<!\\)'/g)?.length ?? 0) % 2 === 1 || (before.match(/(?<!\\)"/g)?.length ?? 0) % 2 === 1;
  if (inString) return undefined;
  const found = /(?:^|[^\w.)\]'"`])((?:\w+\.)*)(\w*)$/.exec(before);
  if (found === null) return undefined;
  const below = (found[1] ?? "").replace(/\.$/, "");
  const part = found[2] ?? "";
  if (below === "" && part === "") return undefined;
  return { below, part, from: cursor - part.length };
}
