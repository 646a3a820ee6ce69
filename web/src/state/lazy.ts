// Loads views.js: what the first sight of the page does not need.

import { signal } from "@preact/signals";

export type Views = typeof import("../views");

/** The views, once they are there. */
export const views = signal<Views | undefined>(undefined);
let loading: Promise<Views> | undefined;

export function loadViews(): Promise<Views> {
  loading ??= import(viewsUrl()).then(
    (loaded: Views) => {
      views.value = loaded;
      return loaded;
    },
    (error: unknown) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
}

/** A name that the bundler leaves alone. */
function viewsUrl(): string {
  return new URL("views.js", import.meta.url).href;
}
