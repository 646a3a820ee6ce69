// The facets: a value is a button that filters by it.

import { model } from "../state/model";
import { facetSheet, facetsShown, narrow, zone } from "../state/settings";
import { explain } from "../ui/explain";
import { showClock } from "../text/time";
import { escaped } from "../text/escape";
import { token, type Token } from "../filter/tokens";
import { negation } from "../filter/query";
import { Icon } from "../ui/icons";
import { short } from "../ui/numbers";
import { Safe } from "../ui/safe";
import { FACETS } from "./facets";

export function FacetPanel() {
  const { facets } = model;
  const sheet = narrow.value;
  const shown = sheet ? facetSheet.value : facetsShown.value === "yes";
  if (!shown || model.around.value !== undefined) return null;
  const answer = facets.values.value;
  const error = facets.error.value;
  return (
    <aside class={sheet ? "facets sheet" : "facets"} aria-label="Most frequent values" data-testid="facets">
      {sheet && (
        <div class="sheet-head">
          <h2>Most frequent values</h2>
          <button type="button" class="icon-button" aria-label="Close" onClick={() => { facetSheet.value = false; }}>
            <Icon name="close" />
          </button>
        </div>
      )}
      {error !== undefined && <p class="facet-note">{explain(error).title}</p>}
      {answer === undefined && error === undefined && <FacetSkeleton />}
      {answer !== undefined &&
        FACETS.map(({ title, key }, index) => {
          const field = answer.fields[index];
          if (field === undefined || (field.values.length === 0 && field.others === 0n)) return null;
          const most = Number(field.values[0]?.count ?? 1n);
          return (
            <section class="facet" data-testid={`facet-${key}`}>
              <h3>{title}</h3>
              <ul>
                {field.values
                  .filter(({ value }) => value !== "unspecified" || (key !== "result" && key !== "severity"))
                  .map(({ value, count, cut }) => {
                    const of = token(key, value);
                    return <Value of={of} count={count} share={Number(count) / most} cut={cut} />;
                  })}
              </ul>
              {field.others > 0n && <p class="facet-note">{short(field.others)} with other values</p>}
            </section>
          );
        })}
      {answer !== undefined && (
        <p class="facet-note foot-note">
          {answer.partial ? "Of the newest records only, as" : "As"} of {showClock(facets.at.value, zone.value).slice(0, 8)}
          <button type="button" class="icon-button" title="Count again" aria-label="Count again" onClick={() => { const query = model.lastQuery.value; if (query !== undefined) void facets.load(query); }}>
            <Icon name="refresh" />
          </button>
        </p>
      )}
    </aside>
  );
}

function Value({ of, count, share, cut }: { readonly of: Token; readonly count: bigint; readonly share: number; readonly cut: boolean }) {
  const chosen = model.tokens.value.some((other) => other.key === of.key && other.value === of.value && !other.negated);
  const not = negation(of);
  return (
    <li class={`value value-${of.key} ${of.key}-${/^\w+$/.test(of.value) ? of.value : "other"}`}>
      <button
        type="button"
        class={chosen ? "value-pick chosen" : "value-pick"}
        aria-pressed={chosen}
        disabled={cut}
        title={cut ? "Too long to filter by" : chosen ? "Remove this filter" : of.key === "severity" ? "At least this severity" : "Only this"}
        onClick={() => { facetSheet.value = false; (chosen ? model.setTokens(model.tokens.value.filter((other) => other.key !== of.key || other.value !== of.value)) : model.addToken(of)); }}
        data-testid="facet-value"
      >
        <span class="value-bar" style={{ width: `${Math.max(2, share * 100)}%` }} aria-hidden="true" />
        <span class="value-text">
          <Safe text={of.value} max={60} />
          {cut && "…"}
        </span>
        <span class="value-count">{short(count)}</span>
      </button>
      {not !== undefined && !cut && (
        <button type="button" class="value-not" title="Not this" aria-label={`Not ${escaped(of.value.slice(0, 60))}`} onClick={() => model.addToken(not)}>
          <Icon name="minus" />
        </button>
      )}
    </li>
  );
}

function FacetSkeleton() {
  return (
    <div class="skeleton" aria-hidden="true">
      {[...Array(9).keys()].map(() => (
        <div class="skeleton-row" />
      ))}
    </div>
  );
}
