// The page.

import { effect } from "@preact/signals";
import { render } from "preact";
import { CelEditor } from "./filter/cel";
import { FilterBar } from "./filter/bar";
import { Drawer } from "./drawer/drawer";
import { CopyDialog, ExportDialog } from "./export/dialog";
import { FacetPanel } from "./facets/panel";
import { Actions, Header } from "./header/header";
import { Help } from "./help/help";
import { onKey } from "./help/keys";
import { Chart } from "./histogram/chart";
import { Alarm } from "./proof/panel";
import { Announcer, Grid, ListHead } from "./records/grid";
import { Gate } from "./session/sign_in";
import { model } from "./state/model";
import { narrow, watchWindow } from "./state/settings";
import { StatusView } from "./status/view";

function App() {
  if (model.session.state.value.kind !== "ready") return <Gate />;
  const dialog = model.dialog.value;
  const close = () => {
    model.dialog.value = undefined;
  };
  return (
    <div class={`app${model.opened.value === undefined ? "" : " with-drawer"}`}>
      <Header />
      <Alarm />
      {model.view.value === "status" ? <StatusView /> : <Events />}
      {dialog === "help" && <Help onClose={close} />}
      {dialog === "export" && <ExportDialog onClose={close} />}
      {dialog === "copy" && <CopyDialog onClose={close} />}
      <Announcer />
      <Notice />
    </div>
  );
}

function Events() {
  return (
    <main class="events" aria-label="Events">
      <div class="bar">
        <FilterBar />
        <Actions />
      </div>
      {model.dialog.value === "cel" && <CelEditor />}
      <Chart />
      <div class="body">
        {!narrow.value && <FacetPanel />}
        <div class="list-side">
          <ListHead />
          <Grid />
        </div>
        <Drawer />
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
          {notice.text}
        </div>
      )}
    </div>
  );
}

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no element app");
watchWindow();
document.addEventListener("keydown", onKey);
effect(() => {
  const kind = model.session.state.value.kind;
  if (kind === "signed-out" || kind === "certificate-only") model.signedOut();
});
render(<App />, root);
void model.start();
