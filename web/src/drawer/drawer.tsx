// One record: its fields, JSON, bytes, session, and proof.

import { useEffect, useMemo, useRef } from "preact/hooks";
import { toCommandLine } from "../filter/shell";
import { token } from "../filter/tokens";
import { resultWord, severityWord, who } from "../records/columns";
import { zone } from "../state/settings";
import { model, type DrawerTab, type Opened } from "../state/model";
import { showBoth, showTime } from "../text/time";
import { copy } from "../ui/clipboard";
import { Icon } from "../ui/icons";
import { Safe } from "../ui/safe";
import { Failure, Spinner } from "../ui/state";
import { readRow, summaryOf } from "../wire/row";
import { BadgeButton, ProofPanel } from "../proof/panel";
import { FieldsPanel } from "./fields_panel";
import { JsonPanel, RawPanel } from "./bytes_panel";
import { loadRecordCode, recordCode } from "./load";
import { SessionPanel } from "./session_panel";

const TABS: readonly (readonly [DrawerTab, string])[] = [
  ["fields", "Fields"],
  ["json", "JSON"],
  ["raw", "Raw"],
  ["session", "Session"],
  ["proof", "Proof"],
];

export function Drawer() {
  const opened = model.opened.value;
  if (opened === undefined) return null;
  return (
    <aside class="drawer" aria-label={`Record ${opened.sequence}`} tabIndex={-1} data-testid="drawer">
      <div class="drawer-bar">
        <strong>Record {String(opened.sequence)}</strong>
        <span class="grow" />
        {opened.kind === "record" && (
          <>
            <button type="button" class="icon-button" title="50 records on each side of it" aria-label="Records around it" onClick={() => model.showAround(opened.sequence)} data-testid="around">
              <Icon name="around" />
            </button>
            <button type="button" class="icon-button" title="Copy a link to this record" aria-label="Copy link" onClick={() => void copy(location.href, "a link to this record")} data-testid="permalink">
              <Icon name="link" />
            </button>
          </>
        )}
        <button type="button" class="icon-button" title="Close (Esc)" aria-label="Close" onClick={() => model.close()} data-testid="drawer-close">
          <Icon name="close" />
        </button>
      </div>
      {opened.kind === "loading" && (
        <div class="drawer-body">
          <Spinner label="Loading the record" />
        </div>
      )}
      {opened.kind === "failed" && (
        <div class="drawer-body">
          <Failure error={opened.error} />
        </div>
      )}
      {opened.kind === "record" && <Body opened={opened} />}
    </aside>
  );
}

function Body({ opened }: { readonly opened: Extract<Opened, { kind: "record" }> }) {
  const row = useMemo(() => readRow(opened.bytes), [opened.bytes]);
  const tab = model.tab.value;
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (recordCode.value === undefined) loadRecordCode().catch(() => model.say("record.js could not be loaded. Reload the page.", "bad"));
  }, []);
  useEffect(() => {
    if (body.current !== null) body.current.scrollTop = 0;
  }, [opened.bytes, tab]);
  const result = resultWord(row);
  const tabs = TABS.filter(([name]) => (name !== "proof" || model.canProve.value) && (name !== "session" || row.session !== ""));
  const shown = tabs.some(([name]) => name === tab) ? tab : "fields";
  // Decoded once for all panels that show it.
  const code = recordCode.value;
  const decoded = shown === "fields" || shown === "json" || shown === "raw";
  const view = useMemo(() => (decoded ? code?.viewRecord(opened.bytes) : undefined), [code, opened.bytes, decoded]);
  return (
    <>
      {opened.warning !== "" && (
        <p class="banner bad" role="alert" data-testid="permalink-warning">
          <Icon name="alert" />
          <Safe text={opened.warning} max={600} />
        </p>
      )}
      <p class="visually-hidden" role="status">
        Record {String(opened.sequence)}: <Safe text={[row.type, result, who(row)].filter((part) => part !== "" && part !== "-").join(", ")} max={200} />
      </p>
      <div class="drawer-head">
        <h2>
          <Safe text={row.type} max={200} />
        </h2>
        <p class="drawer-summary">
          <Safe text={summaryOf(row)} max={300} />
        </p>
        <p class="badges">
          <span class={`badge sev-${row.severity}`}>{severityWord(row)}</span>
          {row.result > 0 && <span class={`badge result-${result}`}>{result}</span>}
          {row.amended && <span class="badge amended-badge">amended</span>}
          <span class="drawer-time" title={showBoth(row.time)}>
            {showTime(row.time, zone.value)}
          </span>
          {model.canProve.value && <BadgeButton sequence={opened.sequence} record={opened.bytes} />}
        </p>
      </div>
      <div class="tabs" role="tablist" aria-label="Views of the record">
        {tabs.map(([name, title]) => (
          <button
            type="button"
            role="tab"
            id={`tab-${name}`}
            aria-selected={shown === name}
            aria-controls="drawer-panel"
            tabIndex={shown === name ? 0 : -1}
            class={shown === name ? "tab chosen" : "tab"}
            onClick={() => {
              model.tab.value = name;
            }}
            onKeyDown={(event) => {
              const at = tabs.findIndex(([other]) => other === name);
              const next = event.key === "ArrowRight" ? tabs[at + 1] : event.key === "ArrowLeft" ? tabs[at - 1] : undefined;
              if (next === undefined) return;
              model.tab.value = next[0];
              document.getElementById(`tab-${next[0]}`)?.focus();
              event.stopPropagation();
            }}
            data-testid={`tab-${name}`}
          >
            {title}
          </button>
        ))}
      </div>
      <div class="drawer-body" id="drawer-panel" role="tabpanel" aria-labelledby={`tab-${shown}`} tabIndex={0} ref={body}>
        {shown === "fields" && <FieldsPanel view={view} />}
        {shown === "json" && <JsonPanel view={view} />}
        {shown === "raw" && <RawPanel bytes={opened.bytes} view={view} />}
        {shown === "session" && <SessionPanel session={row.session} sequence={opened.sequence} />}
        {shown === "proof" && <ProofPanel sequence={opened.sequence} record={opened.bytes} />}
      </div>
      <div class="drawer-foot">
        {row.session !== "" && (
          <button type="button" class="button small" onClick={() => model.addToken(token("session", row.session))}>
            <Icon name="session" /> Only this session
          </button>
        )}
        <button type="button" class="button small" onClick={() => void copy(toCommandLine([token("cel", `sequence == ${opened.sequence}u`)], false), "a command")}>
          <Icon name="copy" /> As command
        </button>
      </div>
    </>
  );
}
