// views.js: what the first sight of the page does not need.

import { chunk } from "./chunk";

export type Views = typeof import("../views");

export const { code: views, load: loadViews } = chunk<Views>("views.js");
