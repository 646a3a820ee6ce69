// A record as JSON, and as the bytes that are in the log.

import { useState } from "preact/hooks";
import { copy, save } from "../ui/clipboard";
import { model } from "../state/model";
import { Icon } from "../ui/icons";
import { counted, bytes as size } from "../ui/numbers";
import { Safe } from "../ui/safe";
import { Spinner } from "../ui/state";
import type { RecordView } from "./record";

const JSON_SHORT = 20_000;
const JSON_MAX = 400_000;

export function JsonPanel({ view }: { readonly view: RecordView | undefined }) {
  const [all, setAll] = useState(false);
  if (view === undefined) return <Spinner label="Loading the JSON" />;
  const limit = all ? JSON_MAX : JSON_SHORT;
  return (
    <>
      <div class="panel-actions">
        <button type="button" class="button small" onClick={() => void copy(view.json, "the JSON")}>
          <Icon name="copy" /> Copy
        </button>
      </div>
      <pre class="code" data-testid="json">
        <Safe text={view.json} max={limit} lines />
      </pre>
      {view.json.length > limit && (
        <button type="button" class="button small" onClick={() => setAll(true)} disabled={all}>
          Show more of {counted(view.json.length, "character")}
        </button>
      )}
    </>
  );
}

export function RawPanel({ bytes, view }: { readonly bytes: Uint8Array; readonly view: RecordView | undefined }) {
  if (view === undefined) return <Spinner label="Loading the bytes" />;
  const opened = model.opened.value;
  return (
    <>
      <p class="hint">
        The record as it is stored, {size(bytes.length)}. Its SHA-256 is the entry of the tree that proofs are about.
      </p>
      <div class="panel-actions">
        <button type="button" class="button small" onClick={() => save(`record-${opened?.sequence ?? ""}.binpb`, [bytes.slice()], "application/octet-stream")}>
          <Icon name="download" /> Download
        </button>
      </div>
      {view.unknown.length > 0 && (
        <section class="group" data-testid="unknown-fields">
          <h3>Fields that this page does not know</h3>
          <p class="hint">A newer client or gateway wrote them. The log keeps them as they came.</p>
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Field</th>
                <th scope="col">Wire type</th>
                <th scope="col">Bytes</th>
                <th scope="col">Value</th>
              </tr>
            </thead>
            <tbody>
              {view.unknown.map((field) => (
                <tr>
                  <td>{field.path}</td>
                  <td>{field.wireType}</td>
                  <td>{field.bytes}</td>
                  <td>
                    <Safe text={field.preview} max={100} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      <pre class="code hex" tabIndex={0} aria-label="Bytes" data-testid="hex">
        {view.dump}
      </pre>
      {view.dumped < bytes.length && <p class="hint">The first {size(view.dumped)} are shown. Download the record for the rest.</p>}
    </>
  );
}
