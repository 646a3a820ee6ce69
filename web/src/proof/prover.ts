// Proofs in the page: the badge of a record, and the browser as a witness.

import { explain } from "../ui/explain";
import type { Transport } from "../transport/transport";
import { GetInclusionProof, type InclusionProof } from "../wire/messages";
import { cryptoSupport, InvalidProof, parseCheckpoint, type Checkpoint, type CryptoSupport } from "./checkpoint";
import { checkInclusion } from "./inclusion";
import { equal } from "./merkle";
import { model } from "../state/model";
import { support, verdict, visiting } from "./state";
import { witness, type Keep } from "./witness";

const KEPT = "auditgate-witness";

export type Badge =
  | { readonly kind: "checking" }
  /** The record is in the log; without `signed`, the browser could not verify the signature. */
  | { readonly kind: "proven"; readonly checkpoint: Checkpoint; readonly signed: boolean; readonly proof: InclusionProof; readonly ms: number }
  | { readonly kind: "refuted"; readonly why: string; readonly proof: InclusionProof | undefined }
  | { readonly kind: "unknown"; readonly why: string; readonly advice: string };

export class Prover {
  private readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Compares the log with what this browser saw last. */
  async visit(): Promise<void> {
    if (visiting.value) return;
    visiting.value = true;
    try {
      support.value = await cryptoSupport();
      if (support.value !== "all") {
        verdict.value = { kind: "unknown", why: unsupported(support.value).why };
        return;
      }
      verdict.value = await witness(this.transport, storage(), Date.now());
    } catch (error) {
      verdict.value = { kind: "unknown", why: explain(error).title };
    } finally {
      visiting.value = false;
    }
  }

  /** Takes the log as it is now for the one to watch: after an alarm that was understood. */
  async startAnew(): Promise<void> {
    storage().set("");
    await this.visit();
  }

  /** Proves that a record is in the log. */
  async prove(sequence: bigint, record: Uint8Array): Promise<Badge> {
    const known = support.value ?? (await cryptoSupport());
    support.value = known;
    if (known === "none") return { kind: "unknown", ...unsupported(known) };
    let proof: InclusionProof | undefined;
    const began = performance.now();
    try {
      proof = await this.transport.unary(GetInclusionProof, { sequence });
      const seen = verdict.value;
      const key = known === "all" && seen?.kind === "good" ? seen.key : undefined;
      const checkpoint = await checkInclusion(proof, record, key);
      if (seen?.kind === "good") await this.agrees(seen.now, checkpoint);
      return { kind: "proven", checkpoint, signed: key !== undefined, proof, ms: performance.now() - began };
    } catch (error) {
      if (error instanceof InvalidProof) return { kind: "refuted", why: error.message, proof };
      const { title, advice } = explain(error);
      return { kind: "unknown", why: title, advice };
    }
  }

  /** Two checkpoints of one size must be the same; a later one is looked at with the next visit. */
  private async agrees(seen: Checkpoint, now: Checkpoint): Promise<void> {
    if (seen.size === now.size && !equal(seen.root, now.root)) {
      await this.visit();
      throw new InvalidProof("two checkpoints of the same size have different roots: there are two histories");
    }
  }
}

/** What to say where a browser lacks cryptography. */
export function unsupported(support: CryptoSupport): { why: string; advice: string } {
  return support === "none"
    ? {
        why: "This page was loaded over plain HTTP from another machine, and browsers offer no cryptography there.",
        advice: "Open it over HTTPS or on the machine of the gateway, or check the record with auditgate receipt and auditgate verify.",
      }
    : {
        why: "This browser cannot verify Ed25519 signatures.",
        advice: "Chrome 137, Firefox 129 and Safari 17 can. Or check the record with auditgate verify.",
      };
}

/** The size that a checkpoint covers, for people. */
export function sizeOf(text: string): string {
  try {
    return String(parseCheckpoint(text).size);
  } catch {
    return "?";
  }
}

/** What is kept goes by the origin of the page, which storage does by itself. */
function storage(): Keep {
  return {
    get: () => {
      try {
        return localStorage.getItem(KEPT);
      } catch {
        return null;
      }
    },
    set: (value) => {
      try {
        localStorage.setItem(KEPT, value);
      } catch {
        // Without storage each visit is the first.
      }
    },
  };
}

export const prover = new Prover(model.transport);
