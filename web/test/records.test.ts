// The list and what fills it: bounds, the join of history and live, and what happens when the
// connection goes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { encode, one, table } from "../src/wire/codec";
import { CallError, Code } from "../src/transport/error";
import type { Transport } from "../src/transport/transport";
import { Filter, type Gap } from "../src/wire/messages";
import { empty } from "../src/wire/codec";
import { LIST_BYTES_MAX, RecordList, ROWS_MAX, WAITING_RECORDS_MAX } from "../src/records/list";
import { exportRecords } from "../src/export/export";
import type { RecordCode } from "../src/drawer/load";
import { Histogram } from "../src/histogram/histogram";
import { fromMs } from "../src/text/time";
import { deliveryProblems } from "../src/status/deliveries";
import { sharedProblems } from "../src/status/shared";
import type { Delivery, SharedLog } from "../src/wire/messages";
import { add, emptyBuckets, lengthFor, nextStart, rangeFor, slide, total, trimmed, BUCKETS_MAX } from "../src/histogram/buckets";
import { formatRoute, parseRoute } from "../src/state/route";
import { token } from "../src/filter/tokens";
import { sequenceOf } from "../src/wire/row";

const Numbered = table("Numbered", { sequence: one(1, "uint64") });
const bytesOf = (sequence: number | bigint): Uint8Array => encode(Numbered, { sequence: BigInt(sequence) });

function sequences(list: RecordList): string[] {
  const shown: string[] = [];
  for (let place = 0; place < list.length; place++) {
    const item = list.at(place);
    shown.push(item?.kind === "record" ? String(sequenceOf(item.bytes)) : (item?.kind ?? "nothing"));
  }
  return shown;
}

test("the newest row is on top, and older ones go below", () => {
  const list = new RecordList();
  list.prepend([{ kind: "record", bytes: bytesOf(4) }, { kind: "record", bytes: bytesOf(3) }]);
  list.append({ kind: "record", bytes: bytesOf(5) });
  list.prepend([{ kind: "record", bytes: bytesOf(2) }]);
  assert.deepEqual(sequences(list), ["5", "4", "3", "2"]);
  for (let place = 0; place < 4; place++) assert.equal(list.placeOf(list.at(place)?.key ?? 0), place);
  assert.equal(list.placeOf(99), -1);
});

test("a list that stands still only counts, up to its bound", () => {
  const list = new RecordList();
  for (let number = 1; number <= 3; number++) list.append({ kind: "record", bytes: bytesOf(number) });
  list.freeze(true);
  for (let number = 4; number < 4 + WAITING_RECORDS_MAX; number++) {
    assert.equal(list.waitingIsFull, false);
    list.append({ kind: "record", bytes: bytesOf(number) });
  }
  assert.deepEqual(sequences(list), ["3", "2", "1"]);
  assert.equal(list.waiting, WAITING_RECORDS_MAX);
  assert.equal(list.waitingIsFull, true);
  list.prepend([{ kind: "record", bytes: bytesOf(0) }]);
  assert.equal(list.length, 4);
  list.freeze(false);
  assert.equal(list.length, WAITING_RECORDS_MAX + 4);
  assert.equal(list.waiting, 0);
});

test("a list that stands still does so for the next search, too", () => {
  const list = new RecordList();
  list.append({ kind: "record", bytes: bytesOf(1) });
  list.freeze(true);
  list.clear();
  list.prepend([{ kind: "record", bytes: bytesOf(8) }, { kind: "record", bytes: bytesOf(7) }]);
  list.append({ kind: "record", bytes: bytesOf(9) });
  assert.deepEqual(sequences(list), ["8", "7"]);
  assert.equal(list.waiting, 1);
  list.freeze(false);
  assert.deepEqual(sequences(list), ["9", "8", "7"]);
});

test("rows and bytes have bounds, and the oldest go first", () => {
  const list = new RecordList();
  for (let number = 1; number <= ROWS_MAX * 1.06; number++) list.append({ kind: "record", bytes: bytesOf(number) });
  list.trim();
  assert.equal(list.total, ROWS_MAX);
  assert.equal(list.evicted, true);
  assert.equal(sequences(list)[0], String(ROWS_MAX * 1.06));
  const large = new RecordList();
  const megabyte = new Uint8Array(1024 * 1024);
  for (let count = 0; count < 80; count++) large.append({ kind: "record", bytes: megabyte });
  large.trim();
  assert.ok(large.total * megabyte.length <= LIST_BYTES_MAX);
});

// The page's feed listens to the window.
const listeners: (() => void)[] = [];
const fakeDocument = { hidden: false, addEventListener: (_: string, listener: () => void) => listeners.push(listener) };
Object.assign(globalThis, { document: fakeDocument });
const { Feed } = await import("../src/records/feed");

/** A gateway whose log is a list of numbers, and whose cursor is a number. */
class Log {
  newest = 0n;
  gaps: Gap[] = [];
  subscribed: string[] = [];
  searches: { page_token: string; last_sequence: bigint }[] = [];
  refusal: CallError | undefined;
  pageSize = 3;
  private listener: ((message: unknown) => void) | undefined;
  private end: ((error: unknown) => void) | undefined;

  get transport(): Transport {
    return {
      unary: async (_: unknown, request: { page_token: string; last_sequence: bigint; first_sequence: bigint }) => {
        this.searches.push(request);
        const top = request.page_token === "" ? (request.last_sequence || this.newest) : BigInt(request.page_token);
        const records: Uint8Array[] = [];
        let at = top;
        for (; at > 0n && at >= request.first_sequence && records.length < this.pageSize; at--) records.push(bytesOf(at));
        return { records, next_page_token: at > 0n && at >= request.first_sequence ? String(at) : "", cursor: String(this.newest), gaps: this.gaps.splice(0), examined: BigInt(records.length), expression_errors: 0n };
      },
      stream: (_: unknown, request: { cursor: string }, signal: AbortSignal, onMessage: (message: unknown, bytes: number) => void) => {
        this.subscribed.push(request.cursor);
        if (this.refusal !== undefined) return Promise.reject(this.refusal);
        this.listener = (message) => onMessage(message, 0);
        for (let next = BigInt(request.cursor) + 1n; next <= this.newest; next++) this.send(next);
        this.listener({ records: [], gap: undefined, caught_up: true, cursor: String(this.newest) });
        return new Promise((_resolve, reject) => {
          this.end = reject;
          signal.addEventListener("abort", () => reject(new CallError(Code.CANCELLED, "the call was cancelled")));
        });
      },
    } as unknown as Transport;
  }

  private send(sequence: bigint): void {
    this.listener?.({ records: [bytesOf(sequence)], gap: undefined, caught_up: false, cursor: String(sequence) });
  }

  emit(): void {
    this.newest += 1n;
    this.send(this.newest);
  }

  gap(first: bigint, last: bigint): void {
    this.listener?.({ records: [], gap: { first_sequence: first, last_sequence: last, reason: 1 }, caught_up: true, cursor: String(last) });
  }

  lose(): void {
    this.listener = undefined;
    this.end?.(new CallError(Code.UNAVAILABLE, "gone"));
  }
}

/** A transport whose calls are all answered so, with what a message lacks. */
function answering(answer: () => object): { transport: Transport } {
  const whole = () => ({ records: [], gaps: [], buckets: [], next_page_token: "", ...answer() });
  return { transport: { unary: () => Promise.resolve(whole()) } as unknown as Transport };
}

const scope = (live: boolean) => ({ query: { filter: empty(Filter), start_time: undefined, end_time: undefined }, live });
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

test("live begins exactly where history ends, and older records come on demand", async () => {
  const log = new Log();
  log.newest = 8n;
  log.pageSize = 100;
  const feed = new Feed(log.transport);
  void feed.show(scope(true));
  await turn();
  log.emit();
  log.emit();
  assert.deepEqual(sequences(feed.list), ["10", "9", "live", "8", "7", "6", "5", "4", "3", "2", "1"]);
  assert.deepEqual(log.subscribed, ["8"]);
  assert.equal(feed.live.value, "live");
  assert.equal(feed.more.value, false);
  feed.stop();
});

test("a lost connection is a row, and the next one goes on by cursor", async () => {
  const log = new Log();
  log.newest = 2n;
  const feed = new Feed(log.transport);
  void feed.show(scope(true));
  await turn();
  log.emit();
  log.lose();
  await turn();
  assert.equal(feed.live.value, "lost");
  assert.deepEqual(sequences(feed.list), ["lost", "3", "live", "2", "1"]);
  log.newest = 5n;
  feed.retry();
  await turn();
  assert.deepEqual(log.subscribed, ["2", "3"]);
  assert.deepEqual(sequences(feed.list), ["5", "4", "lost", "3", "live", "2", "1"]);
  const lost = feed.list.at(2);
  assert.ok(lost?.kind === "lost" && lost.until !== undefined);
  assert.equal(feed.live.value, "live");
  feed.stop();
});

test("gaps are rows at their place, in history and live", async () => {
  const log = new Log();
  log.newest = 4n;
  log.pageSize = 100;
  log.gaps = [{ first_sequence: 10n, last_sequence: 20n, reason: 4 }, { first_sequence: 0n, last_sequence: 0n, reason: 1 }];
  const feed = new Feed(log.transport);
  void feed.show(scope(true));
  await turn();
  log.gap(5n, 9n);
  assert.deepEqual(sequences(feed.list), ["gap", "live", "gap", "4", "3", "2", "1", "gap"]);
  feed.stop();
});

test("a list that stands still closes its stream when it is full, and resumes by cursor", async () => {
  const log = new Log();
  const feed = new Feed(log.transport);
  void feed.show(scope(true));
  await turn();
  feed.freeze(true);
  for (let count = 0; count < WAITING_RECORDS_MAX; count++) log.emit();
  await turn();
  assert.equal(feed.live.value, "held");
  log.newest += 3n;
  feed.freeze(false);
  await turn();
  assert.equal(feed.live.value, "live");
  assert.deepEqual(log.subscribed, ["0", String(WAITING_RECORDS_MAX)]);
  assert.equal(sequences(feed.list)[0], String(WAITING_RECORDS_MAX + 3));
  assert.equal(feed.list.total, WAITING_RECORDS_MAX + 3 + 1, "with the mark of live");
  feed.stop();
});

test("a refusal for good ends the stream, and says why", async () => {
  const log = new Log();
  log.refusal = new CallError(Code.PERMISSION_DENIED, "no role allows it");
  const feed = new Feed(log.transport);
  await feed.show(scope(true));
  assert.equal(feed.live.value, "refused");
  assert.equal(log.subscribed.length, 1);
  feed.stop();
});

test("another search stops the one before, whose answers come to nothing", async () => {
  const log = new Log();
  log.newest = 3n;
  const feed = new Feed(log.transport);
  const first = feed.show(scope(true));
  const second = feed.show(scope(false));
  await Promise.all([first, second]);
  assert.deepEqual(sequences(feed.list), ["3", "2", "1"]);
  assert.equal(feed.live.value, "off");
  assert.equal(log.subscribed.length, 0);
});

test("buckets hold what they should, and move on", () => {
  for (const seconds of [60, 900, 3_600, 86_400, 2_592_000, 3e8]) {
    const to = 1_700_000_000_000;
    const buckets = emptyBuckets(to - seconds * 1000, to);
    assert.ok(buckets.buckets.length <= BUCKETS_MAX + 2 && buckets.buckets.length >= 20, `${seconds} s: ${buckets.buckets.length}`);
    assert.ok(add(buckets, to - 1, 2, 3));
    assert.ok(!add(buckets, to - seconds * 2000, 2, 1));
    assert.equal(total(buckets.buckets.at(-1) ?? { start: 0, counts: [] }), 3);
  }
  assert.equal(lengthFor(3_600_000), 60_000);
  const buckets = emptyBuckets(0, 60_000);
  add(buckets, 59_500, 1, 1);
  const moved = slide(buckets, 70_000);
  assert.equal(moved.buckets.length, buckets.buckets.length);
  assert.equal(moved.buckets.reduce((sum, bucket) => sum + total(bucket), 0), 1);
  assert.equal(slide(buckets, 1e9).buckets.reduce((sum, bucket) => sum + total(bucket), 0), 0);
  assert.ok(trimmed(buckets).buckets.length < buckets.buckets.length);
  const now = 1_700_000_000_000;
  assert.deepEqual(rangeFor(now - 600_000, now, true, now), { from: now - 900_000, to: now });
  assert.ok(rangeFor(1e12, 1e12 + 5_000, true, now).to < now);
});

test("live records are counted in the bucket that they begin, however many come from the future", async () => {
  const now = Date.now();
  const { transport } = answering(() => ({}));
  const histogram = new Histogram(transport);
  const query = { filter: empty(Filter), start_time: fromMs(now - 60_000), end_time: undefined };
  await histogram.load(query, { from: now - 60_000, to: now }, true);
  const before = histogram.buckets.value;
  assert.ok(before !== undefined);
  const next = nextStart(before);
  for (let number = 0; number < 10; number++) histogram.addLive({ time: next, severity: 2 });
  // As an emitter with a wrong clock sends them: nothing is kept of each.
  for (let number = 0; number < 1_000; number++) histogram.addLive({ time: next + 3_600_000, severity: 4 });
  assert.ok(JSON.stringify(histogram).length < 10_000);
  const clock = Date.now;
  Date.now = () => next + 1;
  try {
    histogram.refresh();
  } finally {
    Date.now = clock;
  }
  const moved = histogram.buckets.value?.buckets ?? [];
  assert.deepEqual(moved[moved.length - 1], { start: next, counts: [0, 0, 10, 0, 0] });
  assert.equal(moved.reduce((sum, bucket) => sum + total(bucket), 0), 10);
});

test("an export ends at its bounds, and says so", async () => {
  const text = "x".repeat(1_000);
  let pages = 0;
  const { transport } = answering(() => {
    pages += 1;
    return { records: [bytesOf(pages), bytesOf(pages + 100)], next_page_token: "more" };
  });
  const code = { jsonLine: () => text, csvOf: () => text } as unknown as RecordCode;
  const query = { filter: empty(Filter), start_time: undefined, end_time: undefined };
  const run = (limit: number, textMax: number) => exportRecords(transport, query, "ndjson", limit, new AbortController().signal, () => {}, { code, textMax });
  assert.deepEqual({ ...(await run(6, 1e9)), parts: [] }, { parts: [], records: 6, cut: true, gaps: 0 });
  const cut = await run(1_000, 5_000);
  assert.equal(cut.records, 6, "the page with which the bound is reached is the last one");
  assert.equal(cut.cut, true);
  assert.equal(cut.parts.join("").length, 6 * 1_001);
});

test("deliveries that need somebody are told, with what to do", () => {
  const delivery = (more: Partial<Delivery>) => ({ name: "siem", reason: "401", state: 1, state_time: fromMs(0), dead_letters: 0n, ...more }) as Delivery;
  assert.deepEqual(deliveryProblems([delivery({})], 1e9), []);
  assert.match(deliveryProblems([delivery({ state: 3 })], 1e9)[0] ?? "", /siem is blocked: 401.*delivery resume siem/);
  assert.match(deliveryProblems([delivery({ state: 5 })], 1e9)[0] ?? "", /delivery show siem/);
  assert.deepEqual(deliveryProblems([delivery({ state: 2 })], 59_000), [], "it may just have begun");
  assert.match(deliveryProblems([delivery({ state: 2 })], 61_000)[0] ?? "", /retrying for 1 min 1 s: 401/);
  assert.match(deliveryProblems([delivery({ dead_letters: 2n })], 1e9)[0] ?? "", /2 records.*delivery replay siem/);
});

test("what is wrong with a shared log is told", () => {
  const shared = (more: Partial<SharedLog>) => ({ server: "n1", lag: 0n, invalid: 0n, disagreements: 0n, disagreement: "", warnings: [], ...more }) as unknown as SharedLog;
  assert.deepEqual(sharedProblems(undefined), []);
  assert.deepEqual(sharedProblems(shared({ lag: 128n })), []);
  assert.match(sharedProblems(shared({ lag: 129n })).join(), /129 messages behind/);
  assert.match(sharedProblems(shared({ server: "" })).join(), /not connected/);
  assert.match(sharedProblems(shared({ invalid: 1n })).join(), /1 message that no cluster key/);
  assert.match(sharedProblems(shared({ disagreements: 1n, disagreement: "at 7" })).join(), /different copies of the log: at 7/);
  assert.deepEqual(sharedProblems(shared({ warnings: ["one replica"] })), ["one replica"]);
});

test("an address says all of what is shown, and nothing else counts", () => {
  const route = { view: "events" as const, tokens: [token("user", 'a "b" &#=%'), token("type", "x.*", true)], record: { sequence: (1n << 64n) - 1n, id: "i d" }, around: 7n, live: false };
  assert.deepEqual(parseRoute(formatRoute(route)), route);
  assert.equal(parseRoute("").tokens, undefined);
  assert.deepEqual(parseRoute("#r=0&around=99999999999999999999&view=x"), { view: "events", tokens: undefined, record: undefined, around: undefined, live: true });
});
