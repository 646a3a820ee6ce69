// Code that is loaded when it is first needed.

import { type ReadonlySignal, signal } from "@preact/signals";

export interface Chunk<Code> {
  /** The code, once it is there. */
  readonly code: ReadonlySignal<Code | undefined>;
  /** Loads it. After a failure, the next call tries again. */
  load(): Promise<Code>;
}

/** The chunk in the file `name`, beside this one. */
export function chunk<Code>(name: string): Chunk<Code> {
  const code = signal<Code | undefined>(undefined);
  let loading: Promise<Code> | undefined;
  return {
    code,
    load() {
      // A name that the bundler leaves alone.
      loading ??= import(new URL(name, import.meta.url).href).then(
        (loaded: Code) => {
          code.value = loaded;
          return loaded;
        },
        (error: unknown) => {
          loading = undefined;
          throw error;
        },
      );
      return loading;
    },
  };
}
