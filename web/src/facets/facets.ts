// The most frequent values of some fields over the records of the filter.

import { signal } from "@preact/signals";
import { CallError, Code } from "../transport/error";
import type { Transport } from "../transport/transport";
import { TopValues, type TopValuesResponse } from "../wire/messages";
import type { Query } from "../filter/query";

export interface Facet {
  readonly title: string;
  /** The path for TopValues. */
  readonly path: string;
  /** The token that selects a value. */
  readonly key: string;
}

export const FACETS: readonly Facet[] = [
  { title: "Type", path: "type", key: "type" },
  { title: "Category", path: "category", key: "category" },
  { title: "Severity", path: "severity", key: "severity" },
  { title: "Result", path: "result", key: "result" },
  { title: "User", path: "user.name", key: "user" },
  { title: "Server", path: "server.id", key: "server-id" },
];

const VALUES = 8;
/** Values that complete a token. */
const COMPLETIONS = 1_000;

export class Facets {
  readonly values = signal<TopValuesResponse | undefined>(undefined);
  readonly loading = signal(false);
  readonly error = signal<unknown>(undefined);
  /** When they were counted, in milliseconds since 1970. */
  readonly at = signal(0);
  private controller: AbortController | undefined;
  private readonly transport: Transport;
  private readonly completions = new Map<string, Promise<string[]>>();

  constructor(transport: Transport) {
    this.transport = transport;
  }

  async load(query: Query): Promise<void> {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    this.loading.value = true;
    this.error.value = undefined;
    this.completions.clear();
    try {
      const { filter, start_time, end_time } = query;
      const fields = FACETS.map(({ path }) => path);
      const response = await this.transport.unary(TopValues, { filter, start_time, end_time, fields, limit: VALUES }, { signal: controller.signal });
      if (controller.signal.aborted) return;
      this.values.value = response;
      this.at.value = Date.now();
    } catch (error) {
      if (controller.signal.aborted || (error instanceof CallError && error.code === Code.CANCELLED)) return;
      this.error.value = error;
      this.values.value = undefined;
    } finally {
      if (this.controller === controller) this.loading.value = false;
    }
  }

  /** The values of a field, the most frequent first. Asked for once until the filter changes: each question is itself an audited read. */
  complete(path: string, query: Query): Promise<string[]> {
    let known = this.completions.get(path);
    if (known === undefined) {
      const { filter, start_time, end_time } = query;
      known = this.transport
        .unary(TopValues, { filter, start_time, end_time, fields: [path], limit: COMPLETIONS })
        .then((response) => (response.fields[0]?.values ?? []).filter(({ cut }) => !cut).map(({ value }) => value));
      this.completions.set(path, known);
      known.catch(() => this.completions.delete(path));
    }
    return known;
  }

  clear(): void {
    this.controller?.abort();
    this.values.value = undefined;
    this.error.value = undefined;
    this.loading.value = false;
    this.completions.clear();
  }
}
