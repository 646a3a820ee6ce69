// The editor of the expression: the gateway checks it while it is written, which reads no
// record and leaves no trace; the error is underlined, and the nearest name is a fix.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { loadRecordCode } from "../drawer/load";
import type { FieldInfo } from "../drawer/record";
import { model } from "../state/model";
import { Icon } from "../ui/icons";
import { Safe } from "../ui/safe";
import { CheckFilter, Filter, type FilterProblem } from "../wire/messages";
import { empty } from "../wire/codec";
import { offsetOf, pathBefore } from "./place";
import { conjunction } from "./query";
import { token } from "./tokens";

/** How long after the last key the gateway is asked, in milliseconds. */
const CHECK_MS = 250;
const FIELDS_MAX = 10;

function current(): string {
  return conjunction(model.tokens.value.filter(({ key, negated }) => key === "cel" && !negated).map(({ value }) => value));
}

export function CelEditor() {
  const [text, setText] = useState(current);
  const [cursor, setCursor] = useState(0);
  const [checked, setChecked] = useState<{ text: string; problem: FilterProblem | undefined; failed: boolean }>({ text: "", problem: undefined, failed: false });
  const [fields, setFields] = useState<readonly FieldInfo[]>([]);
  const [chosen, setChosen] = useState(-1);
  const area = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    area.current?.focus();
    const end = text.length;
    area.current?.setSelectionRange(end, end);
  }, []);
  useEffect(() => {
    const controller = new AbortController();
    const timer = setTimeout(() => {
      const filter = { ...empty(Filter), expression: text };
      model.transport.unary(CheckFilter, { filter }, { signal: controller.signal, deadlineMs: 5_000 }).then(
        ({ problems }) => setChecked({ text, problem: problems[0], failed: false }),
        () => !controller.signal.aborted && setChecked({ text, problem: undefined, failed: true }),
      );
    }, CHECK_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [text]);
  const path = pathBefore(text, cursor);
  useEffect(() => {
    setChosen(-1);
    if (path === undefined) {
      setFields([]);
      return;
    }
    let live = true;
    void loadRecordCode().then((code) => {
      if (!live) return;
      const wanted = path.part.toLowerCase();
      const below = code.fieldsBelow(path.below).filter((field) => lastName(field.path).toLowerCase().startsWith(wanted));
      setFields(below.length === 1 && lastName(below[0]?.path ?? "") === path.part ? [] : below.slice(0, FIELDS_MAX));
    });
    return () => {
      live = false;
    };
  }, [path?.below, path?.part]);

  const problem = checked.text === text ? checked.problem : undefined;
  const apply = () => {
    const rest = model.tokens.value.filter(({ key, negated }) => key !== "cel" || negated);
    model.dialog.value = undefined;
    model.setTokens(text.trim() === "" ? rest : [...rest, token("cel", text.trim())]);
  };
  const insert = (name: string, from: number, to: number) => {
    const next = text.slice(0, from) + name + text.slice(to);
    setText(next);
    const end = from + name.length;
    requestAnimationFrame(() => {
      area.current?.focus();
      area.current?.setSelectionRange(end, end);
      setCursor(end);
    });
  };
  const takeField = (field: FieldInfo) => {
    if (path !== undefined) insert(lastName(field.path) + (field.kind === "message" && field.path === "event" ? "." : ""), path.from, cursor);
  };
  const fix = (name: string) => {
    if (problem === undefined || problem.line === 0) return;
    const from = offsetOf(text, problem.line, problem.column);
    const to = offsetOf(text, problem.line, problem.column + problem.length);
    insert(name, from, to);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      if (fields.length > 0) setFields([]);
      else model.dialog.value = undefined;
      event.preventDefault();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey || (!event.shiftKey && chosen < 0))) {
      apply();
      event.preventDefault();
    } else if (fields.length > 0 && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      setChosen(Math.max(-1, Math.min(fields.length - 1, chosen + (event.key === "ArrowDown" ? 1 : -1))));
      event.preventDefault();
    } else if (fields.length > 0 && ((event.key === "Tab" && !event.shiftKey) || event.key === "Enter")) {
      const field = fields[Math.max(0, chosen)];
      if (field !== undefined) takeField(field);
      event.preventDefault();
    }
  };
  const follow = () => setCursor(area.current?.selectionStart ?? 0);
  return (
    <div class="cel" role="group" aria-label="Expression" data-testid="cel-editor">
      <div class="cel-text">
        <Underlined text={text} problem={problem} />
        <textarea
          ref={area}
          value={text}
          rows={Math.min(8, Math.max(2, text.split("\n").length))}
          spellcheck={false}
          autocapitalize="off"
          autocomplete="off"
          aria-label="Expression in CEL"
          aria-invalid={problem !== undefined}
          aria-describedby="cel-problem"
          aria-autocomplete="list"
          aria-controls={fields.length > 0 ? "cel-fields" : undefined}
          aria-activedescendant={chosen >= 0 ? `cel-field-${chosen}` : undefined}
          placeholder="event.user.name == 'alice' && result == 'failure'"
          onInput={(event) => {
            setText(event.currentTarget.value);
            follow();
          }}
          onKeyUp={follow}
          onClick={follow}
          onKeyDown={onKeyDown}
          data-testid="cel-input"
        />
        {fields.length > 0 && (
          <ul class="suggestions" id="cel-fields" role="listbox" aria-label="Fields">
            {fields.map((field, index) => (
              <li
                key={field.path}
                id={`cel-field-${index}`}
                role="option"
                aria-selected={index === chosen}
                class={index === chosen ? "suggestion chosen" : "suggestion"}
                onMouseDown={(event) => {
                  event.preventDefault();
                  takeField(field);
                }}
                data-testid="suggestion"
              >
                <span class="suggestion-label">
                  {field.path} <span class="kind">{field.kind}</span>
                </span>
                <span class="suggestion-help">{field.help}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <div class="cel-foot">
        <span id="cel-problem" class={problem === undefined ? "cel-ok" : "cel-bad"} role="status" data-testid="cel-problem">
          {problem !== undefined ? (
            <>
              {problem.line > 0 && <span class="place">{`${problem.line}:${problem.column} `}</span>}
              <Safe text={problem.message} max={400} />
              {problem.line > 0 &&
                problem.nearest.slice(0, 3).map((name) => (
                  <button type="button" class="button small" onClick={() => fix(name)} data-testid="cel-fix">
                    Use <Safe text={name} max={60} />
                  </button>
                ))}
            </>
          ) : checked.failed ? (
            "The gateway could not check it."
          ) : text.trim() !== "" && checked.text === text ? (
            <>
              <Icon name="ok" /> The expression is valid.
            </>
          ) : (
            "Fields of event, and type, severity, result, sequence, accept_time, clock_skew, emitter. Enter applies, Shift+Enter breaks the line."
          )}
        </span>
        <button type="button" class="button small" onClick={() => { model.dialog.value = undefined; }}>
          Cancel
        </button>
        <button type="button" class="button small primary" onClick={apply} disabled={problem !== undefined} data-testid="cel-apply">
          Apply
        </button>
      </div>
    </div>
  );
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf(".") + 1);
}

/** The same text below the transparent one, with the error underlined. */
function Underlined({ text, problem }: { readonly text: string; readonly problem: FilterProblem | undefined }) {
  const ref = useRef<HTMLPreElement>(null);
  useLayoutEffect(() => {
    const area = ref.current?.nextElementSibling;
    if (area instanceof HTMLElement && ref.current !== null) ref.current.scrollTop = area.scrollTop;
  });
  if (problem === undefined || problem.line === 0) return <pre class="cel-under" aria-hidden="true" ref={ref}>{`${text}\n`}</pre>;
  const from = offsetOf(text, problem.line, problem.column);
  const to = Math.max(from + 1, offsetOf(text, problem.line, problem.column + problem.length));
  return (
    <pre class="cel-under" aria-hidden="true" ref={ref}>
      {text.slice(0, from)}
      <span class="cel-error" data-testid="cel-error">
        {text.slice(from, to) || " "}
      </span>
      {`${text.slice(to)}\n`}
    </pre>
  );
}
