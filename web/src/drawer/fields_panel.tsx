// The fields of a record in groups; each value can be filtered by, excluded, copied.

import { useState } from "preact/hooks";
import { negation } from "../filter/query";
import { model } from "../state/model";
import { escaped } from "../text/escape";
import { copy } from "../ui/clipboard";
import { Icon } from "../ui/icons";
import { counted, grouped } from "../ui/numbers";
import { Safe } from "../ui/safe";
import { Spinner } from "../ui/state";
import type { RecordView } from "./record";
import type { FieldView, GroupView } from "./view";

/** How many characters of a value are shown at first, and how many at most. */
const VALUE_SHORT = 1_000;
const VALUE_MAX = 200_000;
const PATH_MAX = 160;
/** How many fields of a group are shown at first, and how many more at a time. */
const FIELDS_STEP = 300;

export function FieldsPanel({ view }: { readonly view: RecordView | undefined }) {
  if (view === undefined) return <Spinner label="Loading the fields" />;
  return (
    <>
      {view.amendments.length > 0 && (
        <section class="amendments" aria-label="What the gateway changed" data-testid="amendments">
          <h3>The gateway changed this event before it stored it</h3>
          <ul>
            {view.amendments.map((amendment) => (
              <li>
                <code>
                  <Safe text={amendment.path} max={200} />
                </code>{" "}
                <Safe text={amendment.action.replaceAll("_", " ")} max={60} />
                {amendment.detail !== "" && <span class="muted"> (<Safe text={amendment.detail} max={200} />)</span>}
              </li>
            ))}
          </ul>
        </section>
      )}
      {view.groups.map((group) => (
        <Group key={group.title} group={group} />
      ))}
      {view.unknown.length > 0 && (
        <p class="hint">{counted(view.unknown.length, "field")} that this page does not know: see Raw.</p>
      )}
    </>
  );
}

/** An event may have more labels than a browser has patience. */
function Group({ group: { title, fields } }: { readonly group: GroupView }) {
  const [shown, setShown] = useState(FIELDS_STEP);
  const more = fields.length - shown;
  return (
    <section class="group">
      <h3>{title}</h3>
      <dl>
        {fields.slice(0, shown).map((field) => (
          <Field key={field.path} field={field} />
        ))}
      </dl>
      {more > 0 && (
        <button type="button" class="button small" onClick={() => setShown(shown + FIELDS_STEP)} data-testid="more-fields">
          Show {grouped(Math.min(more, FIELDS_STEP))} more of {counted(fields.length, "field")}
        </button>
      )}
    </section>
  );
}

/** A path may break at its points. */
function Path({ path }: { readonly path: string }) {
  return (
    <>
      {path.split(".").map((name, index) => (
        <>
          {index > 0 && (
            <>
              .<wbr />
            </>
          )}
          <Safe text={name} />
        </>
      ))}
    </>
  );
}

function Field({ field }: { readonly field: FieldView }) {
  const [all, setAll] = useState(false);
  const only = field.token;
  const not = only === undefined ? undefined : negation(only);
  const name = escaped(field.path.slice(0, PATH_MAX));
  const limit = all ? VALUE_MAX : VALUE_SHORT;
  return (
    <div class="field" data-testid="field" data-path={field.path}>
      <dt title={field.help}>
        <span class="field-name">
          <Path path={field.path.replace(/^event\./, "").slice(0, PATH_MAX)} />
        </span>
        {field.note !== "" && <span class="field-note">{field.note}</span>}
        {field.help !== "" && <span class="field-help">{field.help}</span>}
      </dt>
      <dd>
        <span class={field.block ? "field-value block" : "field-value"}>
          {field.value === "" ? <span class="muted">empty</span> : <Safe text={field.value} max={limit} lines={field.block} />}
          {field.value.length > limit && (
            <button type="button" class="button small" onClick={() => setAll(true)}>
              Show {field.value.length > VALUE_MAX ? "more" : "all"} of {counted(field.value.length, "character")}
            </button>
          )}
        </span>
        <span class="field-actions">
          {only !== undefined && (
            <button type="button" class="icon-button" title="Only this" aria-label={`Only this ${name}`} onClick={() => model.addToken(only)} data-testid="only-this">
              <Icon name="plus" />
            </button>
          )}
          {not !== undefined && (
            <button type="button" class="icon-button" title="Not this" aria-label={`Not this ${name}`} onClick={() => model.addToken(not)} data-testid="not-this">
              <Icon name="minus" />
            </button>
          )}
          <button type="button" class="icon-button" title="Copy" aria-label={`Copy ${name}`} onClick={() => void copy(field.value, "the value")} data-testid="copy-value">
            <Icon name="copy" />
          </button>
        </span>
      </dd>
    </div>
  );
}
