// Errors in the words of the page: of the token that was written, not of the field behind it.

import { TOKEN_KINDS } from "../filter/tokens";
import { explainCall, sentence, type Explanation } from "../transport/error";

/** `filter.types[2]` as `type`, `filter.exclude_types[0]` as `-type`. */
export function inOurWords(text: string): string {
  return text.replace(/\bfilter\.(\w+)(?:\[[^\]]*\])?/gi, (path, field: string) => {
    const excluded = TOKEN_KINDS.find((kind) => kind.notField === field);
    if (excluded !== undefined) return `-${excluded.key}`;
    return TOKEN_KINDS.find((kind) => kind.field === field)?.key ?? path;
  });
}

/** What went wrong, and what to do about it. */
export function explain(error: unknown): Explanation {
  const { title, advice } = explainCall(error);
  return { title: sentence(inOurWords(title)), advice };
}
