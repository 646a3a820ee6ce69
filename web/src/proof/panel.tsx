// The badge of a record, what it stands for, and the alarm of the witness.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { model } from "../state/model";
import { zone } from "../state/settings";
import { showTime } from "../text/time";
import { copy, save } from "../ui/clipboard";
import { Icon } from "../ui/icons";
import { counted, grouped } from "../ui/numbers";
import { Safe } from "../ui/safe";
import { Spinner } from "../ui/state";
import { prover, sizeOf, type Badge } from "./prover";
import { verdict as verdictNow, visiting } from "./state";
import { proofFile } from "./inclusion";
import { sentence } from "../transport/error";
import type { Verdict } from "./witness";

/** The badge of the record in the drawer. */
const badge = signal<{ sequence: bigint; badge: Badge } | undefined>(undefined);

async function prove(sequence: bigint, record: Uint8Array): Promise<void> {
  badge.value = { sequence, badge: { kind: "checking" } };
  const result = await prover.prove(sequence, record);
  if (badge.value?.sequence === sequence) badge.value = { sequence, badge: result };
}

const SHORT: Readonly<Record<Badge["kind"], string>> = { checking: "Proving", proven: "Proven", refuted: "Not proven", unknown: "Cannot prove" };

export function BadgeButton({ sequence, record }: { readonly sequence: bigint; readonly record: Uint8Array }) {
  const known = badge.value?.sequence === sequence ? badge.value.badge : undefined;
  const onClick = () => {
    model.tab.value = "proof";
    if (known === undefined) void prove(sequence, record);
  };
  return (
    <button type="button" class={`badge proof-badge ${known?.kind ?? "none"}`} onClick={onClick} aria-live="polite" data-testid="proof-badge" data-state={known?.kind ?? "none"}>
      <Icon name={known?.kind === "proven" ? "shieldOk" : known?.kind === "refuted" ? "alert" : "shield"} />
      {known === undefined ? "Prove" : SHORT[known.kind]}
    </button>
  );
}

export function ProofPanel({ sequence, record }: { readonly sequence: bigint; readonly record: Uint8Array }) {
  const known = badge.value?.sequence === sequence ? badge.value.badge : undefined;
  useEffect(() => {
    if (badge.value?.sequence !== sequence) void prove(sequence, record);
  }, [sequence, record]);
  if (known === undefined || known.kind === "checking") return <Spinner label="Fetching the proof and checking it here" />;
  return (
    <div class="proof" data-testid="proof" data-state={known.kind}>
      {known.kind === "proven" && (
        <>
          <p class="proof-result good">
            <Icon name="shieldOk" />
            This record is in the log, byte for byte, at position {grouped(sequence)} of {grouped(known.checkpoint.size)}.
          </p>
          <p>
            {known.signed ? (
              <>
                This page hashed the record, followed the path of {counted(known.proof.hashes.length, "hash", "hashes")} to the root of the tree, and verified the signature of{" "}
                <strong>
                  <Safe text={known.checkpoint.origin} max={120} />
                </strong>{" "}
                on it, in {Math.max(1, Math.round(known.ms))} ms.
              </>
            ) : (
              <>The path leads to the root of the checkpoint. The signature on the checkpoint was not verified: this browser lacks Ed25519, or the key is not known yet.</>
            )}
          </p>
          <div class="panel-actions">
            <button type="button" class="button small" onClick={() => save(`${sequence}.tlog-proof`, [proofFile(known.proof)], "text/plain")} data-testid="proof-download">
              <Icon name="download" /> Download the proof
            </button>
            <button type="button" class="button small" onClick={() => void copy(`auditgate verify --proof ${sequence}.tlog-proof --verifier-key prod.key.pub`, "the command")}>
              <Icon name="copy" /> auditgate verify
            </button>
          </div>
          <h3>What this shows, and what not</h3>
          <p class="hint">
            The gateway that proves also sent this page, and the key. Against the gateway itself only the downloaded proof counts, checked with{" "}
            <code>auditgate verify</code> on a machine that you trust, with a key that you got from somebody else.
          </p>
          <h3>Checkpoint</h3>
          <pre class="code">
            <Safe text={known.checkpoint.text} lines />
          </pre>
        </>
      )}
      {known.kind === "refuted" && (
        <>
          <p class="proof-result bad" role="alert">
            <Icon name="alert" />
            The proof that the gateway sent does not hold: <Safe text={known.why} max={400} />.
          </p>
          <p>Keep the evidence, and tell those who rely on the log. Do not trust this gateway until it is explained.</p>
          {known.proof !== undefined && (
            <button type="button" class="button small" onClick={() => known.proof !== undefined && save(`${sequence}.tlog-proof`, [proofFile(known.proof)], "text/plain")}>
              <Icon name="download" /> Download what it sent
            </button>
          )}
        </>
      )}
      {known.kind === "unknown" && (
        <>
          <p class="proof-result">
            <Icon name="shield" />
            <Safe text={known.why} max={400} />
          </p>
          <p>{known.advice}</p>
          <button type="button" class="button small" onClick={() => void prove(sequence, record)}>
            Try again
          </button>
        </>
      )}
      <WitnessNote />
    </div>
  );
}

/** What this browser has seen of the log. */
export function WitnessNote() {
  const verdict = verdictNow.value;
  if (verdict === undefined) return null;
  return (
    <section class="witness" data-testid="witness" data-state={verdict.kind}>
      <h3>This browser as a witness</h3>
      {verdict.kind === "good" && (
        <p class="hint">
          {verdict.before === undefined
            ? `It keeps the checkpoint of ${counted(verdict.now.size, "record")} from now on, and checks with each visit that the log still begins with them.`
            : `The log still begins with the ${counted(BigInt(sizeOf(verdict.before.checkpoint) === "?" ? 0 : sizeOf(verdict.before.checkpoint)), "record")} that it saw on ${showTime(verdict.before.seen, zone.value).slice(0, 19)}; nothing was changed, removed or inserted. First seen on ${showTime(verdict.kept.first_seen, zone.value).slice(0, 10)}.`}
        </p>
      )}
      {verdict.kind === "unknown" && (
        <p class="hint">
          It cannot tell now: <Safe text={verdict.why} max={300} />
        </p>
      )}
      {verdict.kind === "alarm" && <p class="proof-result bad">The log is not what this browser saw before. See the alarm.</p>}
      <button type="button" class="button small" onClick={() => void prover.visit()} disabled={visiting.value} data-testid="witness-check">
        Check now
      </button>
    </section>
  );
}

/** Stands above everything else when the log is not what it was. */
export function Alarm() {
  const verdict = verdictNow.value;
  if (verdict?.kind !== "alarm") return null;
  return (
    <section class="alarm" role="alert" aria-labelledby="alarm-title" data-testid="alarm">
      <div class="alarm-head">
        <Icon name="alert" />
        <div>
          <h2 id="alarm-title">The log is not the one that this browser saw before</h2>
          <p>
            <Safe text={sentence(verdict.why)} max={400} />
          </p>
        </div>
      </div>
      <p>
        Both checkpoints together are the evidence: save them before anything else. Then ask the operator whether the log was replaced on purpose, for instance with a
        new data directory. If it was not, records were changed or removed.
      </p>
      <div class="panel-actions">
        <button type="button" class="button" onClick={() => save("auditgate-evidence.txt", [evidence(verdict)], "text/plain")} data-testid="alarm-save">
          <Icon name="download" /> Save the evidence
        </button>
        <button type="button" class="button" onClick={() => { if (window.confirm("Forget what this browser saw, and watch the log as it is now? Save the evidence first.")) void prover.startAnew(); }} data-testid="alarm-accept">
          It was replaced on purpose
        </button>
      </div>
      <div class="alarm-evidence">
        <Evidence title={`Seen on ${showTime(verdict.before.seen, zone.value).slice(0, 19)}`} text={verdict.before.checkpoint} keyText={verdict.before.verifier_key} testid="alarm-before" />
        <Evidence title="Now" text={verdict.now} keyText={verdict.nowKey} testid="alarm-now" />
      </div>
    </section>
  );
}

function Evidence({ title, text, keyText, testid }: { readonly title: string; readonly text: string; readonly keyText: string; readonly testid: string }) {
  return (
    <figure data-testid={testid}>
      <figcaption>{title}</figcaption>
      <pre class="code">
        {text === "" ? "The gateway sent no checkpoint." : <Safe text={text} max={2_000} lines />}
        {keyText !== "" && <Safe text={`\nkey ${keyText}`} max={400} lines />}
      </pre>
    </figure>
  );
}

function evidence(verdict: Extract<Verdict, { kind: "alarm" }>): string {
  return [
    `${verdict.why}`,
    "",
    `Gateway: ${location.origin}`,
    `Checkpoint that this browser saw at ${new Date(verdict.before.seen).toISOString()}, verifier key ${verdict.before.verifier_key}:`,
    "",
    verdict.before.checkpoint,
    `Checkpoint at ${new Date().toISOString()}, verifier key ${verdict.nowKey}:`,
    "",
    verdict.now,
  ].join("\n");
}
