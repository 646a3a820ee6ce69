// Fetches all records of the filter, page by page, and makes a file of them.

import type { Transport } from "../transport/transport";
import { Search, ORDER_NEWEST_FIRST } from "../wire/messages";
import type { Query } from "../filter/query";
import { loadRecordCode, type RecordCode } from "../drawer/load";
import { COLUMNS } from "./csv";

export type Format = "ndjson" | "csv";

export const EXPORT_RECORDS_MAX = 100_000;
const PAGE_RECORDS = 1_000;
/** The page holds the file in memory until it is saved: at most so much of it, in characters. */
export const EXPORT_TEXT_MAX = 256 * 1024 * 1024;

export interface Progress {
  readonly records: number;
  readonly bytes: number;
}

export interface Exported {
  readonly parts: string[];
  readonly records: number;
  /** More records match than were exported, by number or by size. */
  readonly cut: boolean;
  /** How many gaps there are: records that could not be read. */
  readonly gaps: number;
}

/** For tests. */
interface Options {
  readonly code?: RecordCode;
  readonly textMax?: number;
}

/** Rejects with a CallError, also when it is cancelled. */
export async function exportRecords(transport: Transport, query: Query, format: Format, limit: number, signal: AbortSignal, onProgress: (progress: Progress) => void, options: Options = {}): Promise<Exported> {
  const { code = await loadRecordCode(), textMax = EXPORT_TEXT_MAX } = options;
  const parts: string[] = format === "csv" ? [`${COLUMNS.join(",")}\n`] : [];
  let records = 0;
  let bytes = 0;
  let gaps = 0;
  let token = "";
  do {
    const page = await transport.unary(
      Search,
      {
        filter: query.filter,
        start_time: query.start_time,
        end_time: query.end_time,
        order: ORDER_NEWEST_FIRST,
        page_size: Math.min(PAGE_RECORDS, limit - records),
        page_token: token,
      },
      { signal },
    );
    gaps += page.gaps.length;
    let text = "";
    for (const record of page.records) {
      text += format === "csv" ? code.csvOf(record) : code.jsonLine(record);
      text += "\n";
    }
    parts.push(text);
    records += page.records.length;
    bytes += text.length;
    token = page.next_page_token;
    onProgress({ records, bytes });
  } while (token !== "" && records < limit && bytes < textMax && !signal.aborted);
  return { parts, records, cut: token !== "", gaps };
}
