// The bar at the top: where one is, what is live, who one is.

import { useEffect, useRef, useState } from "preact/hooks";
import { verdict as verdictNow } from "../proof/state";
import { toTop } from "../records/grid";
import { model } from "../state/model";
import { facetSheet, facetsShown, narrow, theme, zone, type Theme } from "../state/settings";
import { showTime, toMs } from "../text/time";
import { Icon } from "../ui/icons";
import { rate } from "../ui/numbers";
import { Safe } from "../ui/safe";
import type { LiveState } from "../records/feed";
import { Mark } from "./mark";

const LIVE_WORDS: Readonly<Record<LiveState, string>> = {
  off: "not live",
  connecting: "connecting",
  "catching-up": "catching up",
  live: "live",
  held: "waiting",
  hidden: "asleep",
  lost: "connection lost",
  crowded: "not live",
  refused: "stopped",
};

export function Header() {
  const view = model.view.value;
  return (
    <header class="header">
      <a class="brand" href="#" onClick={(event) => { event.preventDefault(); model.setView("events"); }} aria-label="auditgate: events">
        <Mark />
        <span class="brand-name">auditgate</span>
      </a>
      <span class="host" title="The gateway">
        <Safe text={location.host} max={60} />
      </span>
      <nav class="views" aria-label="Views">
        <button type="button" class={view === "events" ? "view chosen" : "view"} aria-current={view === "events" ? "page" : undefined} onClick={() => model.setView("events")} data-testid="view-events">
          Events
        </button>
        {model.canStatus.value && (
          <button type="button" class={view === "status" ? "view chosen" : "view"} aria-current={view === "status" ? "page" : undefined} onClick={() => model.setView("status")} data-testid="view-status">
            Status
          </button>
        )}
      </nav>
      <span class="grow" />
      <Live />
      <WitnessMark />
      <button
        type="button"
        class="text-button"
        title="Local time or UTC (t)"
        onClick={() => model.setZone(zone.value === "utc" ? "local" : "utc")}
        data-testid="zone"
      >
        {zone.value === "utc" ? "UTC" : "Local"}
      </button>
      <ThemeButton />
      <button type="button" class="icon-button" title="Help and keys (?)" aria-label="Help and keys" onClick={() => { model.dialog.value = "help"; }} data-testid="help">
        <Icon name="help" />
      </button>
      <Account />
    </header>
  );
}

function Live() {
  const state = model.feed.live.value;
  return (
    <span class={`live-state ${state}`} role="status" data-testid="live-state" data-state={state}>
      <span class="live-dot" aria-hidden="true" />
      <span class="live-word">{LIVE_WORDS[state]}</span>
      {(state === "live" || state === "catching-up") && <span class="live-rate">{rate(model.feed.rate.value)}</span>}
    </span>
  );
}

/** What the browser as a witness found. */
function WitnessMark() {
  const verdict = verdictNow.value;
  if (verdict === undefined) return null;
  const words = { good: "The log begins with what this browser saw before", alarm: "The log is not what this browser saw before", unknown: "Not compared with what this browser saw before" };
  return (
    <span class={`witness-mark is-${verdict.kind}`} title={words[verdict.kind]} role="img" aria-label={words[verdict.kind]} data-testid="witness-mark" data-state={verdict.kind}>
      <Icon name={verdict.kind === "good" ? "shieldOk" : verdict.kind === "alarm" ? "alert" : "shield"} />
    </span>
  );
}

const THEMES: readonly Theme[] = ["auto", "light", "dark"];

function ThemeButton() {
  const icons = { auto: "auto", light: "sun", dark: "moon" } as const;
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "auto";
  return (
    <button type="button" class="icon-button" title={`Colours: ${theme.value}`} aria-label={`Colours: ${theme.value}; change to ${next}`} onClick={() => { theme.value = next; }} data-testid="theme">
      <Icon name={icons[theme.value]} />
    </button>
  );
}

function Account() {
  const [open, setOpen] = useState(false);
  const ref = useRef<HTMLDivElement>(null);
  const state = model.session.state.value;
  useEffect(() => {
    if (!open) return;
    const close = (event: Event) => {
      if (event instanceof KeyboardEvent ? event.key === "Escape" : !(ref.current?.contains(event.target as Node) ?? false)) setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, [open]);
  if (state.kind !== "ready" || !state.caller.authenticated) return null;
  const { principal, expire_time, rights, readable_types } = state.caller;
  return (
    <div class="menu-place" ref={ref}>
      <button type="button" class="text-button account" aria-haspopup="true" aria-expanded={open} onClick={() => setOpen(!open)} data-testid="account">
        <Safe text={principal} max={32} />
      </button>
      {open && (
        <div class="menu account-menu" data-testid="account-menu">
          <p>
            Signed in as{" "}
            <strong>
              <Safe text={principal} max={200} />
            </strong>
          </p>
          <p class="hint">
            May read {readable_types.length} event types{rights.length > 0 ? `; rights: ${rights.join(", ")}` : ""}.
          </p>
          {expire_time !== undefined && <p class="hint">Until {showTime(toMs(expire_time), zone.value).slice(0, 19)}.</p>}
          {model.session.signedIn && (
            <button type="button" class="button" onClick={() => model.session.forget()} data-testid="forget">
              <Icon name="exit" /> Forget the token
            </button>
          )}
        </div>
      )}
    </div>
  );
}

/** The buttons beside the filter. */
export function Actions() {
  const { feed } = model;
  const state = feed.live.value;
  const paused = model.paused.value;
  const wanted = model.liveWanted.value && model.around.value === undefined;
  return (
    <div class="actions">
      <button type="button" class="button" aria-pressed={narrow.value ? facetSheet.value : facetsShown.value === "yes"} title="Show or hide the most frequent values" aria-label="Most frequent values" onClick={toggleFacets} data-testid="facets-toggle">
        <Icon name="facets" />
      </button>
      <button type="button" class="button" aria-pressed={model.dialog.value === "cel"} onClick={() => model.toggleCel()} data-testid="cel-toggle">
        CEL
      </button>
      {wanted ? (
        <button type="button" class={paused ? "button primary" : "button"} aria-pressed={paused} title="Pause or resume (space)" onClick={togglePause} disabled={state === "off"} data-testid="pause">
          <Icon name={paused ? "play" : "pause"} />
          <span>{paused ? "Resume" : "Pause"}</span>
        </button>
      ) : (
        <button type="button" class="button" onClick={() => (model.around.value === undefined ? model.toggleLive() : model.leaveAround())} data-testid="go-live">
          <Icon name="play" />
          <span>Live</span>
        </button>
      )}
      <More />
    </div>
  );
}

function toggleFacets(): void {
  if (narrow.value) facetSheet.value = !facetSheet.value;
  else facetsShown.value = facetsShown.value === "yes" ? "no" : "yes";
}

export function togglePause(): void {
  if (model.paused.value) toTop();
  else model.setPaused(true);
}

function More() {
  return (
    <>
      <button type="button" class="button" onClick={() => { model.dialog.value = "copy"; }} title="Copy as a command, or link" data-testid="copy-menu">
        <Icon name="copy" />
        <span class="only-wide">Copy</span>
      </button>
      <button type="button" class="button" onClick={() => { model.dialog.value = "export"; }} title="Export the records of the filter" data-testid="export">
        <Icon name="download" />
        <span class="only-wide">Export</span>
      </button>
    </>
  );
}
