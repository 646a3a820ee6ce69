// Before anything can be read: a token, or why there is nothing to enter.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { explain } from "../ui/explain";
import { model } from "../state/model";
import { Icon } from "../ui/icons";
import { Safe } from "../ui/safe";
import { Spinner } from "../ui/state";
import { Mark } from "../header/mark";

export function Gate() {
  const state = model.session.state.value;
  switch (state.kind) {
    case "starting":
      return (
        <Panel>
          <Spinner label="Connecting to the gateway" />
        </Panel>
      );
    case "unreachable": {
      const { title, advice } = explain(state.error);
      return (
        <Panel testid="unreachable">
          <h1>The gateway cannot be reached</h1>
          <p role="alert">
            <Safe text={title} max={400} />
          </p>
          <p class="hint">{advice}</p>
          <button type="button" class="button primary" onClick={() => void model.start()}>
            Try again
          </button>
        </Panel>
      );
    }
    case "certificate-only":
      return (
        <Panel testid="certificate-only">
          <h1>This gateway knows its clients by certificate</h1>
          <p>It accepts no tokens, and this browser showed no client certificate, so the page cannot read anything here.</p>
          <ul class="hint">
            <li>
              Import a client certificate into the browser, if the operator has the page ask for one, and reload.
            </li>
            <li>
              Or ask the operator for a token: the configuration key <code>access.tokens</code> or an issuer in <code>access.jwt</code>.
            </li>
            <li>
              Or read with the command line: <code>auditgate tail --cert FILE --key FILE</code>.
            </li>
          </ul>
        </Panel>
      );
    case "signed-out":
      return <SignIn why={state.why} />;
    case "ready":
      return null;
  }
}

function SignIn({ why }: { readonly why: string }) {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    await model.signIn(token);
    setBusy(false);
  };
  const exposed = location.protocol === "http:" && !globalThis.isSecureContext;
  return (
    <Panel testid="sign-in">
      <h1>Sign in</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label for="token">Token, or JWT of your identity provider</label>
        <input
          ref={input}
          id="token"
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
          aria-invalid={why !== ""}
          aria-describedby="token-why token-where"
          data-testid="token-input"
        />
        <p id="token-why" class="bad-text" role="alert" data-testid="sign-in-error">
          <Safe text={why} max={400} />
        </p>
        {exposed && (
          <p class="banner bad" role="alert">
            <Icon name="alert" />
            This connection is not encrypted: anyone on the way can read the token. Use HTTPS.
          </p>
        )}
        <button type="submit" class="button primary" disabled={busy} data-testid="sign-in-submit">
          {busy ? "Signing in" : "Sign in"}
        </button>
        <p id="token-where" class="hint">
          The token stays in this tab and in tabs that you open beside it, until you close them or choose Forget. It is in no address and on no disk.
        </p>
      </form>
    </Panel>
  );
}

function Panel({ children, testid }: { readonly children: ComponentChildren; readonly testid?: string }) {
  return (
    <main class="gate">
      <div class="gate-panel" data-testid={testid}>
        <p class="gate-brand">
          <Mark /> auditgate <span class="muted">{location.host}</span>
        </p>
        {children}
      </div>
    </main>
  );
}
