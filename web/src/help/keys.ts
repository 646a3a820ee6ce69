// The keyboard, in one table: what a key does, and what the help says of it.

import { focusFilter } from "../filter/bar";
import { token } from "../filter/tokens";
import { negation } from "../filter/query";
import { tokenOfColumn } from "../records/columns";
import { rowOf } from "../records/list";
import { active, activeRecord, focusList, move, moveColumn, toBottom, toTop } from "../records/grid";
import { togglePause } from "../header/header";
import { model } from "../state/model";
import { letterKeys, zone } from "../state/settings";

export interface Key {
  readonly keys: readonly string[];
  readonly shown: string;
  readonly help: string;
  /** Only while the list has the focus, or nothing has. */
  readonly inList?: boolean;
  readonly run: () => void;
}

/** To the record, once it is there: who does not see it appear has to get there. */
function focusDrawer(): void {
  requestAnimationFrame(() => setTimeout(() => document.querySelector<HTMLElement>(".drawer")?.focus()));
}

function onRecord(run: (row: ReturnType<typeof rowOf>) => void): () => void {
  return () => {
    const record = activeRecord();
    if (record !== undefined) run(rowOf(record));
    else model.say("Choose a record first, with j and k.");
  };
}

export const KEYS: readonly Key[] = [
  { keys: ["/"], shown: "/", help: "Write a filter", run: focusFilter },
  { keys: ["j", "ArrowDown"], shown: "j ↓", help: "Next record", inList: true, run: () => move(1) },
  { keys: ["k", "ArrowUp"], shown: "k ↑", help: "Previous record", inList: true, run: () => move(-1) },
  { keys: ["PageDown"], shown: "PgDn", help: "20 records on", inList: true, run: () => move(20) },
  { keys: ["PageUp"], shown: "PgUp", help: "20 records back", inList: true, run: () => move(-20) },
  { keys: ["ArrowRight"], shown: "→", help: "Next column", inList: true, run: () => moveColumn(1) },
  { keys: ["ArrowLeft"], shown: "←", help: "Previous column", inList: true, run: () => moveColumn(-1) },
  {
    keys: ["Enter"],
    shown: "Enter",
    help: "Open the record",
    inList: true,
    run: () => {
      const record = activeRecord();
      if (record === undefined) return;
      model.open(record);
      focusDrawer();
    },
  },
  {
    keys: ["o"],
    shown: "o",
    help: "Only records with this value",
    inList: true,
    run: onRecord((row) => {
      const only = tokenOfColumn(row, active.value?.column ?? 2);
      if (only !== undefined) model.addToken(only);
    }),
  },
  {
    keys: ["x"],
    shown: "x",
    help: "Only records without this value",
    inList: true,
    run: onRecord((row) => {
      const only = tokenOfColumn(row, active.value?.column ?? 2);
      const not = only === undefined ? undefined : negation(only);
      if (not !== undefined) model.addToken(not);
    }),
  },
  {
    keys: ["s"],
    shown: "s",
    help: "Only the session of the record",
    inList: true,
    run: onRecord((row) => {
      if (row.session === "") model.say("This record belongs to no session.");
      else model.addToken(token("session", row.session));
    }),
  },
  { keys: [" "], shown: "Space", help: "Pause, or resume", inList: true, run: togglePause },
  { keys: ["g", "Home"], shown: "g", help: "To the newest record, and on with live", inList: true, run: toTop },
  { keys: ["G", "End"], shown: "G", help: "To the oldest record that is loaded", inList: true, run: toBottom },
  {
    keys: ["t"],
    shown: "t",
    help: "Local time or UTC",
    run: () => model.setZone(zone.value === "utc" ? "local" : "utc"),
  },
  {
    keys: ["Escape"],
    shown: "Esc",
    help: "Close the record; leave the row",
    run: () => {
      if (model.opened.value !== undefined) {
        model.close();
        focusList();
      }
      else if (model.dialog.value === "cel") model.dialog.value = undefined;
      else active.value = undefined;
    },
  },
  {
    keys: ["?"],
    shown: "?",
    help: "This help",
    run: () => {
      model.dialog.value = "help";
    },
  },
];

/** Keys in fields belong to the fields; keys on buttons that press them, too. */
export function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (model.session.state.value.kind !== "ready") return;
  const at = event.target instanceof Element ? event.target : undefined;
  if (at?.closest("input, textarea, select, dialog, [role=application]") != null) return;
  const pressed = KEYS.find(({ keys }) => keys.includes(event.key));
  if (pressed === undefined) return;
  const onControl = at?.closest("button, a, [role=tab], [role=tabpanel]") != null;
  if (onControl && ["Enter", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"].includes(event.key)) return;
  if (pressed.inList === true && model.view.value !== "events") return;
  if (letterKeys.value === "list" && event.key.length === 1 && at?.closest("[role=grid]") == null) return;
  event.preventDefault();
  pressed.run();
}
