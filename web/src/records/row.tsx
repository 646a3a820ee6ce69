// One row of the list.

import type { Gap } from "../wire/messages";
import { zone } from "../state/settings";
import { showBoth, showClock, showDate, showDuration } from "../text/time";
import { Icon } from "../ui/icons";
import { counted } from "../ui/numbers";
import { Safe } from "../ui/safe";
import { COLUMNS, isSkewed, resultWord, severityWord, where, who } from "./columns";
import { rowOf, summaryOfItem, type LostItem, type RecordItem } from "./list";

interface RecordRowProps {
  readonly item: RecordItem;
  readonly place: number;
  readonly column: number;
  readonly open: boolean;
  readonly onOpen: () => void;
}

/** How much of a value a cell holds, in characters. */
const CELL_MAX = 200;

export function RecordRow({ item, place, column, open, onOpen }: RecordRowProps) {
  const row = rowOf(item);
  const cell = (number: number) => (column === number ? "cell at" : "cell");
  const result = resultWord(row);
  return (
    <div
      class={`row sev-${row.severity}${column >= 0 ? " active" : ""}${open ? " open" : ""}`}
      role="row"
      id={`row-${item.key}`}
      aria-rowindex={place + 2}
      aria-selected={column >= 0}
      onClick={onOpen}
      data-testid="record"
      data-sequence={String(row.sequence)}
    >
      <span role="gridcell" class={`${cell(0)} time`} title={timeTitle(row.time, row.accepted)}>
        <span class="date">{showDate(row.time, zone.value)} </span>
        {showClock(row.time, zone.value)}
        {isSkewed(row) && (
          <span class="skew" aria-label={`accepted ${showDuration(row.accepted - row.time)} later`}>
            ±
          </span>
        )}
      </span>
      <span role="gridcell" class={`${cell(1)} severity`}>
        {severityWord(row)}
      </span>
      <span role="gridcell" class={`${cell(2)} type`}>
        <Safe text={row.type} max={CELL_MAX} />
        {row.amended && (
          <span class="amended" title="The gateway redacted or trimmed this event" aria-label="amended">
            ✂
          </span>
        )}
      </span>
      <span role="gridcell" class={`${cell(3)} who`}>
        <Safe text={who(row)} max={CELL_MAX} />
      </span>
      <span role="gridcell" class={`${cell(4)} where`}>
        <Safe text={where(row)} max={CELL_MAX} />
      </span>
      <span role="gridcell" class={`${cell(5)} result result-${result}`}>
        {row.result === 2 && <Icon name="cross" />}
        {row.result === 1 && <Icon name="ok" />}
        {row.result === 3 && <Icon name="clock" />}
        <span>{result}</span>
      </span>
      <span role="gridcell" class={`${cell(6)} what`}>
        <Safe text={summaryOfItem(item)} max={300} />
      </span>
    </div>
  );
}

function timeTitle(time: number, accepted: number): string {
  const difference = accepted - time;
  const note = Math.abs(difference) > 1_000 ? `\nAccepted ${showDuration(Math.abs(difference))} ${difference > 0 ? "later" : "earlier, by the clock of the gateway"}` : "";
  return `${showBoth(time)}${note}`;
}

const GAP_REASONS: Readonly<Record<number, readonly [string, string]>> = {
  1: ["evicted before this page got them", "The log keeps the newest records only. The operator can give it more room."],
  2: ["of another log", "The stream starts at the oldest record of this log."],
  3: ["lost when the log was reopened", "This page had seen records that the log no longer has."],
  4: ["damaged on disk", "The status shows all damaged ranges."],
};

export function GapRow({ gap, place }: { readonly gap: Gap; readonly place: number }) {
  const [reason, advice] = GAP_REASONS[gap.reason] ?? ["missing", ""];
  const { first_sequence: first, last_sequence: last } = gap;
  const known = first > 0n && last >= first;
  const range = first === last ? `Record ${first}` : known ? `Records ${first} to ${last}` : last > 0n ? `Records up to ${last}` : "";
  const text = gap.reason === 2 ? "From here on these are records of another log" : `${range === "" ? "Records are missing" : range}: ${reason}`;
  return (
    <div class="row note gap" role="row" aria-rowindex={place + 2} data-testid="gap" data-first={String(first)} data-last={String(last)} title={advice}>
      <span role="gridcell" class="note-text" aria-colspan={COLUMNS.length}>
        <Icon name="alert" />
        {text}
        {known && <span class="note-more">{counted(last - first + 1n, "record")}</span>}
        <span class="note-more">{advice}</span>
      </span>
    </div>
  );
}

export function LiveRow({ at, place }: { readonly at: number; readonly place: number }) {
  return (
    <div class="row note live-mark" role="row" aria-rowindex={place + 2} data-testid="live-mark">
      <span role="gridcell" class="note-text" aria-colspan={COLUMNS.length}>
        live from here · {showClock(at, zone.value)}
      </span>
    </div>
  );
}

export function LostRow({ item, place }: { readonly item: LostItem; readonly place: number }) {
  const since = showClock(item.since, zone.value);
  const restored = item.until === undefined ? undefined : `Connection lost at ${since}, restored after ${showDuration(item.until - item.since)}; it resumed where it stopped`;
  const text = restored ?? `Connection lost at ${since}: ${item.why}. ${item.retryAt === undefined ? "" : `Next attempt at ${showClock(item.retryAt, zone.value)}`}`;
  return (
    <div class={`row note lost${restored === undefined ? " bad" : ""}`} role="row" aria-rowindex={place + 2} data-testid="lost">
      <span role="gridcell" class="note-text" aria-colspan={COLUMNS.length}>
        <Icon name="refresh" />
        <Safe text={text} max={300} />
      </span>
    </div>
  );
}
