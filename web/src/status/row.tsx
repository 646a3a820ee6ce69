// One fact of a card.

import { Safe } from "../ui/safe";

interface RowProps {
  readonly name: string;
  readonly value: string;
  readonly title?: string;
}

export function Row({ name, value, title }: RowProps) {
  return (
    <div class="fact" title={title}>
      <dt>{name}</dt>
      <dd>
        <Safe text={value} max={300} />
      </dd>
    </div>
  );
}
