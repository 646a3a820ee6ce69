// The browser as a witness: it keeps the last checkpoint of each gateway that it visits, and
// has the next one proven to begin with the same records. It needs no trust in the gateway
// for what lies between two visits, though the page itself comes from it.

import type { Transport } from "../transport/transport";
import { CallError, Code } from "../transport/error";
import { GetCheckpoint, GetConsistencyProof } from "../wire/messages";
import { InvalidProof, parseVerifierKey, verifyCheckpoint, type Checkpoint, type VerifierKey } from "./checkpoint";
import { equal, isConsistent } from "./merkle";

/** What is kept between visits. */
export interface Kept {
  readonly checkpoint: string;
  readonly verifier_key: string;
  /** When it was seen, in milliseconds since 1970. */
  readonly seen: number;
  /** When the first one was seen. */
  readonly first_seen: number;
  /** How many records the first one covered. */
  readonly first_size: string;
}

export type Verdict =
  /** The log begins with what was kept; or nothing had been kept. */
  | { readonly kind: "good"; readonly now: Checkpoint; readonly key: VerifierKey; readonly before: Kept | undefined; readonly kept: Kept }
  /** The log is not what it was. */
  | { readonly kind: "alarm"; readonly why: string; readonly before: Kept; readonly now: string; readonly nowKey: string }
  /** It cannot be told. */
  | { readonly kind: "unknown"; readonly why: string };

export interface Keep {
  get(): string | null;
  set(value: string): void;
}

/** Reads what was kept; nothing if that is not readable. */
export function readKept(text: string | null): Kept | undefined {
  if (text === null) return undefined;
  try {
    const kept = JSON.parse(text) as Partial<Kept>;
    if (typeof kept.checkpoint !== "string" || typeof kept.verifier_key !== "string" || typeof kept.seen !== "number") return undefined;
    return { first_seen: kept.seen, first_size: "0", ...kept } as Kept;
  } catch {
    return undefined;
  }
}

/** Looks at the log now, and compares it with what was kept. */
export async function witness(transport: Transport, keep: Keep, time: number): Promise<Verdict> {
  const before = readKept(keep.get());
  let now = { checkpoint: "", verifier_key: "" };
  try {
    now = await transport.unary(GetCheckpoint, {});
    const key = await parseVerifierKey(before?.verifier_key ?? now.verifier_key);
    if (before !== undefined && now.verifier_key !== before.verifier_key) {
      return alarm("the key that signs checkpoints is another one, so this is another log, or its key was replaced", before, now);
    }
    const checkpoint = await verifyCheckpoint(now.checkpoint, key);
    if (before === undefined) {
      const kept: Kept = { ...now, seen: time, first_seen: time, first_size: String(checkpoint.size) };
      keep.set(JSON.stringify(kept));
      return { kind: "good", now: checkpoint, key, before, kept };
    }
    const old = await verifyCheckpoint(before.checkpoint, key);
    return await compare(transport, keep, time, { before, old, now: checkpoint, key });
  } catch (error) {
    if (before !== undefined && error instanceof InvalidProof) return alarm(error.message, before, now);
    if (before !== undefined && error instanceof CallError && error.reason === "PROOF_BROKEN") return alarm(error.message, before, now);
    if (error instanceof InvalidProof || error instanceof CallError) return { kind: "unknown", why: error.message };
    throw error;
  }
}

interface Comparison {
  readonly before: Kept;
  readonly old: Checkpoint;
  readonly now: Checkpoint;
  readonly key: VerifierKey;
}

async function compare(transport: Transport, keep: Keep, time: number, { before, old, now, key }: Comparison): Promise<Verdict> {
  const shown = { checkpoint: now.text, verifier_key: key.text };
  if (now.size < old.size) {
    return alarm(`the log had ${old.size} records, and now has ${now.size}: it was rolled back`, before, shown);
  }
  if (now.size === old.size && !equal(now.root, old.root)) {
    return alarm("two checkpoints of the same size have different roots: there are two histories", before, shown);
  }
  let latest = now;
  if (now.size > old.size) {
    let proof;
    try {
      proof = await transport.unary(GetConsistencyProof, { old_size: old.size });
    } catch (error) {
      if (error instanceof CallError && error.code !== Code.UNAUTHENTICATED && ["OLD_SIZE_AHEAD", "PROOF_BROKEN"].includes(error.reason)) {
        return alarm(error.message, before, shown);
      }
      throw error;
    }
    latest = await verifyCheckpoint(proof.checkpoint, key);
    if (!(await isConsistent(old, latest, proof.hashes))) {
      return alarm(`the log of ${latest.size} records does not begin with the ${old.size} records that this browser saw`, before, {
        checkpoint: proof.checkpoint,
        verifier_key: key.text,
      });
    }
  }
  const kept: Kept = { ...before, checkpoint: latest.text, verifier_key: key.text, seen: time };
  keep.set(JSON.stringify(kept));
  return { kind: "good", now: latest, key, before, kept };
}

function alarm(why: string, before: Kept, now: { checkpoint: string; verifier_key: string }): Verdict {
  return { kind: "alarm", why, before, now: now.checkpoint, nowKey: now.verifier_key };
}
