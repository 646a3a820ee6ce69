// The only way in which text of events gets onto the page: as text nodes, in a <bdi> of its
// own, with hidden characters by their number.

import { segments, type Segment } from "../text/escape";

export function Safe({ text, max, lines = false }: { readonly text: string; readonly max?: number; readonly lines?: boolean }) {
  const cut = max !== undefined && text.length > max ? text.slice(0, max) : text;
  const parts = joined(segments(cut, lines));
  return (
    <bdi>
      {parts.map((part) => (part.escaped ? <span class="esc">{part.text}</span> : part.text))}
      {cut !== text && "…"}
    </bdi>
  );
}

/** Hidden characters that follow each other as one part: a text of nothing else is one element, not thousands. */
function joined(parts: readonly Segment[]): { text: string; escaped: boolean }[] {
  const merged: { text: string; escaped: boolean }[] = [];
  for (const { text, escaped } of parts) {
    const last = merged[merged.length - 1];
    if (last?.escaped === true && escaped) last.text += text;
    else merged.push({ text, escaped });
  }
  return merged;
}
