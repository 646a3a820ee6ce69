// What the gateway sends to other systems. Only readers with the right `deliveries` see it.

import { zone } from "../state/settings";
import { showDuration, showTime, toMs } from "../text/time";
import { counted, grouped } from "../ui/numbers";
import { Safe } from "../ui/safe";
import type { Delivery } from "../wire/messages";

const STATES = ["unknown", "running", "retrying", "blocked", "paused", "undecided", "ended", "elsewhere"];
const RETRYING = 2;
const BLOCKED = 3;
const UNDECIDED = 5;
/** From so many records on, a lag stands out. */
export const LAG_NOTABLE = 1_000n;
/** A destination that does not answer for so long is a problem, in milliseconds. */
const RETRYING_MS_NOTABLE = 60_000;

/** Which deliveries need somebody, each in a sentence. */
export function deliveryProblems(deliveries: readonly Delivery[], now = Date.now()): string[] {
  const problems: string[] = [];
  for (const delivery of deliveries) {
    const { name, state, state_time, dead_letters } = delivery;
    const reason = causeOf(delivery);
    const since = state_time === undefined ? 0 : now - toMs(state_time);
    if (state === BLOCKED) problems.push(`The delivery ${name} is blocked: ${reason}. Mend the cause, then run: auditgate delivery resume ${name}`);
    if (state === UNDECIDED) problems.push(`The delivery ${name} waits for a decision: ${reason}. See: auditgate delivery show ${name}`);
    if (state === RETRYING && since >= RETRYING_MS_NOTABLE) problems.push(`The delivery ${name} has been retrying for ${showDuration(since)}: ${reason}.`);
    if (dead_letters > 0n) problems.push(`The destination of ${name} refused ${counted(dead_letters, "record")}, kept as dead letters. Once it accepts them, run: auditgate delivery replay ${name}`);
  }
  return problems;
}

/** Why it does not run. A destination that says nothing leaves a colon. */
function causeOf({ reason }: Delivery): string {
  return reason.replace(/:?\s*$/, "");
}

export function Deliveries({ deliveries }: { readonly deliveries: readonly Delivery[] }) {
  if (deliveries.length === 0) return null;
  return (
    <section class="card wide" data-testid="card-deliveries">
      <h2>
        Deliveries <span class="muted">{grouped(deliveries.length)}</span>
      </h2>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Deliveries">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">State</th>
              <th scope="col">Destination</th>
              <th scope="col" class="number">
                Behind
              </th>
              <th scope="col">Last success</th>
              <th scope="col" class="number">
                Delivered
              </th>
              <th scope="col" class="number">
                Missed
              </th>
              <th scope="col" class="number">
                Dead letters
              </th>
            </tr>
          </thead>
          <tbody>
            {deliveries.map((delivery) => (
              <Line key={delivery.name} delivery={delivery} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Line({ delivery }: { readonly delivery: Delivery }) {
  const { state_time, last_success_time } = delivery;
  const state = STATES[delivery.state] ?? "unknown";
  const since = state_time === undefined ? "" : ` since ${showTime(toMs(state_time), zone.value).slice(0, 19)}`;
  const lag = delivery.lag === undefined ? 0 : toMs(delivery.lag);
  return (
    <tr class={delivery.lag_records >= LAG_NOTABLE ? "lagging" : ""}>
      <th scope="row">
        <Safe text={delivery.name} max={80} />
      </th>
      <td class={`delivery-${state}`}>
        {state}
        {since}
        {delivery.reason !== "" && (
          <span class="reason">
            <Safe text={causeOf(delivery)} max={300} />
          </span>
        )}
      </td>
      <td>
        <Safe text={`${delivery.format}: ${delivery.destination}`} max={200} />
      </td>
      <td class="number">
        {grouped(delivery.lag_records)}
        {lag > 0 && <span class="reason">{showDuration(lag)}</span>}
      </td>
      <td>{last_success_time === undefined ? "none yet" : showTime(toMs(last_success_time), zone.value).slice(0, 19)}</td>
      <td class="number">
        {grouped(delivery.delivered)}
        {delivery.retries > 0n && <span class="reason">{counted(delivery.retries, "retry", "retries")}</span>}
      </td>
      <td class="number">{grouped(delivery.missed)}</td>
      <td class="number">{grouped(delivery.dead_letters)}</td>
    </tr>
  );
}
