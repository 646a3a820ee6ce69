// Fills the list: a search of the history, then a subscription with its cursor, so that no
// record is missing or double between them. Resumes by cursor after every interruption.

import { batch, signal } from "@preact/signals";
import { CallError, Code } from "../transport/error";
import type { Transport } from "../transport/transport";
import { ORDER_NEWEST_FIRST, Search, Subscribe, type Gap, type SubscribeResponse } from "../wire/messages";
import { readBrief, sequenceOf, type Brief } from "../wire/row";
import type { Query } from "../filter/query";
import { RecordList, type LostItem, type NewItem } from "./list";
import { stealSlot, takeSlot, type Slot } from "./slots";

/** Records of a page of history. */
const PAGE_RECORDS = 200;
/** A search for few matches in a long log goes on by itself for so long, in milliseconds. */
const SEARCH_MS_MAX = 10_000;
/** The list is painted at most so often, in milliseconds. */
const PAINT_MS = 100;
/** A hidden window closes its stream after this time, in milliseconds. */
const HIDDEN_MS = 5_000;
const RETRY_MS_FIRST = 1_000;
const RETRY_MS_MAX = 15_000;
/** Reasons of gaps: another log, and one that was rolled back. */
const DOUBTFUL = [2, 3];
/** The rate is that of the last so many milliseconds. */
const RATE_MS = 3_000;

export type LiveState =
  | "off"
  | "connecting"
  | "catching-up"
  | "live"
  /** Closed while the list stands still, since too much came. */
  | "held"
  /** Closed while the window is hidden. */
  | "hidden"
  /** Lost; the next attempt is scheduled. */
  | "lost"
  /** Other windows hold all streams. */
  | "crowded"
  /** Refused for good. */
  | "refused";

/** What the list shows. */
export interface Scope {
  readonly query: Query;
  /** Only records from here to there. */
  readonly range?: { readonly first: bigint; readonly last: bigint };
  /** Whether new records follow. */
  readonly live: boolean;
}

export class Feed {
  readonly list = new RecordList();
  /** Raised when the list is to be painted again. */
  readonly version = signal(0);
  /** Raised when the list is to show something else. */
  readonly shows = signal(0);
  readonly phase = signal<"idle" | "searching" | "ready" | "failed">("idle");
  readonly error = signal<unknown>(undefined);
  readonly live = signal<LiveState>("off");
  readonly liveError = signal<unknown>(undefined);
  /** Older records may follow. */
  readonly more = signal(false);
  readonly loadingMore = signal(false);
  readonly moreError = signal<unknown>(undefined);
  /** How many records the search has looked at, and on how many the expression failed. */
  readonly examined = signal(0n);
  readonly expressionErrors = signal(0n);
  readonly rate = signal(0);
  /** Records that came live since the search. */
  liveCount = 0;

  /** Told of records that come live, for the histogram. */
  onLive: (brief: Brief) => void = () => {};
  /** Told when a search is done, with whether all results are there. */
  onResults: (complete: boolean) => void = () => {};

  /** Told when the log may be another one than before. */
  onDoubt: () => void = () => {};

  private readonly transport: Transport;
  private run: Run | undefined;
  private pageToken = "";
  private scope: Scope | undefined;
  private painting = false;
  private lastPaint = 0;
  private arrivals: { at: number; count: number }[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
    document.addEventListener("visibilitychange", () => this.run?.visibilityChanged());
  }

  /** Shows something else. What ran before is cancelled. */
  async show(scope: Scope): Promise<void> {
    this.stop();
    const run = new Run();
    this.run = run;
    this.scope = scope;
    this.list.clear();
    this.shows.value += 1;
    this.pageToken = "";
    this.liveCount = 0;
    this.arrivals = [];
    this.error.value = undefined;
    this.liveError.value = undefined;
    this.moreError.value = undefined;
    this.more.value = false;
    this.loadingMore.value = false;
    this.examined.value = 0n;
    this.expressionErrors.value = 0n;
    this.rate.value = 0;
    this.phase.value = "searching";
    this.paintNow();
    // To ask for a place takes a turn of the browser, which the search takes as well.
    if (scope.live && !document.hidden) void run.hasSlot();
    try {
      const cursor = await this.search(run, "");
      if (run.stopped) return;
      // As one batch: the calls leave before the rows are painted, which takes as long as the calls do.
      const following = batch(() => {
        this.phase.value = "ready";
        this.onResults(this.pageToken === "");
        this.paintNow();
        return scope.live ? this.follow(run, cursor) : undefined;
      });
      await following;
    } catch (error) {
      if (run.stopped) return;
      this.phase.value = "failed";
      this.error.value = error;
      this.paintNow();
    }
  }

  stop(): void {
    this.run?.stop();
    this.run = undefined;
    this.live.value = "off";
    this.rate.value = 0;
  }

  /** Loads older records, if there are. */
  async loadMore(): Promise<void> {
    const run = this.run;
    if (run === undefined || !this.more.value || this.loadingMore.value || this.phase.value !== "ready") return;
    this.loadingMore.value = true;
    this.moreError.value = undefined;
    try {
      await this.search(run, this.list.evicted ? "" : this.pageToken);
    } catch (error) {
      if (!run.stopped) this.moreError.value = error;
    } finally {
      if (!run.stopped) this.loadingMore.value = false;
      this.paintNow();
    }
  }

  /** The list stands still, or moves again. */
  freeze(still: boolean): void {
    if (this.list.isFrozen === still) return;
    this.list.freeze(still);
    if (!still) {
      if (this.list.evicted) this.more.value = true;
      this.run?.wake();
    }
    this.paintNow();
  }

  /** Takes over the stream of another window. */
  takeOver(): void {
    if (this.run !== undefined) this.run.steal = true;
    this.run?.wake();
  }

  /** Tries at once. */
  retry(): void {
    this.run?.wake();
  }

  /** Searches from a page on; gives the cursor of the end of the log at the first page. */
  private async search(run: Run, token: string): Promise<string> {
    const scope = this.scope;
    if (scope === undefined) return "";
    const began = performance.now();
    let found = 0;
    let cursor = "";
    let last = scope.range?.last ?? 0n;
    if (token === "" && this.list.total > 0) {
      // The old end was dropped to stay within bounds: begin behind what is left.
      const oldest = this.list.oldest;
      if (oldest === undefined) return "";
      last = sequenceOf(oldest.bytes) - 1n;
      this.list.evicted = false;
      if (last === 0n) {
        this.more.value = false;
        return "";
      }
    }
    this.pageToken = token;
    do {
      const { filter, start_time, end_time } = scope.query;
      const response = await this.transport.unary(
        Search,
        {
          filter,
          start_time,
          end_time,
          order: ORDER_NEWEST_FIRST,
          page_size: PAGE_RECORDS,
          page_token: this.pageToken,
          first_sequence: scope.range?.first ?? 0n,
          last_sequence: last,
        },
        { signal: run.signal },
      );
      if (run.stopped) return "";
      this.list.prepend(inOrder(response.records, response.gaps));
      found += response.records.length;
      this.pageToken = response.next_page_token;
      this.more.value = this.pageToken !== "";
      cursor ||= response.cursor;
      this.examined.value += response.examined;
      this.expressionErrors.value += response.expression_errors;
      this.paint();
    } while (this.pageToken !== "" && found < PAGE_RECORDS / 2 && performance.now() - began < SEARCH_MS_MAX);
    return cursor;
  }

  private async follow(run: Run, from: string): Promise<void> {
    let cursor = from;
    let wait = RETRY_MS_FIRST;
    let lost: LostItem | undefined;
    this.list.append({ kind: "live", at: Date.now() });
    while (!run.stopped) {
      if (!this.mayStreamNow(run) && !(await this.mayStream(run))) continue;
      if (this.live.value !== "lost") this.live.value = "connecting";
      const stream = run.openStream();
      let failure: unknown;
      try {
        const filter = this.scope?.query.filter;
        await this.transport.stream(Subscribe, { filter, cursor }, stream, (message) => {
          wait = RETRY_MS_FIRST;
          if (lost !== undefined) {
            lost.until = Date.now();
            this.onDoubt();
          }
          lost = undefined;
          cursor = message.cursor;
          this.receive(message);
          if (this.list.isFrozen && this.list.waitingIsFull) run.closeStream("held");
        });
        failure = new CallError(Code.UNAVAILABLE, "the gateway ended the stream");
      } catch (error) {
        failure = error;
      }
      const reason = run.streamClosed();
      if (run.stopped) return;
      this.rate.value = 0;
      if (reason !== undefined) {
        this.live.value = reason;
        continue;
      }
      if (failure instanceof CallError && !failure.transient) {
        this.live.value = "refused";
        this.liveError.value = failure;
        this.paint();
        return;
      }
      const why = (failure instanceof Error ? failure.message : String(failure)).replace(/: resume with the cursor .*$/, "");
      lost ??= this.list.append({ kind: "lost", since: Date.now(), why, retryAt: undefined, until: undefined }) as LostItem;
      const delay = Math.max((failure as CallError).retryAfter ?? 0, wait * (0.8 + 0.4 * Math.random()));
      lost.retryAt = Date.now() + delay;
      this.live.value = "lost";
      this.paint();
      await run.sleep(delay);
      wait = Math.min(wait * 2, RETRY_MS_MAX);
    }
  }

  private mayStreamNow(run: Run): boolean {
    return run.holdsSlot && !document.hidden && !(this.list.isFrozen && this.list.waitingIsFull);
  }

  /** Waits until a stream may be open: the window is seen, the list takes records, and there is a place. */
  private async mayStream(run: Run): Promise<boolean> {
    if (document.hidden) {
      this.live.value = "hidden";
      run.releaseSlot();
      await run.sleep(Number.POSITIVE_INFINITY);
      return false;
    }
    if (this.list.isFrozen && this.list.waitingIsFull) {
      this.live.value = "held";
      run.releaseSlot();
      await run.sleep(Number.POSITIVE_INFINITY);
      return false;
    }
    if (await run.hasSlot()) return !run.stopped;
    if (run.stopped) return false;
    this.live.value = "crowded";
    this.paint();
    await run.sleep(Number.POSITIVE_INFINITY);
    return false;
  }

  private receive(message: SubscribeResponse): void {
    if (message.gap !== undefined) {
      this.list.append({ kind: "gap", gap: message.gap });
      if (DOUBTFUL.includes(message.gap.reason)) this.onDoubt();
    }
    for (const bytes of message.records) {
      // A view of the message: what else it holds are the other records, which live as long.
      this.list.append({ kind: "record", bytes });
      this.onLive(readBrief(bytes));
    }
    this.liveCount += message.records.length;
    if (message.caught_up) this.live.value = "live";
    else if (this.live.value !== "live") this.live.value = "catching-up";
    this.list.trim();
    if (this.list.evicted) this.more.value = true;
    const now = performance.now();
    this.arrivals.push({ at: now, count: message.records.length });
    this.paint();
  }

  /** Records a second, of the last seconds. To be called now and then. */
  measureRate(): void {
    const from = performance.now() - RATE_MS;
    this.arrivals = this.arrivals.filter(({ at }) => at >= from);
    this.rate.value = this.live.value === "live" || this.live.value === "catching-up" ? this.arrivals.reduce((sum, { count }) => sum + count, 0) / (RATE_MS / 1000) : 0;
  }

  /** Paints soon: at 10 Hz at most. */
  private paint(): void {
    if (this.painting) return;
    this.painting = true;
    const delay = Math.max(0, this.lastPaint + PAINT_MS - performance.now());
    setTimeout(() => this.paintNow(), delay);
  }

  private paintNow(): void {
    this.painting = false;
    this.lastPaint = performance.now();
    this.version.value += 1;
  }
}

/** Records and gaps of a page, the newest first. */
function inOrder(records: readonly Uint8Array[], gaps: readonly Gap[]): NewItem[] {
  const items: NewItem[] = [];
  const waiting = [...gaps].sort((a, b) => (a.last_sequence < b.last_sequence ? 1 : -1));
  for (const bytes of records) {
    const sequence = waiting.length > 0 ? sequenceOf(bytes) : 0n;
    while (waiting[0] !== undefined && waiting[0].last_sequence > sequence) {
      const gap = waiting.shift();
      if (gap !== undefined) items.push({ kind: "gap", gap });
    }
    items.push({ kind: "record", bytes });
  }
  for (const gap of waiting) items.push({ kind: "gap", gap });
  return items;
}

/** One search and what follows it, until something else is shown. */
class Run {
  steal = false;
  private readonly controller = new AbortController();
  private stream: AbortController | undefined;
  private closed: LiveState | undefined;
  private slot: Slot | undefined;
  private asking: Promise<boolean> | undefined;
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  private waker: (() => void) | undefined;

  get stopped(): boolean {
    return this.controller.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  stop(): void {
    this.controller.abort();
    this.stream?.abort();
    this.releaseSlot();
    clearTimeout(this.hiddenTimer);
    this.wake();
  }

  wake(): void {
    this.waker?.();
  }

  sleep(ms: number): Promise<void> {
    if (this.stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = Number.isFinite(ms) ? setTimeout(() => this.wake(), ms) : undefined;
      this.waker = () => {
        clearTimeout(timer);
        this.waker = undefined;
        resolve();
      };
    });
  }

  openStream(): AbortSignal {
    this.closed = undefined;
    this.stream = new AbortController();
    return this.stream.signal;
  }

  /** Closes the stream on purpose. */
  closeStream(reason: LiveState): void {
    if (this.stream === undefined) return;
    this.closed = reason;
    this.stream.abort();
    this.releaseSlot();
  }

  /** Why the stream was closed, if that was on purpose. */
  streamClosed(): LiveState | undefined {
    this.stream = undefined;
    const reason = this.closed;
    this.closed = undefined;
    return reason;
  }

  visibilityChanged(): void {
    clearTimeout(this.hiddenTimer);
    if (document.hidden) this.hiddenTimer = setTimeout(() => this.closeStream("hidden"), HIDDEN_MS);
    else this.wake();
  }

  get holdsSlot(): boolean {
    return this.slot !== undefined;
  }

  /** Takes a place for a live stream, if there is one. */
  hasSlot(): Promise<boolean> {
    this.asking ??= this.askForSlot().finally(() => {
      this.asking = undefined;
    });
    return this.asking;
  }

  private async askForSlot(): Promise<boolean> {
    if (this.slot !== undefined) return true;
    const stolen = () => {
      this.slot = undefined;
      this.closeStream("crowded");
    };
    const slot = this.steal ? await stealSlot(stolen) : await takeSlot(stolen);
    this.steal = false;
    if (slot === undefined) return false;
    if (this.stopped) {
      slot.release();
      return false;
    }
    this.slot = slot;
    return true;
  }

  releaseSlot(): void {
    this.slot?.release();
    this.slot = undefined;
  }
}
