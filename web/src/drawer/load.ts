// Loads record.js when it is first needed.

import { signal } from "@preact/signals";

export type RecordCode = typeof import("./record");

/** The code, once it is there. */
export const recordCode = signal<RecordCode | undefined>(undefined);
let loading: Promise<RecordCode> | undefined;

export function loadRecordCode(): Promise<RecordCode> {
  loading ??= import(recordUrl()).then(
    (code: RecordCode) => {
      recordCode.value = code;
      return code;
    },
    (error: unknown) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
}

/** A name that the bundler leaves alone. */
function recordUrl(): string {
  return new URL("record.js", import.meta.url).href;
}
