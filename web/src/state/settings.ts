// What a reader prefers, kept in this browser.

import { effect, signal, type Signal } from "@preact/signals";
import type { Zone } from "../text/time";

export type Theme = "auto" | "light" | "dark";

const PREFIX = "auditgate-";

function kept<T extends string>(name: string, values: readonly T[]): Signal<T> {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(PREFIX + name);
  } catch {
    // Without storage the first value holds.
  }
  const initial = values.find((value) => value === stored) ?? values[0];
  if (initial === undefined) throw new Error(`${name} has no values`);
  const setting = signal<T>(initial);
  effect(() => {
    const value = setting.value;
    try {
      localStorage.setItem(PREFIX + name, value);
    } catch {
      // It lasts until the page is left.
    }
  });
  return setting;
}

export const zone = kept<Zone>("zone", ["local", "utc"]);
export const theme = kept<Theme>("theme", ["auto", "light", "dark"]);
/** Letters as commands everywhere, or only in the list: who speaks to the computer, or types by accident, may want the latter. */
export const letterKeys = kept<"everywhere" | "list">("keys", ["everywhere", "list"]);
export const facetsShown = kept<"yes" | "no">("facets", ["yes", "no"]);

/** In a narrow window the facets lie over the list, until a value is chosen. */
export const facetSheet = signal(false);

/** A narrow window has rows of two lines and a drawer over all of it. */
export const narrow = signal(false);

export function watchWindow(): void {
  const query = window.matchMedia("(max-width: 760px)");
  const update = () => {
    narrow.value = query.matches;
  };
  query.addEventListener("change", update);
  update();
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    document.documentElement.dataset["theme"] = theme.value === "auto" ? (dark.matches ? "dark" : "light") : theme.value;
  };
  dark.addEventListener("change", paint);
  effect(paint);
}
