// Counts of the records of the filter over time, by severity: one call, then kept current by
// what comes live.

import { signal } from "@preact/signals";
import { CallError, Code } from "../transport/error";
import type { Transport } from "../transport/transport";
import { CountRecords, GROUP_BY_SEVERITY } from "../wire/messages";
import { fromMs, toMs } from "../text/time";
import type { Query } from "../filter/query";
import type { Brief } from "../wire/row";
import { add, addTo, emptyBuckets, nextStart, nothing, severityNumber, slide, startsNext, trimmed, type Buckets } from "./buckets";

export class Histogram {
  readonly buckets = signal<Buckets | undefined>(undefined);
  readonly loading = signal(false);
  readonly error = signal<unknown>(undefined);
  /** The range ends now, and moves on. */
  private moving = false;
  private controller: AbortController | undefined;
  private readonly transport: Transport;
  private dirty = false;
  /** What came live for the bucket that follows the last one. */
  private next = nothing();

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Counts again. `moving` says that the range ends now. */
  async load(query: Query, range: { from: number; to: number }, moving: boolean): Promise<void> {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    this.moving = moving;
    this.loading.value = true;
    this.error.value = undefined;
    this.next = nothing();
    const counted = emptyBuckets(range.from, range.to);
    try {
      const first = counted.buckets[0]?.start ?? range.from;
      const response = await this.transport.unary(
        CountRecords,
        {
          filter: query.filter,
          start_time: query.start_time ?? fromMs(first),
          end_time: query.end_time,
          bucket: { seconds: BigInt(Math.round(counted.lengthMs / 1000)), nanos: 0 },
          group_by: GROUP_BY_SEVERITY,
        },
        { signal: controller.signal },
      );
      if (controller.signal.aborted) return;
      for (const bucket of response.buckets) {
        const start = bucket.start_time === undefined ? 0 : toMs(bucket.start_time);
        for (const [name, count] of bucket.counts) add(counted, start, severityNumber(name), Number(count));
      }
      const shown = query.start_time === undefined ? trimmed(counted) : counted;
      this.buckets.value = this.moving ? slide(shown, Date.now()) : shown;
    } catch (error) {
      if (controller.signal.aborted || (error instanceof CallError && error.code === Code.CANCELLED)) return;
      this.error.value = error;
      this.buckets.value = undefined;
    } finally {
      if (this.controller === controller) this.loading.value = false;
    }
  }

  /** A record came live. */
  addLive(brief: Brief): void {
    const buckets = this.buckets.value;
    if (buckets === undefined || this.loading.value) return;
    if (add(buckets, brief.time, brief.severity, 1)) this.dirty = true;
    else if (this.moving && startsNext(buckets, brief.time)) addTo(this.next, brief.severity, 1);
  }

  /** Shows what came live, and moves on; to be called about once a second. */
  refresh(): void {
    const buckets = this.buckets.value;
    if (buckets === undefined) return;
    const moved = this.moving ? slide(buckets, Date.now()) : buckets;
    if (moved !== buckets) {
      this.next.forEach((count, severity) => add(moved, nextStart(buckets), severity, count));
      this.next = nothing();
    }
    if (moved !== buckets || this.dirty) this.buckets.value = { ...moved };
    this.dirty = false;
  }

  clear(): void {
    this.controller?.abort();
    this.buckets.value = undefined;
    this.error.value = undefined;
    this.loading.value = false;
  }
}
