// What the page knows, and what it can be told to do. Components show it.

import { batch, computed, signal } from "@preact/signals";
import { Transport } from "../transport/transport";
import { CallError } from "../transport/error";
import { GetRecord, ListEventTypes, type EventType } from "../wire/messages";
import { readRow, sequenceOf } from "../wire/row";
import { Session } from "../session/session";
import { Feed } from "../records/feed";
import { Histogram } from "../histogram/histogram";
import { rangeFor } from "../histogram/buckets";
import { Facets } from "../facets/facets";
import { loadViews } from "./lazy";
import { empty } from "../wire/codec";
import { Filter } from "../wire/messages";
import { toMs, type Zone } from "../text/time";
import { queryOf, type Query } from "../filter/query";
import { token, withToken, type Token } from "../filter/tokens";
import { formatRoute, parseRoute, type View } from "./route";
import { zone } from "./settings";
import { rowOf, type RecordItem } from "../records/list";

/** How many records on each side of one are shown around it. */
const AROUND = 50n;

/** The frequent values are counted when the first rows are there, which come sooner so; at the latest after this time, in milliseconds. */
const FACETS_MS = 500;

/** The record in the drawer. */
export type Opened =
  | { readonly kind: "loading"; readonly sequence: bigint }
  | { readonly kind: "record"; readonly sequence: bigint; readonly id: string; readonly bytes: Uint8Array; readonly warning: string }
  | { readonly kind: "failed"; readonly sequence: bigint; readonly error: unknown };

export type DrawerTab = "fields" | "json" | "raw" | "session" | "proof";

/** A short message at the bottom of the page. */
export interface Notice {
  readonly text: string;
  readonly kind: "info" | "bad";
}

export class Model {
  readonly session = new Session();
  readonly transport = new Transport({
    token: () => this.session.token(),
    unauthenticated: (error, token) => this.session.refused(error, token),
  });
  readonly feed = new Feed(this.transport);
  readonly histogram = new Histogram(this.transport);
  readonly facets = new Facets(this.transport);

  readonly view = signal<View>("events");
  readonly tokens = signal<readonly Token[]>([]);
  readonly around = signal<bigint | undefined>(undefined);
  readonly liveWanted = signal(true);
  readonly opened = signal<Opened | undefined>(undefined);
  readonly tab = signal<DrawerTab>("fields");
  readonly catalog = signal<readonly EventType[]>([]);
  readonly notice = signal<Notice | undefined>(undefined);
  readonly dialog = signal<"help" | "export" | "copy" | "cel" | undefined>(undefined);
  /** The filter itself was refused. */
  readonly lastQuery = signal<Query | undefined>(undefined);
  readonly paused = signal(false);

  readonly canStatus = computed(() => this.has("status"));
  readonly canProve = computed(() => this.has("proof"));

  private loaded = false;
  private facetsTimer: ReturnType<typeof setTimeout> | undefined;
  private noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.session.onReady = () => this.signedIn();
    this.feed.onLive = (brief) => this.histogram.addLive(brief);
    this.feed.onDoubt = () => void this.loadRest();
    this.feed.onResults = (complete) => {
      this.loadFacets();
      void this.loadHistogram(complete);
    };
  }

  async start(): Promise<void> {
    window.addEventListener("hashchange", () => this.readRoute());
    window.addEventListener("popstate", () => this.readRoute());
    setInterval(() => this.tick(), 1_000);
    await this.session.start(this.transport);
  }

  async signIn(entered: string): Promise<void> {
    await this.session.signIn(this.transport, entered);
  }

  /** The session has gone: nothing that was read stays on the screen. */
  signedOut(): void {
    if (!this.loaded) return;
    this.loaded = false;
    clearTimeout(this.facetsTimer);
    this.facetsTimer = undefined;
    batch(() => {
      this.feed.stop();
      this.feed.list.clear();
      this.feed.phase.value = "idle";
      this.feed.version.value += 1;
      this.histogram.clear();
      this.facets.clear();
      this.opened.value = undefined;
      this.dialog.value = undefined;
    });
  }

  private signedIn(): void {
    if (this.session.state.value.kind !== "ready" || this.loaded) return;
    this.loaded = true;
    this.readRoute();
    void this.loadCatalog();
    void this.loadRest();
  }

  /** Loads what the first sight of the page does not need, and looks at the log as a witness. */
  private async loadRest(): Promise<void> {
    try {
      const { prover } = await loadViews();
      if (this.canProve.value) await prover.visit();
    } catch {
      this.say("views.js could not be loaded. Reload the page.", "bad");
    }
  }

  private has(right: string): boolean {
    const state = this.session.state.value;
    return state.kind === "ready" && (!state.caller.authenticated || state.caller.rights.includes(right));
  }

  /** Reads of the page itself are in the log where reads are recorded; the filter leaves them out at first, and says so. */
  private initialTokens(): Token[] {
    const state = this.session.state.value;
    const audited = state.kind === "ready" && state.caller.authenticated && state.caller.readable_types.includes("auditgate.read");
    return audited ? [token("type", "auditgate.read", true)] : [];
  }

  private async loadCatalog(): Promise<void> {
    if (this.catalog.value.length > 0) return;
    try {
      this.catalog.value = (await this.transport.unary(ListEventTypes, {})).event_types;
    } catch {
      // Types are then not completed; the filter works without.
    }
  }

  // --- what is shown, and its address

  private readRoute(): void {
    if (!this.loaded) return;
    const route = parseRoute(location.hash);
    const tokens = route.tokens ?? this.initialTokens();
    const same = formatTokens(tokens) === formatTokens(this.tokens.value) && route.around === this.around.value && route.live === this.liveWanted.value;
    batch(() => {
      this.view.value = route.view === "status" && this.canStatus.value ? "status" : "events";
      this.tokens.value = tokens;
      this.around.value = route.around;
      this.liveWanted.value = route.live;
    });
    if (!same || this.feed.phase.value === "idle") this.run();
    const open = this.opened.value;
    if (route.record === undefined) this.opened.value = undefined;
    else if (open?.sequence !== route.record.sequence) void this.load(route.record.sequence, route.record.id);
  }

  private writeRoute(how: "push" | "replace"): void {
    const open = this.opened.value;
    const record = open === undefined ? undefined : { sequence: open.sequence, id: open.kind === "record" ? open.id : "" };
    const fragment = formatRoute({ view: this.view.value, tokens: this.tokens.value, record, around: this.around.value, live: this.liveWanted.value });
    if (fragment === location.hash) return;
    if (how === "push") history.pushState(null, "", fragment);
    else history.replaceState(null, "", fragment);
  }

  /** Filters by other tokens. */
  setTokens(tokens: readonly Token[]): void {
    this.tokens.value = tokens;
    this.around.value = undefined;
    this.writeRoute("push");
    this.run();
  }

  addToken(added: Token): void {
    this.setTokens(withToken(this.tokens.value, added));
  }

  /** Shows this range of time. */
  setRange(from: string, until: string | undefined): void {
    const rest = this.tokens.value.filter(({ key }) => key !== "since" && key !== "until");
    const added = [token("since", from)];
    if (until !== undefined) added.push(token("until", until));
    this.setTokens([...rest, ...added]);
  }

  showAround(sequence: bigint): void {
    this.around.value = sequence;
    this.writeRoute("push");
    this.run();
  }

  leaveAround(): void {
    this.around.value = undefined;
    this.writeRoute("push");
    this.run();
  }

  setView(view: View): void {
    if (this.view.value === view) return;
    this.view.value = view;
    this.writeRoute("push");
  }

  toggleLive(): void {
    this.liveWanted.value = !this.liveWanted.value;
    this.writeRoute("replace");
    this.run();
  }

  /** Searches, and follows. */
  run(): void {
    const now = Date.now();
    const query = queryOf(this.tokens.value, now, zone.value);
    this.lastQuery.value = query;
    this.paused.value = false;
    clearTimeout(this.facetsTimer);
    this.facetsTimer = undefined;
    const around = this.around.value;
    if (around !== undefined) {
      const first = around > AROUND ? around - AROUND : 1n;
      this.histogram.clear();
      this.facets.clear();
      void this.feed.show({ query: { filter: empty(Filter), start_time: undefined, end_time: undefined }, range: { first, last: around + AROUND }, live: false });
      return;
    }
    const live = this.liveWanted.value && query.end_time === undefined;
    void this.feed.show({ query, live });
    this.facetsTimer = setTimeout(() => this.loadFacets(), FACETS_MS);
  }

  /** Counts the frequent values of the search that runs, unless that was done. */
  private loadFacets(): void {
    if (this.facetsTimer === undefined) return;
    clearTimeout(this.facetsTimer);
    this.facetsTimer = undefined;
    if (this.lastQuery.value !== undefined) void this.facets.load(this.lastQuery.value);
  }

  private async loadHistogram(complete: boolean): Promise<void> {
    const query = this.lastQuery.value;
    if (query === undefined || this.around.value !== undefined) return;
    const now = Date.now();
    const oldest = this.feed.list.oldest;
    const newest = this.feed.list.newest;
    const guessed = rangeFor(oldest === undefined ? now - 3_600_000 : rowOf(oldest).time, newest === undefined ? now : rowOf(newest).time, complete, now);
    const to = query.end_time === undefined ? (query.start_time === undefined ? guessed.to : now) : toMs(query.end_time);
    const from = query.start_time === undefined ? Math.min(guessed.from, to - 1_000) : toMs(query.start_time);
    const moving = query.end_time === undefined && this.liveWanted.value && to >= now - 1_000;
    await this.histogram.load(query, { from, to }, moving);
  }

  // --- one record

  /** Opens a record of the list. */
  open(item: RecordItem, how: "push" | "replace" = "push"): void {
    const row = rowOf(item);
    this.openBytes(row.sequence, row.id, item.bytes, how);
  }

  openBytes(sequence: bigint, id: string, bytes: Uint8Array, how: "push" | "replace" = "push"): void {
    const before = this.opened.value;
    this.opened.value = { kind: "record", sequence, id, bytes, warning: "" };
    this.writeRoute(before === undefined ? how : "replace");
  }

  close(): void {
    if (this.opened.value === undefined) return;
    this.opened.value = undefined;
    this.writeRoute("push");
  }

  /** Loads the record of a link. */
  private async load(sequence: bigint, id: string): Promise<void> {
    this.opened.value = { kind: "loading", sequence };
    let opened: Opened;
    try {
      const { record } = await this.transport.unary(GetRecord, { sequence });
      if (record === undefined) throw new CallError(2, "the answer has no record");
      const found = readRow(record).id;
      const warning =
        id === "" || id === found ? "" : `This link is to the event ${id}, but record ${sequence} of this log is another one: the link comes from another log.`;
      opened = { kind: "record", sequence: sequenceOf(record), id: found, bytes: record, warning };
    } catch (error) {
      opened = { kind: "failed", sequence, error };
    }
    if (this.opened.value?.sequence === sequence) this.opened.value = opened;
  }

  // --- time

  setZone(value: Zone): void {
    zone.value = value;
  }

  /** Opens the editor of the expression, or closes it. */
  toggleCel(): void {
    this.dialog.value = this.dialog.value === "cel" ? undefined : "cel";
  }

  setPaused(paused: boolean): void {
    this.paused.value = paused;
  }

  say(text: string, kind: "info" | "bad" = "info"): void {
    this.notice.value = { text, kind };
    clearTimeout(this.noticeTimer);
    this.noticeTimer = setTimeout(() => {
      this.notice.value = undefined;
    }, 4_000);
  }

  private tick(): void {
    this.feed.measureRate();
    this.histogram.refresh();
  }
}

function formatTokens(tokens: readonly Token[]): string {
  return JSON.stringify(tokens);
}

export const model = new Model();
