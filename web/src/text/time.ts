// Times: as protobuf has them, as people write them, and as they read them.

import type { Timestamp } from "../wire/messages";

/** Local time, or that of the world. */
export type Zone = "local" | "utc";

const MS = 1000;
const MINUTE = 60 * MS;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** The range of Date, in milliseconds. */
const MS_MAX = 8.64e15;

export function toMs(time: Timestamp): number {
  return Number(time.seconds) * MS + time.nanos / 1e6;
}

export function fromMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / MS);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * MS) * 1e6) };
}

/** A point in time as people write it. */
export type TimeArg =
  | { readonly kind: "ago"; readonly ms: number }
  | { readonly kind: "at"; readonly ms: number }
  | { readonly kind: "civil"; readonly year: number; readonly month: number; readonly day: number; readonly ms: number };

const UNITS: readonly (readonly [RegExp, number])[] = [
  [/^(?:milliseconds?|millis|msecs?|ms)$/, 1],
  [/^(?:seconds?|secs?|s)$/, MS],
  [/^(?:minutes?|mins?|m)$/, MINUTE],
  [/^(?:hours?|hrs?|h)$/, HOUR],
  [/^(?:days?|d)$/, DAY],
  [/^(?:weeks?|wks?|w)$/, 7 * DAY],
];

const CIVIL = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?)?$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})$/;

/** Reads a time: how long ago, a date, a local date and time, or RFC 3339. Nothing if it is none. */
export function parseTime(text: string): TimeArg | undefined {
  const trimmed = text.trim();
  if (RFC3339.test(trimmed)) {
    const ms = Date.parse(trimmed.replace(" ", "T"));
    return Number.isNaN(ms) ? undefined : { kind: "at", ms };
  }
  const civil = CIVIL.exec(trimmed);
  if (civil !== null) return parseCivil(civil);
  const ago = parseDuration(trimmed.replace(/^-/, ""));
  return ago === undefined ? undefined : { kind: "ago", ms: ago };
}

function parseCivil(parts: RegExpExecArray): TimeArg | undefined {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map((part) => Number(part ?? 0));
  const fraction = Number(parts[7] ?? 0);
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  return { kind: "civil", year, month, day, ms: hour * HOUR + minute * MINUTE + (second + fraction) * MS };
}

/** Reads a length of time such as `90s`, `1h30m` or `2 days`, in milliseconds. */
export function parseDuration(text: string): number | undefined {
  let rest = text.trim().toLowerCase().replace(/\s+ago$/, "");
  if (rest === "") return undefined;
  let total = 0;
  while (rest !== "") {
    const part = /^(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*/.exec(rest);
    const unit = UNITS.find(([name]) => part !== null && name.test(part[2] ?? ""));
    if (part === null || unit === undefined) return undefined;
    total += Number(part[1]) * unit[1];
    rest = rest.slice(part[0].length);
  }
  return total;
}

/** The time in milliseconds since 1970, where it is `now` in `zone`. */
export function resolve(time: TimeArg, now: number, zone: Zone): number {
  switch (time.kind) {
    case "ago":
      return now - time.ms;
    case "at":
      return time.ms;
    case "civil": {
      const midnight = zone === "utc" ? Date.UTC(time.year, time.month - 1, time.day) : new Date(time.year, time.month - 1, time.day).getTime();
      if (zone === "utc" || time.ms === 0) return midnight + time.ms;
      const at = new Date(time.year, time.month - 1, time.day, 0, 0, 0, 0);
      // By parts, so that a change of the clock in the night is minded.
      at.setHours(Math.floor(time.ms / HOUR), Math.floor(time.ms / MINUTE) % 60, Math.floor(time.ms / MS) % 60, time.ms % MS);
      return at.getTime();
    }
  }
}

function pad(value: number, width = 2): string {
  return String(value).padStart(width, "0");
}

interface Parts {
  date: string;
  time: string;
  offset: string;
}

function partsOf(ms: number, zone: Zone): Parts | undefined {
  if (!(Math.abs(ms) <= MS_MAX)) return undefined;
  const date = new Date(ms);
  if (zone === "utc") {
    return {
      date: `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`,
      time: `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}.${pad(date.getUTCMilliseconds(), 3)}`,
      offset: "Z",
    };
  }
  const offset = -date.getTimezoneOffset();
  const sign = offset < 0 ? "-" : "+";
  return {
    date: `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`,
    time: `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`,
    offset: `${sign}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`,
  };
}

/** `2026-03-01 12:00:00.123`; the milliseconds since 1970 where the calendar ends. */
export function showTime(ms: number, zone: Zone): string {
  const parts = partsOf(ms, zone);
  return parts === undefined ? `${ms} ms after 1970` : `${parts.date} ${parts.time}`;
}

export function showDate(ms: number, zone: Zone): string {
  return partsOf(ms, zone)?.date ?? "";
}

export function showClock(ms: number, zone: Zone): string {
  return partsOf(ms, zone)?.time ?? String(ms);
}

/** RFC 3339, in UTC. */
export function rfc3339(ms: number): string {
  const parts = partsOf(ms, "utc");
  return parts === undefined ? String(ms) : `${parts.date}T${parts.time.replace(/\.000$/, "")}Z`;
}

/** Both zones, for a tooltip. */
export function showBoth(ms: number): string {
  const local = partsOf(ms, "local");
  const utc = partsOf(ms, "utc");
  if (local === undefined || utc === undefined) return String(ms);
  return `${local.date} ${local.time} ${local.offset} (local)\n${utc.date} ${utc.time}Z`;
}

/** `2 d 3 h`, `1.2 s`: the two largest units. */
export function showDuration(ms: number): string {
  const abs = Math.abs(ms);
  const sign = ms < 0 ? "-" : "";
  if (abs < MS) return `${sign}${Math.round(abs)} ms`;
  if (abs < 10 * MS) return `${sign}${(abs / MS).toFixed(1)} s`;
  const units: [number, string][] = [
    [DAY, "d"],
    [HOUR, "h"],
    [MINUTE, "min"],
    [MS, "s"],
  ];
  const first = units.findIndex(([size]) => abs >= size);
  const [size, name] = units[first] ?? [MS, "s"];
  const whole = Math.floor(abs / size);
  const next = units[first + 1];
  if (next === undefined) return `${sign}${whole} ${name}`;
  const rest = Math.floor((abs - whole * size) / next[0]);
  return `${sign}${whole} ${name}${rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}
