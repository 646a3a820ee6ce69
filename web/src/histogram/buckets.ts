// Buckets of time for the histogram: pure arithmetic.

import { SEVERITIES } from "../filter/tokens";

/** Lengths that people count in, in seconds. */
const LENGTHS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 10800, 21600, 43200, 86400, 604800, 2592000, 7776000, 31536000] as const;
export const BUCKETS_MAX = 96;
/** Ranges that are offered, with their length in seconds. */
export const RANGES: readonly (readonly [string, number])[] = [
  ["15m", 900],
  ["1h", 3600],
  ["6h", 21600],
  ["24h", 86400],
  ["7d", 604800],
  ["30d", 2592000],
];
/** The levels of a bar, by the numbers of severities. */
export const LEVEL_NAMES = ["unspecified", ...SEVERITIES] as const;
export const LEVELS = LEVEL_NAMES.length;

export interface Bucket {
  /** When it begins, in milliseconds since 1970. */
  readonly start: number;
  /** Records by severity: unspecified, info, warning, error, critical. */
  readonly counts: number[];
}

export interface Buckets {
  readonly from: number;
  readonly to: number;
  readonly lengthMs: number;
  readonly buckets: Bucket[];
}

/** The length of a bucket for this range, in milliseconds. */
export function lengthFor(rangeMs: number): number {
  const fits = LENGTHS.find((seconds) => rangeMs / (seconds * 1000) <= BUCKETS_MAX);
  return (fits ?? Math.ceil(rangeMs / 1000 / BUCKETS_MAX)) * 1000;
}

/** Buckets without records, from the one with `from` to the one with `to`. */
export function emptyBuckets(from: number, to: number): Buckets {
  const lengthMs = lengthFor(Math.max(1000, to - from));
  const first = Math.floor(from / lengthMs) * lengthMs;
  const buckets: Bucket[] = [];
  for (let start = first; start < to && buckets.length <= BUCKETS_MAX + 1; start += lengthMs) {
    buckets.push({ start, counts: nothing() });
  }
  return { from, to, lengthMs, buckets };
}

/** Adds one count. Times outside are left out; says whether it was inside. */
export function add(of: Buckets, time: number, severity: number, count: number): boolean {
  const first = of.buckets[0];
  if (first === undefined) return false;
  const bucket = of.buckets[Math.floor((time - first.start) / of.lengthMs)];
  if (bucket === undefined) return false;
  addTo(bucket.counts, severity, count);
  return true;
}

/** Counts of no records. */
export function nothing(): number[] {
  return new Array<number>(LEVELS).fill(0);
}

/** Adds to the count of a severity; of one that is not known, to that of none. */
export function addTo(counts: number[], severity: number, count: number): void {
  const level = severity >= 0 && severity < LEVELS ? severity : 0;
  counts[level] = (counts[level] ?? 0) + count;
}

/** When the bucket begins that follows the last one. */
export function nextStart(of: Buckets): number {
  return (of.buckets[of.buckets.length - 1]?.start ?? of.from) + of.lengthMs;
}

/** Whether a time lies in the bucket that follows the last one. */
export function startsNext(of: Buckets, time: number): boolean {
  return time >= nextStart(of) && time < nextStart(of) + of.lengthMs;
}

/** How many empty buckets stay in front of the first record. */
const LEAD = 2;
/** A range is not cut to fewer buckets. */
const BUCKETS_MIN = 24;

/** Without most of the empty buckets in front, where nobody asked for that range. */
export function trimmed(of: Buckets): Buckets {
  const first = of.buckets.findIndex((bucket) => total(bucket) > 0);
  const drop = Math.min(first - LEAD, of.buckets.length - BUCKETS_MIN);
  if (drop <= 0) return of;
  const buckets = of.buckets.slice(drop);
  return { ...of, from: buckets[0]?.start ?? of.from, buckets };
}

/** Moves the range on until it holds `now`; drops what falls out at the other end. */
export function slide(of: Buckets, now: number): Buckets {
  const last = of.buckets[of.buckets.length - 1];
  if (last === undefined || now < last.start + of.lengthMs) return of;
  const steps = Math.floor((now - last.start) / of.lengthMs);
  if (steps >= of.buckets.length) return emptyBuckets(of.from + steps * of.lengthMs, of.to + steps * of.lengthMs);
  const buckets = of.buckets.slice(steps);
  for (let step = 1; step <= steps; step++) {
    buckets.push({ start: last.start + step * of.lengthMs, counts: nothing() });
  }
  return { ...of, from: of.from + steps * of.lengthMs, to: of.to + steps * of.lengthMs, buckets };
}

export function severityNumber(name: string): number {
  return Math.max(0, LEVEL_NAMES.findIndex((known) => known === name));
}

export function total(bucket: Bucket): number {
  return bucket.counts.reduce((sum, count) => sum + count, 0);
}

/** The range to show where the filter says none: some multiple of what the newest page spans, as people name it. */
export function rangeFor(oldest: number, newest: number, complete: boolean, now: number): { from: number; to: number } {
  const span = Math.max(1000, now - oldest);
  const wanted = complete ? span * 1.05 : span * 8;
  const seconds = RANGES.find(([, length]) => length * 1000 >= wanted)?.[1] ?? (complete ? Math.ceil(wanted / 1000) : 2592000);
  // Records of long ago have a range of their own.
  if (now - newest > 2592000 * 1000 || newest > now + 60_000) {
    const width = Math.max(60_000, newest - oldest);
    return { from: oldest - width * 0.02, to: newest + width * 0.02 + 1000 };
  }
  return { from: now - seconds * 1000, to: now };
}
