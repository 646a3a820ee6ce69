// The only way in which text of events gets onto the page: as text nodes, in a <bdi> of its
// own, with hidden characters by their number.

import { segments } from "../text/escape";

export function Safe({ text, max, lines = false }: { readonly text: string; readonly max?: number; readonly lines?: boolean }) {
  const cut = max !== undefined && text.length > max ? text.slice(0, max) : text;
  const parts = segments(cut, lines);
  return (
    <bdi>
      {parts.map((part) => (part.escaped ? <span class="esc">{part.text}</span> : part.text))}
      {cut !== text && "…"}
    </bdi>
  );
}
