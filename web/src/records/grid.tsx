// The list: rows newest first, of which only those in sight exist. It stands still while
// somebody reads.

import { effect, signal } from "@preact/signals";
import { Component } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { model } from "../state/model";
import { narrow, zone } from "../state/settings";
import { Icon } from "../ui/icons";
import { counted, grouped } from "../ui/numbers";
import { Empty, Failure, Spinner } from "../ui/state";
import { showTime } from "../text/time";
import { COLUMNS } from "./columns";
import { rowOf, type Item, type RecordItem } from "./list";
import { GapRow, LiveRow, LostRow, RecordRow } from "./row";

const ROW_WIDE = 30;
const ROW_NARROW = 54;
/** Rows beyond the window on each side. */
const OVERSCAN = 4;
/** From this rate on rows take over the elements of those before, instead of bringing their own, in records a second. */
const FAST_RATE = 100;
/** Older records are loaded when so few rows are left below. */
const LOAD_AHEAD = 25;

/** The row on which the keyboard is, by its key, and the column. */
export const active = signal<{ key: number; column: number } | undefined>(undefined);
const scrolled = signal(false);
const rowHeight = () => (narrow.value ? ROW_NARROW : ROW_WIDE);

let scroller: HTMLElement | null = null;

// The list stands still while it is paused, scrolled away, or a row is looked at.
effect(() => {
  const still = model.paused.value || scrolled.value || active.value !== undefined || model.opened.value !== undefined;
  model.feed.freeze(still);
});

// What stood in another list is not active in this one, which begins at its top.
effect(() => {
  void model.feed.shows.value;
  toTop();
});

/** Goes to the newest row, and lets the list move again. */
export function toTop(): void {
  active.value = undefined;
  model.paused.value = false;
  if (scroller !== null) scroller.scrollTop = 0;
  scrolled.value = false;
}

/** Gives the keyboard to the list. */
export function focusList(): void {
  scroller?.querySelector<HTMLElement>("[role=grid]")?.focus({ preventScroll: true });
}

export function toBottom(): void {
  const { list } = model.feed;
  let place = list.length - 1;
  while (place > 0 && list.at(place)?.kind !== "record") place -= 1;
  activate(place);
}

/** The record on which the keyboard is. */
export function activeRecord(): RecordItem | undefined {
  const at = active.value;
  if (at === undefined) return undefined;
  const item = model.feed.list.at(model.feed.list.placeOf(at.key));
  return item?.kind === "record" ? item : undefined;
}

/** Moves the keyboard by so many rows. */
export function move(steps: number): void {
  const { list } = model.feed;
  if (list.length === 0) return;
  const from = active.value === undefined ? undefined : list.placeOf(active.value.key);
  let place = from === undefined || from < 0 ? firstInSight() : Math.max(0, Math.min(list.length - 1, from + steps));
  // Rows that are no records are passed over.
  const direction = steps < 0 ? -1 : 1;
  while (list.at(place)?.kind !== "record" && list.at(place + direction) !== undefined) place += direction;
  activate(place);
}

export function moveColumn(steps: number): void {
  const at = active.value;
  if (at === undefined) return;
  active.value = { ...at, column: Math.max(0, Math.min(COLUMNS.length - 1, at.column + steps)) };
}

function firstInSight(): number {
  return scroller === null ? 0 : Math.ceil(scroller.scrollTop / rowHeight());
}

function activate(place: number): void {
  const item = model.feed.list.at(place);
  if (item === undefined) return;
  active.value = { key: item.key, column: active.value?.column ?? 2 };
  reveal(place);
  if (model.opened.value !== undefined && item.kind === "record") model.open(item, "replace");
}

function reveal(place: number): void {
  if (scroller === null) return;
  const height = rowHeight();
  const top = place * height;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + height > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + height - scroller.clientHeight;
}

interface WindowOfRows {
  readonly top: number;
  readonly height: number;
}

const inSight = signal<WindowOfRows>({ top: 0, height: 600 });

export function Grid() {
  const { feed } = model;
  void feed.version.value;
  const ref = useRef<HTMLDivElement>(null);
  const height = rowHeight();
  const count = feed.list.length;
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return;
    scroller = element;
    const measure = () => {
      inSight.value = { top: element.scrollTop, height: element.clientHeight };
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  const { top, height: windowHeight } = inSight.value;
  const first = Math.max(0, Math.floor(top / height) - OVERSCAN);
  const last = Math.min(count, Math.ceil((top + windowHeight) / height) + OVERSCAN);
  useEffect(() => {
    if (last > count - LOAD_AHEAD && feed.more.value && feed.moreError.value === undefined) void feed.loadMore();
  }, [last, count, feed.more.value, feed.loadingMore.value]);
  const fast = feed.rate.value > FAST_RATE && !feed.list.isFrozen;
  const places: number[] = [];
  for (let place = first; place < last; place++) places.push(place);
  const onScroll = (event: Event) => {
    const element = event.currentTarget as HTMLElement;
    inSight.value = { top: element.scrollTop, height: element.clientHeight };
    scrolled.value = element.scrollTop > height / 2;
  };
  const at = active.value;
  const activePlace = at === undefined ? -1 : feed.list.placeOf(at.key);
  const descendant = activePlace >= first && activePlace < last ? `row-${at?.key}` : undefined;
  return (
    <div class="list">
      <NewPill />
      <div class="scroller" ref={ref} onScroll={onScroll} data-testid="list-scroller">
        <div
          class="grid"
          role="grid"
          aria-label="Records, newest first"
          aria-rowcount={feed.more.value ? -1 : count + 1}
          aria-colcount={COLUMNS.length}
          aria-activedescendant={descendant}
          aria-busy={feed.phase.value === "searching"}
          tabIndex={0}
          data-testid="list"
        >
          <div class="grid-head" role="row" aria-rowindex={1}>
            {COLUMNS.map((name) => (
              <span role="columnheader">{name}</span>
            ))}
          </div>
          <div class="grid-space" role="presentation" style={{ height: `${count * height}px` }}>
            <div class="grid-window" role="presentation" style={{ transform: `translateY(${first * height}px)` }}>
              {places.map((place) => {
                const item = feed.list.at(place);
                return item === undefined ? null : (
                  <Slot key={fast ? `at-${place}` : item.key} item={item} place={place} column={at?.key === item.key ? at.column : -1} open={isOpen(item)} version={item.kind === "lost" ? feed.version.value : 0} />
                );
              })}
            </div>
          </div>
        </div>
        <Foot />
      </div>
    </div>
  );
}

function isOpen(item: Item): boolean {
  const opened = model.opened.value;
  return opened !== undefined && item.kind === "record" && rowOf(item).sequence === opened.sequence;
}

interface SlotProps {
  readonly item: Item;
  readonly place: number;
  /** The active column, or -1. */
  readonly column: number;
  readonly open: boolean;
  readonly version: number;
}

/** One row, which is painted again only if something about it changed. */
class Slot extends Component<SlotProps> {
  override shouldComponentUpdate(next: SlotProps): boolean {
    const now = this.props;
    return (
      next.item !== now.item || next.place !== now.place || next.column !== now.column || next.open !== now.open || next.version !== now.version
    );
  }

  override render({ item, place, column, open }: SlotProps) {
    switch (item.kind) {
      case "record":
        return <RecordRow item={item} place={place} column={column} open={open} onOpen={() => this.open(item)} />;
      case "gap":
        return <GapRow gap={item.gap} place={place} />;
      case "live":
        return <LiveRow at={item.at} place={place} />;
      case "lost":
        return <LostRow item={item} place={place} />;
    }
  }

  private open(item: RecordItem): void {
    active.value = { key: item.key, column: active.value?.column ?? 2 };
    model.open(item);
  }
}

/** How many records wait behind a list that stands still. */
function NewPill() {
  const { feed } = model;
  void feed.version.value;
  const waiting = feed.list.waiting;
  const held = feed.live.value === "held";
  if (waiting === 0 && !held) return null;
  return (
    <button type="button" class="pill" onClick={toTop} data-testid="new-records">
      {held ? `${grouped(waiting)} new, and more at the gateway` : `${grouped(waiting)} new`}
      <span class="pill-key">g</span>
    </button>
  );
}

/** What stands below the last row. */
function Foot() {
  const { feed } = model;
  const phase = feed.phase.value;
  const count = feed.list.total;
  const failed = feed.error.value;
  if (phase === "failed") return <Failure error={failed} retry={() => model.run()} />;
  if (phase === "searching" && count === 0) {
    return (
      <div class="skeleton" aria-hidden="false">
        <Spinner label={feed.examined.value > 0n ? `Searching: looked at ${counted(feed.examined.value, "record")}` : "Searching"} />
        {[...Array(8).keys()].map(() => (
          <div class="skeleton-row" />
        ))}
      </div>
    );
  }
  if (feed.moreError.value !== undefined) return <Failure error={feed.moreError.value} retry={() => { feed.moreError.value = undefined; void feed.loadMore(); }} />;
  if (feed.loadingMore.value || phase === "searching") {
    return (
      <div class="foot">
        <Spinner label="Loading older records" />
      </div>
    );
  }
  if (feed.more.value) {
    return (
      <div class="foot">
        <span>Looked at {counted(feed.examined.value, "record")} so far.</span>
        <button type="button" class="button small" onClick={() => void feed.loadMore()}>
          Search on
        </button>
      </div>
    );
  }
  const records = feed.list.oldest !== undefined;
  if (!records) return <NoRecords />;
  return (
    <div class="foot" data-testid="end-of-results">
      {model.around.value !== undefined ? "End of these records" : "No older records match"}
      {feed.expressionErrors.value > 0n && ` · the expression failed on ${counted(feed.expressionErrors.value, "record")}, which do not match`}
    </div>
  );
}

function NoRecords() {
  const { feed } = model;
  const tokens = model.tokens.value;
  const live = feed.live.value;
  const waiting = live === "live" || live === "connecting" || live === "catching-up";
  if (tokens.length === 0) {
    return (
      <Empty icon="clock" title="The log has no records yet" testid="empty">
        <p>{waiting ? "The first one appears here as soon as it arrives. To try it, emit one:" : "Emit one, then search again:"}</p>
        <code class="sample">auditgate emit user.login --user alice</code>
      </Empty>
    );
  }
  return (
    <Empty icon="search" title="No record matches" testid="empty">
      <p>
        {feed.examined.value > 0n ? `The gateway looked at ${counted(feed.examined.value, "record")}. ` : ""}
        {waiting ? "New records that match appear here." : "Widen the time range, or remove a filter."}
      </p>
      {feed.expressionErrors.value > 0n && <p>The expression failed on {counted(feed.expressionErrors.value, "record")}; test with has(…) whether a field is set.</p>}
      <button type="button" class="button" onClick={() => model.setTokens([])}>
        Remove all filters
      </button>
    </Empty>
  );
}

/** What stands above the list: how much is shown, and of what. */
export function ListHead() {
  const { feed } = model;
  void feed.version.value;
  const around = model.around.value;
  if (around !== undefined) {
    return (
      <div class="banner" data-testid="around-banner">
        <Icon name="around" />
        <span>
          Records around {String(around)}, without a filter
        </span>
        <button type="button" class="button small" onClick={() => model.leaveAround()}>
          Back to the filter
        </button>
      </div>
    );
  }
  const live = feed.live.value;
  switch (live) {
    case "crowded":
      return (
        <div class="banner" role="status" data-testid="crowded">
          <Icon name="pause" />
          <span>Four other windows of this browser are live, which is as many as its connections allow.</span>
          <button type="button" class="button small" onClick={() => feed.takeOver()}>
            Take over here
          </button>
        </div>
      );
    case "refused": {
      return (
        <div class="banner bad" role="alert" data-testid="live-refused">
          <Icon name="alert" />
          <span>The gateway ended the live stream: {feed.liveError.value instanceof Error ? feed.liveError.value.message : ""}</span>
          <button type="button" class="button small" onClick={() => model.run()}>
            Search again
          </button>
        </div>
      );
    }
    default:
      return null;
  }
}

/** A summary for screen readers, at most every ten seconds. */
export function Announcer() {
  const said = useRef({ at: 0, count: 0 });
  const region = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const timer = setInterval(() => {
      const { feed } = model;
      const fresh = feed.liveCount - said.current.count;
      if (fresh <= 0 || region.current === null) return;
      said.current.count = feed.liveCount;
      const newest = feed.list.newest;
      const last = newest === undefined ? "" : `, the last one ${rowOf(newest).type} at ${showTime(rowOf(newest).time, zone.value)}`;
      region.current.textContent = `${counted(fresh, "new record")}${last}`;
    }, 10_000);
    return () => clearInterval(timer);
  }, []);
  return <div class="visually-hidden" role="status" aria-live="polite" ref={region} />;
}
