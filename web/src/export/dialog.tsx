// Export, and the filter as a command.

import { useRef, useState } from "preact/hooks";
import { toCommandLine, toGrpcurl } from "../filter/shell";
import { model } from "../state/model";
import { zone } from "../state/settings";
import { CallError, Code } from "../transport/error";
import { copy, save } from "../ui/clipboard";
import { Dialog } from "../ui/dialog";
import { explain } from "../ui/explain";
import { Icon } from "../ui/icons";
import { bytes as size, counted, grouped } from "../ui/numbers";
import { Safe } from "../ui/safe";
import { exportRecords, EXPORT_RECORDS_MAX, EXPORT_TEXT_MAX, type Format } from "./export";

const TYPES: Readonly<Record<Format, string>> = { ndjson: "application/x-ndjson", csv: "text/csv" };

export function ExportDialog({ onClose }: { readonly onClose: () => void }) {
  const [format, setFormat] = useState<Format>("ndjson");
  const [progress, setProgress] = useState<number | undefined>(undefined);
  const [result, setResult] = useState("");
  const [failed, setFailed] = useState("");
  const controller = useRef<AbortController | undefined>(undefined);
  const query = model.lastQuery.value;
  const close = () => {
    controller.current?.abort();
    onClose();
  };
  const start = async () => {
    if (query === undefined) return;
    const running = new AbortController();
    controller.current = running;
    setFailed("");
    setResult("");
    setProgress(0);
    try {
      const exported = await exportRecords(model.transport, query, format, EXPORT_RECORDS_MAX, running.signal, ({ records }) => setProgress(records));
      const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "");
      save(`auditgate-${stamp}.${format}`, exported.parts, TYPES[format]);
      const notes = [`Exported ${counted(exported.records, "record")}.`];
      if (exported.cut) notes.push(`More match: export them with the command line, which has no limit.`);
      if (exported.gaps > 0) notes.push(`${counted(exported.gaps, "range")} of records could not be read.`);
      setResult(notes.join(" "));
    } catch (error) {
      if (error instanceof CallError && error.code === Code.CANCELLED) setResult("Cancelled. Nothing was saved.");
      else setFailed(`${explain(error).title} ${explain(error).advice}`);
    } finally {
      setProgress(undefined);
      controller.current = undefined;
    }
  };
  const running = progress !== undefined;
  return (
    <Dialog title="Export" onClose={close} testid="export-dialog">
      <p>All records of the filter, newest first, at most {grouped(EXPORT_RECORDS_MAX)} or {size(EXPORT_TEXT_MAX)}.</p>
      <fieldset class="choices" disabled={running}>
        <legend class="visually-hidden">Format</legend>
        <label class="choice">
          <input type="radio" name="format" checked={format === "ndjson"} onChange={() => setFormat("ndjson")} data-testid="export-ndjson" />
          <span>
            <strong>NDJSON</strong>
            <span class="hint">One record a line, whole: equal to auditgate search -o ndjson</span>
          </span>
        </label>
        <label class="choice">
          <input type="radio" name="format" checked={format === "csv"} onChange={() => setFormat("csv")} data-testid="export-csv" />
          <span>
            <strong>CSV</strong>
            <span class="hint">14 columns. Cells that a spreadsheet would run as a formula begin with an apostrophe</span>
          </span>
        </label>
      </fieldset>
      {running && (
        <div class="export-progress" role="status" data-testid="export-progress">
          <progress />
          {counted(progress, "record")}
        </div>
      )}
      {result !== "" && (
        <p class="good-text" role="status" data-testid="export-result">
          {result}
        </p>
      )}
      {failed !== "" && (
        <p class="bad-text" role="alert">
          {failed}
        </p>
      )}
      <div class="dialog-actions">
        {running ? (
          <button type="button" class="button" onClick={() => controller.current?.abort()} data-testid="export-cancel">
            Cancel
          </button>
        ) : (
          <button type="button" class="button primary" onClick={() => void start()} data-testid="export-start">
            <Icon name="download" /> Export
          </button>
        )}
      </div>
    </Dialog>
  );
}

/** The default ports are a thousand apart. */
function grpcAddress(): string {
  const said = model.session.info.value.grpc;
  if (said !== undefined) return said;
  const port = Number(location.port);
  return port > 1000 ? `${location.hostname}:${port - 1000}` : `${location.hostname}:50051`;
}

export function CopyDialog({ onClose }: { readonly onClose: () => void }) {
  const query = model.lastQuery.value;
  const tokens = model.tokens.value;
  const secure = location.protocol === "https:";
  const authenticated = model.session.signedIn;
  const commands: [string, string, string][] = [
    ["Link", location.href, "copy-link"],
    ["Command line", toCommandLine(tokens, zone.value === "utc"), "copy-cli"],
  ];
  if (query !== undefined) commands.push(["grpcurl", toGrpcurl(query, grpcAddress(), secure, authenticated), "copy-grpcurl"]);
  return (
    <Dialog title="Copy the filter" onClose={onClose} testid="copy-dialog">
      {commands.map(([name, text, testid]) => (
        <section class="command">
          <h3>{name}</h3>
          <div class="command-line">
            <pre class="code" tabIndex={0} data-testid={testid}>
              <Safe text={text} lines />
            </pre>
            <button type="button" class="button small" onClick={() => void copy(text, name === "Link" ? "the link" : "the command")}>
              <Icon name="copy" /> Copy
            </button>
          </div>
        </section>
      ))}
      <p class="hint">
        The command line reads its server, token and certificates from AUDITGATE_SERVER, AUDITGATE_TOKEN_FILE and so on. The gateway's gRPC port may differ from the one that is shown.
      </p>
    </Dialog>
  );
}
