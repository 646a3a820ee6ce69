// A log that several gateways share, as the gateway that is asked sees it.

import { counted, grouped } from "../ui/numbers";
import type { SharedLog } from "../wire/messages";
import { Row } from "./row";

/** A gateway that is further behind gives its readers records late, in messages: as `auditgate doctor` has it. */
const LAG_MAX = 128n;

/** What somebody has to look at, each in a sentence. */
export function sharedProblems(shared: SharedLog | undefined): string[] {
  if (shared === undefined) return [];
  const { disagreement, disagreements, invalid, lag, server, warnings } = shared;
  const problems: string[] = [];
  if (disagreements > 0n) {
    problems.push(`This gateway and another one have different copies of the log: ${disagreement}. Treat it as an incident: compare auditgate checkpoint of all gateways, and stop the one that differs.`);
  }
  if (server === "") problems.push("The gateway is not connected to a server of the shared log. It accepts no events until it is; it goes on trying.");
  if (lag > LAG_MAX) problems.push(`The copy of the shared log is ${counted(lag, "message")} behind: readers get records late. Look at the gateway's processor and disk, and at the network to the servers.`);
  if (invalid > 0n) problems.push(`The stream has ${counted(invalid, "message")} that no cluster key authenticates. Give all gateways the same key, and let nobody else publish.`);
  return [...problems, ...warnings];
}

export function SharedCard({ shared }: { readonly shared: SharedLog }) {
  const { in_flight, invalid, lag, pending, position, repeats, replicas, server, stream, stream_end } = shared;
  const again = shared.seen + shared.void + shared.stale;
  return (
    <section class="card" data-testid="card-shared">
      <h2>Shared log</h2>
      <p class="figure">{lag === 0n ? "up to date" : grouped(lag)}</p>
      <p class="figure-name">{lag === 0n ? "nothing of the stream is missing here" : "messages behind the stream"}</p>
      <dl>
        <Row name="Stream" value={`${stream}, ${counted(BigInt(replicas), "replica")}`} />
        <Row name="Server" value={server === "" ? "not connected" : server} />
        <Row name="Message" value={`${grouped(position)} of ${grouped(stream_end)}`} title="The newest message that this gateway has applied, and that of the stream" />
        <Row name="On its way" value={`${counted(in_flight, "message")}, ${counted(pending, "call")} waiting`} />
        <Row name="Repeated" value={`${counted(repeats, "message")}, ${counted(again, "record")} looked up`} />
        <Row name="Not authentic" value={grouped(invalid)} />
      </dl>
    </section>
  );
}
