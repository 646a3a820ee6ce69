// views.js: what is shown when somebody asks for it. It shares the modules of app.js.

export { CelEditor } from "./filter/cel";
export { CopyDialog, ExportDialog } from "./export/dialog";
export { Drawer } from "./drawer/drawer";
export { Help } from "./help/help";
export { Alarm } from "./proof/panel";
export { prover } from "./proof/prover";
export { StatusView } from "./status/view";
