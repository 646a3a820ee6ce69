// The histogram: bars by severity in SVG, with a brush for the mouse and for the keyboard,
// and the same as a table.

import { useRef, useState } from "preact/hooks";
import { model } from "../state/model";
import { zone } from "../state/settings";
import { rfc3339, showClock, showDate, showTime } from "../text/time";
import { explain } from "../ui/explain";
import { grouped, short } from "../ui/numbers";
import { LEVEL_NAMES, LEVELS, RANGES, total, type Bucket, type Buckets } from "./buckets";

const WIDTH = 1000;
const HEIGHT = 72;

export function Chart() {
  const { histogram } = model;
  const buckets = histogram.buckets.value;
  const [table, setTable] = useState(false);
  if (model.around.value !== undefined) return null;
  const error = histogram.error.value;
  const since = model.tokens.value.find(({ key }) => key === "since")?.value;
  return (
    <section class="chart" aria-label="Histogram" data-testid="histogram">
      <div class="chart-head">
        <span class="chart-title">
          {buckets === undefined ? "Counting" : <Title buckets={buckets} />}
          {histogram.loading.value && <span class="muted"> · counting</span>}
        </span>
        <span class="ranges" role="group" aria-label="Time range">
          {RANGES.map(([name]) => (
            <button type="button" class={since === name ? "range chosen" : "range"} aria-pressed={since === name} onClick={() => model.setRange(name, undefined)}>
              {name}
            </button>
          ))}
          <button
            type="button"
            class={since === undefined ? "range chosen" : "range"}
            aria-pressed={since === undefined}
            onClick={() => model.setTokens(model.tokens.value.filter(({ key }) => key !== "since" && key !== "until"))}
          >
            all
          </button>
          <button type="button" class="range" aria-pressed={table} onClick={() => setTable(!table)} data-testid="histogram-table-toggle">
            table
          </button>
        </span>
      </div>
      {error !== undefined ? (
        <p class="chart-error">{explain(error).title} {explain(error).advice}</p>
      ) : buckets === undefined ? (
        <div class="chart-empty" />
      ) : (
        <Bars buckets={buckets} />
      )}
      {buckets !== undefined && <Table buckets={buckets} hidden={!table} />}
    </section>
  );
}

function Title({ buckets }: { readonly buckets: Buckets }) {
  const sum = buckets.buckets.reduce((all, bucket) => all + total(bucket), 0);
  return (
    <>
      <strong>{grouped(sum)}</strong> {sum === 1 ? "record" : "records"} by event time, {length(buckets.lengthMs)} a bar
    </>
  );
}

function length(ms: number): string {
  const units: [number, string][] = [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "min"],
  ];
  for (const [size, name] of units) if (ms % size === 0) return `${ms / size} ${name}`;
  return `${ms / 1000} s`;
}

interface Selection {
  readonly from: number;
  readonly to: number;
}

function Bars({ buckets }: { readonly buckets: Buckets }) {
  const svg = useRef<SVGSVGElement>(null);
  const [brush, setBrush] = useState<Selection | undefined>(undefined);
  const [cursor, setCursor] = useState<number | undefined>(undefined);
  const dragging = useRef(false);
  const bars = buckets.buckets;
  const most = Math.max(1, ...bars.map(total));
  const step = WIDTH / bars.length;
  const place = (event: PointerEvent): number => {
    const box = svg.current?.getBoundingClientRect();
    if (box === undefined || box.width === 0) return 0;
    return Math.max(0, Math.min(bars.length - 1, Math.floor(((event.clientX - box.left) / box.width) * bars.length)));
  };
  const zoom = ({ from, to }: Selection) => {
    const first = bars[Math.min(from, to)];
    const last = bars[Math.max(from, to)];
    setBrush(undefined);
    setCursor(undefined);
    if (first !== undefined && last !== undefined) model.setRange(rfc3339(first.start), rfc3339(last.start + buckets.lengthMs));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = cursor ?? bars.length - 1;
    const moved = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (moved !== undefined) {
      const next = Math.max(0, Math.min(bars.length - 1, moved));
      if (event.shiftKey) setBrush({ from: brush?.from ?? at, to: next });
      else setBrush(undefined);
      setCursor(next);
    } else if (event.key === "Enter" && (brush !== undefined || cursor !== undefined)) {
      zoom(brush ?? { from: at, to: at });
    } else if (event.key === "Escape" && (brush !== undefined || cursor !== undefined)) {
      setBrush(undefined);
      setCursor(undefined);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  const shown = cursor === undefined ? undefined : bars[cursor];
  const selected = brush === undefined ? undefined : { from: Math.min(brush.from, brush.to), to: Math.max(brush.from, brush.to) };
  return (
    <div class="bars">
      <svg
        ref={svg}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="application"
        aria-roledescription="histogram"
        aria-label="Records over time. Arrow keys move, Shift selects, Enter zooms in."
        aria-describedby="chart-value"
        tabIndex={0}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          dragging.current = true;
          svg.current?.setPointerCapture(event.pointerId);
          const at = place(event);
          setBrush({ from: at, to: at });
        }}
        onPointerMove={(event) => {
          const at = place(event);
          setCursor(at);
          if (dragging.current) setBrush((before) => ({ from: before?.from ?? at, to: at }));
        }}
        onPointerUp={() => {
          if (!dragging.current) return;
          dragging.current = false;
          if (brush !== undefined) zoom(brush);
        }}
        onPointerCancel={() => {
          dragging.current = false;
          setBrush(undefined);
        }}
        onPointerLeave={() => {
          if (!dragging.current) setCursor(undefined);
        }}
        onBlur={() => {
          setBrush(undefined);
          setCursor(undefined);
        }}
        data-testid="histogram-bars"
      >
        {selected !== undefined && <rect class="brush" x={selected.from * step} y={0} width={(selected.to - selected.from + 1) * step} height={HEIGHT} />}
        {cursor !== undefined && <rect class="cursor" x={cursor * step} y={0} width={step} height={HEIGHT} />}
        {bars.map((bucket, index) => stack(bucket, index * step, step, most))}
        <line class="axis" x1={0} x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
      </svg>
      <span class="axis-max" aria-hidden="true">
        {short(most)}
      </span>
      <div class="axis-times" aria-hidden="true">
        <span>{axisTime(bars[0]?.start ?? 0, buckets)}</span>
        <span>{axisTime(bars[Math.floor(bars.length / 2)]?.start ?? 0, buckets)}</span>
        <span>{axisTime((bars[bars.length - 1]?.start ?? 0) + buckets.lengthMs, buckets)}</span>
      </div>
      <div class={`chart-value${shown === undefined ? " empty" : ""}`} id="chart-value" role="status">
        {shown !== undefined && `${showTime(shown.start, zone.value).slice(0, 19)}: ${describe(shown)}`}
      </div>
    </div>
  );
}

function axisTime(ms: number, buckets: Buckets): string {
  const range = buckets.to - buckets.from;
  if (range > 2 * 86_400_000) return `${showDate(ms, zone.value)} ${showClock(ms, zone.value).slice(0, 5)}`;
  return showClock(ms, zone.value).slice(0, range < 600_000 ? 8 : 5);
}

function stack(bucket: Bucket, x: number, step: number, most: number) {
  let y = HEIGHT;
  const parts = [];
  for (let level = 0; level < LEVELS; level++) {
    const count = bucket.counts[level] ?? 0;
    if (count === 0) continue;
    // One record among many is still to be seen.
    const height = Math.max(1.5, (count / most) * (HEIGHT - 4));
    y -= height;
    parts.push(<rect class={`bar sev-${level}`} x={x + step * 0.1} y={y} width={step * 0.8} height={height} />);
  }
  return parts;
}

function describe(bucket: Bucket): string {
  const parts = LEVEL_NAMES.map((name, level) => [name, bucket.counts[level] ?? 0] as const).filter(([, count]) => count > 0);
  return parts.length === 0 ? "none" : parts.map(([name, count]) => `${grouped(count)} ${name}`).join(", ");
}

function Table({ buckets, hidden }: { readonly buckets: Buckets; readonly hidden: boolean }) {
  return (
    <div class={hidden ? "visually-hidden" : "chart-table"} data-testid="histogram-table">
      <table>
        <caption class="visually-hidden">Records by time and severity</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            {LEVEL_NAMES.map((name) => (
              <th scope="col">{name}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {buckets.buckets
            .filter((bucket) => total(bucket) > 0)
            .map((bucket) => (
              <tr>
                <th scope="row">{showTime(bucket.start, zone.value).slice(0, 19)}</th>
                {bucket.counts.map((count) => (
                  <td>{grouped(count)}</td>
                ))}
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}
