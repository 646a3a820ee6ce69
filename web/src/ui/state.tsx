// Empty, loading and failed states.

import type { ComponentChildren } from "preact";
import { explain } from "./explain";
import { Icon, type IconName } from "./icons";
import { Safe } from "./safe";

export function Failure({ error, retry, label = "Try again" }: { readonly error: unknown; readonly retry?: () => void; readonly label?: string }) {
  const { title, advice } = explain(error);
  return (
    <div class="state bad" role="alert" data-testid="failure">
      <Icon name="alert" />
      <p class="state-title">
        <Safe text={title} max={600} />
      </p>
      {advice !== "" && <p>{advice}</p>}
      {retry !== undefined && (
        <button type="button" class="button" onClick={retry}>
          {label}
        </button>
      )}
    </div>
  );
}

export function Empty({ icon, title, children, testid }: { readonly icon: IconName; readonly title: string; readonly children?: ComponentChildren; readonly testid?: string }) {
  return (
    <div class="state" data-testid={testid}>
      <Icon name={icon} />
      <p class="state-title">{title}</p>
      {children}
    </div>
  );
}

export function Spinner({ label }: { readonly label: string }) {
  return (
    <span class="spinner" role="status">
      <span class="spinner-dot" aria-hidden="true" />
      {label}
    </span>
  );
}
