// The rows of the list, oldest first, within bounds. The view shows them newest first, up to
// an end that stands still while somebody reads.

import { readRow, summaryOf, type Row } from "../wire/row";
import type { Gap } from "../wire/messages";

/** How many rows are kept; the oldest go first. */
export const ROWS_MAX = 100_000;
/** How many bytes of records are kept. */
export const LIST_BYTES_MAX = 64 * 1024 * 1024;
/** How many records wait behind a list that stands still ... */
export const WAITING_RECORDS_MAX = 20_000;
/** ... and how many bytes of them. */
export const WAITING_BYTES_MAX = 16 * 1024 * 1024;

export interface RecordItem {
  readonly kind: "record";
  /** Greater for later rows. */
  readonly key: number;
  readonly bytes: Uint8Array;
  row?: Row;
  summary?: string;
}

export type Item =
  | RecordItem
  | { readonly kind: "gap"; readonly key: number; readonly gap: Gap }
  /** What follows came live. */
  | { readonly kind: "live"; readonly key: number; readonly at: number }
  | LostItem;

/** The connection was lost for a while. */
export interface LostItem {
  readonly kind: "lost";
  readonly key: number;
  readonly since: number;
  readonly why: string;
  retryAt: number | undefined;
  until: number | undefined;
}

/** The row of a record, which is read when it is first shown. */
export function rowOf(item: RecordItem): Row {
  item.row ??= readRow(item.bytes);
  return item.row;
}

export function summaryOfItem(item: RecordItem): string {
  item.summary ??= summaryOf(rowOf(item));
  return item.summary;
}

/** An item without its key. */
export type NewItem = Item extends infer I ? (I extends Item ? Omit<I, "key"> : never) : never;

export class RecordList {
  private items: Item[] = [];
  private nextKey = 1;
  private firstKey = 0;
  private bytes = 0;
  /** How many items are shown while the list stands still. */
  private frozen: number | undefined;
  private waitingCount = 0;
  private waitingSize = 0;
  /** Rows at the old end were dropped to stay within bounds. */
  evicted = false;

  /** How many rows are shown. */
  get length(): number {
    return this.frozen ?? this.items.length;
  }

  get total(): number {
    return this.items.length;
  }

  get isFrozen(): boolean {
    return this.frozen !== undefined;
  }

  /** How many records came since the list stands still. */
  get waiting(): number {
    return this.waitingCount;
  }

  /** No more should come until the list moves again. */
  get waitingIsFull(): boolean {
    return this.waitingCount >= WAITING_RECORDS_MAX || this.waitingSize >= WAITING_BYTES_MAX;
  }

  /** The row at this place, the newest first. */
  at(place: number): Item | undefined {
    return place < 0 ? undefined : this.items[this.length - 1 - place];
  }

  /** Where the row with this key is shown; -1 if it is not. */
  placeOf(key: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.items[middle]?.key ?? 0) < key) low = middle + 1;
      else high = middle;
    }
    return low < this.length && this.items[low]?.key === key ? this.length - 1 - low : -1;
  }

  /** The oldest record that is kept. */
  get oldest(): RecordItem | undefined {
    return this.items.find((item): item is RecordItem => item.kind === "record");
  }

  get newest(): RecordItem | undefined {
    for (let at = this.items.length - 1; at >= 0; at--) {
      const item = this.items[at];
      if (item?.kind === "record") return item;
    }
    return undefined;
  }

  clear(): void {
    this.items = [];
    this.bytes = 0;
    this.evicted = false;
    // A list that stands still goes on to do so, from what the next search finds on.
    if (this.frozen !== undefined) this.frozen = 0;
    this.waitingCount = 0;
    this.waitingSize = 0;
  }

  /** The list stands still, or moves again. */
  freeze(still: boolean): void {
    if (still === this.isFrozen) return;
    this.frozen = still ? this.items.length : undefined;
    this.waitingCount = 0;
    this.waitingSize = 0;
    this.trim();
  }

  /** Adds what came last. */
  append(item: NewItem): Item {
    const added = { ...item, key: this.nextKey } as Item;
    this.nextKey += 1;
    this.items.push(added);
    if (added.kind === "record") {
      this.bytes += added.bytes.length;
      if (this.isFrozen) {
        this.waitingCount += 1;
        this.waitingSize += added.bytes.length;
      }
    }
    return added;
  }

  /** Adds older rows, the newest of them first. */
  prepend(older: readonly NewItem[]): void {
    const added: Item[] = [];
    for (const item of older) {
      added.push({ ...item, key: this.firstKey } as Item);
      this.firstKey -= 1;
      if (item.kind === "record") this.bytes += item.bytes.length;
    }
    this.items = [...added.reverse(), ...this.items];
    if (this.frozen !== undefined) this.frozen += added.length;
  }

  /** Drops the oldest rows beyond the bounds, in large steps. */
  trim(): void {
    if (this.items.length <= ROWS_MAX * 1.05 && this.bytes <= LIST_BYTES_MAX * 1.05) return;
    let from = Math.max(0, this.items.length - ROWS_MAX);
    let bytes = this.bytes;
    for (let at = 0; at < from; at++) bytes -= sizeOf(this.items[at]);
    while (bytes > LIST_BYTES_MAX && from < this.items.length - 1) {
      bytes -= sizeOf(this.items[from]);
      from += 1;
    }
    if (from === 0) return;
    this.items = this.items.slice(from);
    this.bytes = bytes;
    this.evicted = true;
    if (this.frozen !== undefined) this.frozen = Math.max(0, this.frozen - from);
  }
}

function sizeOf(item: Item | undefined): number {
  return item?.kind === "record" ? item.bytes.length : 0;
}
