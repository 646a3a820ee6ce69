// The filter bar: tokens, and the word that is being written.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { model } from "../state/model";
import { Icon } from "../ui/icons";
import { escaped } from "../text/escape";
import { inOurWords } from "../ui/explain";
import { Safe } from "../ui/safe";
import { CheckFilter, type FilterProblem } from "../wire/messages";
import { CallError, Code } from "../transport/error";
import { pathOf, suggest, wordOf, type Suggestion } from "./complete";
import { show, type Problem } from "./grammar";
import { isCommandLine, parseBar } from "./shell";
import { kindOf, token, without, withToken, type Token } from "./tokens";

let field: HTMLInputElement | null = null;
const problems = signal<readonly Problem[]>([]);
/** What the gateway says is wrong with the filter. */
const refused = signal<readonly FilterProblem[]>([]);

export function focusFilter(): void {
  field?.focus();
  field?.select();
}

export function FilterBar() {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(-1);
  const [focused, setFocused] = useState(false);
  /** A filter was just set: suggestions would cover what comes of it. */
  const [quiet, setQuiet] = useState(false);
  const [values, setValues] = useState<{ path: string; values: readonly string[] }>({ path: "", values: [] });
  const input = useRef<HTMLInputElement>(null);
  const tokens = model.tokens.value;
  const word = wordOf(lastWord(text));
  const path = pathOf(word);
  const suggestions = focused && !quiet ? suggest(word, model.catalog.value, path !== undefined && values.path === path ? values.values : []) : [];

  useEffect(() => {
    field = input.current;
  }, []);
  useEffect(() => {
    const query = model.lastQuery.value;
    if (path === undefined || query === undefined || !focused || values.path === path) return;
    let current = true;
    model.facets.complete(path, query).then(
      (found) => current && setValues({ path, values: found }),
      () => current && setValues({ path, values: [] }),
    );
    return () => {
      current = false;
    };
  }, [path, focused]);
  useEffect(() => setValues({ path: "", values: [] }), [tokens]);
  useRefusals();

  const commit = (line: string) => {
    const parsed = parseBar(line);
    problems.value = parsed.problems;
    if (parsed.problems.length > 0) {
      setQuiet(true);
      setText(line);
      return;
    }
    let next: readonly Token[] = tokens;
    if (isCommandLine(line)) {
      next = parsed.tokens;
      if (parsed.ignored.length > 0) model.say(`Left out ${parsed.ignored.join(", ")}: the page shows all results as rows.`);
    } else {
      for (const added of parsed.tokens) next = withToken(next, added);
    }
    setText("");
    setChosen(-1);
    setQuiet(true);
    model.setTokens(next);
  };
  const take = (suggestion: Suggestion) => {
    const line = text.slice(0, text.length - lastWord(text).length) + suggestion.text;
    setChosen(-1);
    if (suggestion.whole) commit(line);
    else {
      setText(line);
      input.current?.focus();
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    switch (event.key) {
      case "ArrowDown":
        setQuiet(false);
        setChosen(Math.min(suggestions.length - 1, chosen + 1));
        event.preventDefault();
        break;
      case "ArrowUp":
        setChosen(Math.max(-1, chosen - 1));
        event.preventDefault();
        break;
      case "Enter": {
        const suggestion = suggestions[chosen];
        if (suggestion !== undefined) take(suggestion);
        else if (text.trim() === "") model.run();
        else commit(text);
        event.preventDefault();
        break;
      }
      case "Tab": {
        const suggestion = suggestions[Math.max(0, chosen)];
        if (suggestion !== undefined && text !== "" && !event.shiftKey) {
          take(suggestion);
          event.preventDefault();
        }
        break;
      }
      case "Backspace": {
        const last = tokens[tokens.length - 1];
        if (text === "" && last !== undefined) {
          edit(last);
          event.preventDefault();
        }
        break;
      }
      case "Escape":
        if (text !== "") setText("");
        else input.current?.blur();
        problems.value = [];
        setChosen(-1);
        event.preventDefault();
        event.stopPropagation();
        break;
    }
  };
  const edit = (edited: Token) => {
    if (edited.key === "cel" && !edited.negated) {
      model.toggleCel();
      return;
    }
    model.setTokens(without(tokens, edited));
    setText(show(edited));
    input.current?.focus();
  };
  const onPaste = (event: ClipboardEvent) => {
    const pasted = event.clipboardData?.getData("text/plain") ?? "";
    if (!isCommandLine(pasted)) return;
    event.preventDefault();
    commit(pasted.trim());
  };
  const open = suggestions.length > 0;
  return (
    <div class="filter" role="search">
      <div class="filter-box">
        <Icon name="search" />
        <div class="tokens">
          {tokens.map((each) => (
            <Chip key={show(each)} token={each} onEdit={() => edit(each)} onRemove={() => model.setTokens(without(tokens, each))} />
          ))}
          <input
            ref={input}
            class="filter-input"
            type="text"
            value={text}
            spellcheck={false}
            autocomplete="off"
            autocapitalize="off"
            placeholder={tokens.length === 0 ? "Filter: type:user.* failed since:1h … or paste an auditgate search line" : "+ filter"}
            aria-label="Filter"
            role="combobox"
            aria-expanded={open}
            aria-controls={open ? "filter-suggestions" : undefined}
            aria-autocomplete="list"
            aria-activedescendant={chosen >= 0 ? `suggestion-${chosen}` : undefined}
            aria-invalid={problems.value.length > 0}
            onInput={(event) => {
              setText(event.currentTarget.value);
              setQuiet(false);
              setChosen(-1);
              problems.value = [];
            }}
            onKeyDown={onKeyDown}
            onPaste={onPaste}
            onFocus={() => {
              setFocused(true);
              setQuiet(false);
            }}
            onBlur={() => setFocused(false)}
            data-testid="filter-input"
          />
        </div>
        {tokens.length > 0 && (
          <button type="button" class="icon-button" title="Remove all filters" aria-label="Remove all filters" onClick={() => model.setTokens([])} data-testid="filter-clear">
            <Icon name="close" />
          </button>
        )}
        {open && (
          <ul class="suggestions" id="filter-suggestions" role="listbox" aria-label="Suggestions">
            {suggestions.map((suggestion, index) => (
              <li
                key={suggestion.text}
                id={`suggestion-${index}`}
                role="option"
                aria-selected={index === chosen}
                class={index === chosen ? "suggestion chosen" : "suggestion"}
                onMouseDown={(event) => {
                  event.preventDefault();
                  take(suggestion);
                }}
                data-testid="suggestion"
              >
                <span class="suggestion-label">
                  <Safe text={suggestion.label} max={80} />
                </span>
                <span class="suggestion-help">{suggestion.help}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <Problems onFix={(problem) => { problems.value = []; setText(text.replace(problem.word, problem.fix ?? problem.word)); input.current?.focus(); }} />
    </div>
  );
}

function lastWord(text: string): string {
  // Blanks within quotes belong to the word.
  let from = 0;
  let inside = false;
  for (let at = 0; at < text.length; at++) {
    const letter = text.charAt(at);
    if (letter === '"' && text.charAt(at - 1) !== "\\") inside = !inside;
    else if (/\s/.test(letter) && !inside) from = at + 1;
  }
  return text.slice(from);
}

function Chip({ token: shown, onEdit, onRemove }: { readonly token: Token; readonly onEdit: () => void; readonly onRemove: () => void }) {
  const failed = show(shown) === "failed";
  const text = failed ? "failed" : shown.value;
  const bad = refused.value.some((problem) => blames(problem, shown));
  return (
    <span class={`chip${shown.negated ? " negated" : ""}${bad ? " bad" : ""}`} data-testid="token" data-token={show(shown)}>
      <button type="button" class="chip-text" onClick={onEdit} title={`${kindOf(shown.key)?.help ?? ""}. Click to edit.`}>
        {!failed && (
          <span class="chip-key">
            {shown.negated ? "-" : ""}
            {shown.key}:
          </span>
        )}
        <Safe text={text} max={60} />
      </button>
      <button type="button" class="chip-remove" aria-label={`Remove ${shown.key} ${escaped(text.slice(0, 60))}`} onClick={onRemove}>
        <Icon name="close" />
      </button>
    </span>
  );
}

/** When the gateway refuses the filter, it is asked what all is wrong with it. */
function useRefusals(): void {
  const error = model.feed.error.value;
  useEffect(() => {
    refused.value = [];
    const query = model.lastQuery.value;
    if (!(error instanceof CallError) || error.code !== Code.INVALID_ARGUMENT || query === undefined) return;
    let current = true;
    model.transport.unary(CheckFilter, { filter: query.filter }).then(
      (answer) => {
        if (current) refused.value = answer.problems;
      },
      () => {},
    );
    return () => {
      current = false;
    };
  }, [error]);
}

/** The token that a problem of the gateway is about. */
function blames(problem: FilterProblem, of: Token): boolean {
  return tokenOf(problem) === of;
}

function tokenOf({ field: path }: FilterProblem): Token | undefined {
  const parts = /^filter\.(\w+)(?:\[(\d+)\])?/.exec(path);
  if (parts === null) return undefined;
  const candidates = model.tokens.value.filter(({ key, negated }) => {
    const kind = kindOf(key);
    return negated ? kind?.notField === parts[1] : kind?.field === parts[1];
  });
  return candidates[Number(parts[2] ?? 0)];
}

function Problems({ onFix }: { readonly onFix: (problem: Problem) => void }) {
  const own = problems.value;
  const theirs = refused.value;
  if (own.length === 0 && theirs.length === 0) return null;
  return (
    <div role="alert" data-testid="filter-problems">
      <ul class="problems">
        {own.map((problem) => (
          <li>
            <code>
              <Safe text={problem.word} max={80} />
            </code>
            <Safe text={problem.message} max={300} />
            {problem.fix !== undefined && (
              <button type="button" class="button small" onClick={() => onFix(problem)}>
                Use <Safe text={problem.fix} max={60} />
              </button>
            )}
          </li>
        ))}
        {theirs.map((problem) => (
          <li>
            <Safe text={inOurWords(problem.message)} max={400} />
            {problem.field === "filter.expression" ? (
              <button type="button" class="button small" onClick={() => model.toggleCel()}>
                Edit the expression
              </button>
            ) : (
              problem.nearest.slice(0, 3).map((name) => (
                <button type="button" class="button small" onClick={() => replace(problem, name)}>
                  Use <Safe text={name} max={60} />
                </button>
              ))
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

function replace(problem: FilterProblem, name: string): void {
  const old = tokenOf(problem);
  if (old === undefined) return;
  model.setTokens(model.tokens.value.map((other) => (other === old ? token(old.key, name, old.negated) : other)));
}
