// All that happened in the session of a record, oldest first.

import { useEffect, useState } from "preact/hooks";
import { empty } from "../wire/codec";
import { Filter, ORDER_OLDEST_FIRST, Search } from "../wire/messages";
import { readRow, summaryOf, type Row } from "../wire/row";
import { model } from "../state/model";
import { zone } from "../state/settings";
import { showBoth, showDuration, showTime } from "../text/time";
import { counted } from "../ui/numbers";
import { Safe } from "../ui/safe";
import { Failure, Spinner } from "../ui/state";
import { resultWord } from "../records/columns";

const RECORDS_MAX = 500;

interface Loaded {
  readonly session: string;
  readonly records: readonly { readonly row: Row; readonly bytes: Uint8Array }[];
  readonly more: boolean;
  readonly error: unknown;
}

export function SessionPanel({ session, sequence }: { readonly session: string; readonly sequence: bigint }) {
  const [loaded, setLoaded] = useState<Loaded | undefined>(undefined);
  useEffect(() => {
    const controller = new AbortController();
    setLoaded(undefined);
    const filter = { ...empty(Filter), session_ids: [session] };
    model.transport.unary(Search, { filter, order: ORDER_OLDEST_FIRST, page_size: RECORDS_MAX }, { signal: controller.signal }).then(
      (answer) => setLoaded({ session, records: answer.records.map((bytes) => ({ row: readRow(bytes), bytes })), more: answer.next_page_token !== "", error: undefined }),
      (error: unknown) => !controller.signal.aborted && setLoaded({ session, records: [], more: false, error }),
    );
    return () => controller.abort();
  }, [session]);
  if (loaded === undefined) return <Spinner label="Loading the session" />;
  if (loaded.error !== undefined) return <Failure error={loaded.error} />;
  const began = loaded.records[0]?.row.time ?? 0;
  const ended = loaded.records[loaded.records.length - 1]?.row.time ?? 0;
  return (
    <>
      <p class="hint">
        {counted(loaded.records.length, "record")}
        {loaded.more ? ", the first of more" : ""} over {showDuration(ended - began)}, from {showTime(began, zone.value)}.
      </p>
      <ol class="timeline" data-testid="timeline">
        {loaded.records.map(({ row, bytes }) => (
          <li class={`moment sev-${row.severity}${row.sequence === sequence ? " open" : ""}`}>
            <button type="button" aria-current={row.sequence === sequence} onClick={() => model.openBytes(row.sequence, row.id, bytes, "replace")} data-testid="moment">
              <span class="moment-time" title={showBoth(row.time)}>
                +{showDuration(row.time - began)}
              </span>
              <span class="moment-type">
                <Safe text={row.type} max={100} />
                {row.result === 2 && <span class="moment-result"> {resultWord(row)}</span>}
              </span>
              <span class="moment-what">
                <Safe text={summaryOf(row)} max={160} />
              </span>
            </button>
          </li>
        ))}
      </ol>
    </>
  );
}
