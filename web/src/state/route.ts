// What is shown, as the fragment of the address: filters name people, and fragments reach no
// server's log.

import { format } from "../filter/grammar";
import { parse } from "../filter/grammar";
import type { Token } from "../filter/tokens";

export type View = "events" | "status";

export interface Route {
  readonly view: View;
  readonly tokens: readonly Token[];
  /** The record in the drawer; its id tells whether the log is still the same. */
  readonly record: { readonly sequence: bigint; readonly id: string } | undefined;
  /** The records around this one, whatever the filter. */
  readonly around: bigint | undefined;
  readonly live: boolean;
}

const SEQUENCE_MAX = (1n << 64n) - 1n;

/** Reads a fragment. Nothing for the filter means that none was said. */
export function parseRoute(fragment: string): Omit<Route, "tokens"> & { readonly tokens: readonly Token[] | undefined } {
  const said = new URLSearchParams(fragment.replace(/^#/, ""));
  const query = said.get("q");
  const record = sequence(said.get("r"));
  return {
    view: said.get("view") === "status" ? "status" : "events",
    tokens: query === null ? undefined : parse(query).tokens,
    record: record === undefined ? undefined : { sequence: record, id: said.get("id") ?? "" },
    around: sequence(said.get("around")),
    live: said.get("live") !== "0",
  };
}

/** The fragment of a route, with its `#`. */
export function formatRoute(route: Route): string {
  const said = new URLSearchParams();
  if (route.view !== "events") said.set("view", route.view);
  said.set("q", format(route.tokens));
  if (route.around !== undefined) said.set("around", String(route.around));
  if (route.record !== undefined) {
    said.set("r", String(route.record.sequence));
    if (route.record.id !== "") said.set("id", route.record.id);
  }
  if (!route.live) said.set("live", "0");
  return `#${said}`;
}

function sequence(text: string | null): bigint | undefined {
  if (text === null || !/^\d{1,20}$/.test(text)) return undefined;
  const number = BigInt(text);
  return number > 0n && number <= SEQUENCE_MAX ? number : undefined;
}
