// The help: keys, filters, and what the page cannot do here.

import { TOKEN_KINDS } from "../filter/tokens";
import { Dialog } from "../ui/dialog";
import { unsupported } from "../proof/prover";
import { support as supportNow } from "../proof/state";
import { letterKeys } from "../state/settings";
import { KEYS } from "./keys";

export function Help({ onClose }: { readonly onClose: () => void }) {
  const support = supportNow.value;
  const plain = !globalThis.isSecureContext;
  return (
    <Dialog title="Help" onClose={onClose} testid="help-dialog">
      {(plain || (support !== undefined && support !== "all")) && (
        <section>
          <h3>What the page cannot do here</h3>
          <ul class="hint">
            {plain && <li>Copy to the clipboard, verify proofs, and count live windows: browsers allow these over HTTPS and on loopback only.</li>}
            {support !== undefined && support !== "all" && <li>{unsupported(support).why} {unsupported(support).advice}</li>}
          </ul>
        </section>
      )}
      <div class="help-columns">
        <section>
          <h3>Keys</h3>
          <table class="table keys">
            <tbody>
              {KEYS.map(({ shown, help }) => (
                <tr>
                  <th scope="row">
                    <kbd>{shown}</kbd>
                  </th>
                  <td>{help}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <label class="choice">
            <input type="checkbox" checked={letterKeys.value === "list"} onChange={(event) => { letterKeys.value = event.currentTarget.checked ? "list" : "everywhere"; }} data-testid="letter-keys" />
            <span>Letters and signs are keys only while the list has the focus</span>
          </label>
        </section>
        <section>
          <h3>Filters</h3>
          <table class="table keys">
            <tbody>
              {TOKEN_KINDS.map(({ key, help }) => (
                <tr>
                  <th scope="row">
                    <code>{key}:</code>
                  </th>
                  <td>{help}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <p class="hint">
            <code>-</code> before a filter excludes: <code>-type:session.data</code>. <code>failed</code> is <code>result:failure</code>. Values with blanks stand in quotes.
            Words alone are text to look for. A line of <code>auditgate search</code> can be pasted as it is.
          </p>
          <p class="hint">Each search is itself recorded in the log, where the gateway authenticates its readers.</p>
        </section>
      </div>
    </Dialog>
  );
}
