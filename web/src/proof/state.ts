// What the page knows of the log's proofs.

import { signal } from "@preact/signals";
import type { CryptoSupport } from "./checkpoint";
import type { Verdict } from "./witness";

export const support = signal<CryptoSupport | undefined>(undefined);
export const verdict = signal<Verdict | undefined>(undefined);
export const visiting = signal(false);
