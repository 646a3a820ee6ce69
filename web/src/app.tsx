// The page.

import { effect } from "@preact/signals";
import { render } from "preact";
import { FilterBar } from "./filter/bar";
import { FacetPanel } from "./facets/panel";
import { Actions, Header } from "./header/header";
import { onKey } from "./help/keys";
import { Chart } from "./histogram/chart";
import { Announcer, Grid, ListHead } from "./records/grid";
import { Gate } from "./session/sign_in";
import { views } from "./state/lazy";
import { model } from "./state/model";
import { watchWindow } from "./state/settings";
import { Safe } from "./ui/safe";
import { Spinner } from "./ui/state";

function App() {
  if (model.session.state.value.kind !== "ready") return <Gate />;
  const dialog = model.dialog.value;
  const rest = views.value;
  const close = () => {
    model.dialog.value = undefined;
  };
  return (
    <div class={`app${model.opened.value === undefined ? "" : " with-drawer"}`}>
      <Header />
      {rest !== undefined && <rest.Alarm />}
      {model.view.value === "events" ? <Events /> : rest === undefined ? <Loading /> : <rest.StatusView />}
      {rest !== undefined && dialog === "help" && <rest.Help onClose={close} />}
      {rest !== undefined && dialog === "export" && <rest.ExportDialog onClose={close} />}
      {rest !== undefined && dialog === "copy" && <rest.CopyDialog onClose={close} />}
      <Announcer />
      <Notice />
    </div>
  );
}

function Loading() {
  return (
    <main class="status">
      <Spinner label="Loading" />
    </main>
  );
}

function Events() {
  const rest = views.value;
  return (
    <main class="events" aria-label="Events">
      <h1 class="visually-hidden">Events</h1>
      <div class="bar">
        <FilterBar />
        <Actions />
      </div>
      {rest !== undefined && model.dialog.value === "cel" && <rest.CelEditor />}
      <Chart />
      <div class="body">
        <FacetPanel />
        <div class="list-side">
          <ListHead />
          <Grid />
        </div>
        {rest !== undefined && <rest.Drawer />}
      </div>
    </main>
  );
}

function Notice() {
  const notice = model.notice.value;
  return (
    <div class="notice-place" role="status" aria-live="polite">
      {notice !== undefined && (
        <div class={`notice ${notice.kind}`} data-testid="notice">
          <Safe text={notice.text} max={600} />
        </div>
      )}
    </div>
  );
}

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no element app");
watchWindow();
document.addEventListener("keydown", onKey);
document.title = `auditgate ${location.host}`;
effect(() => {
  const kind = model.session.state.value.kind;
  if (kind === "signed-out" || kind === "certificate-only") model.signedOut();
});
render(<App />, root);
void model.start();
