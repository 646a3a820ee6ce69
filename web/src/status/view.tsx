// The state of the gateway, every two seconds while it is looked at.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { model } from "../state/model";
import { zone } from "../state/settings";
import { filterJson } from "../filter/shell";
import { explain } from "../ui/explain";
import { showDuration, showTime, toMs } from "../text/time";
import { bytes, counted, grouped, rate } from "../ui/numbers";
import { Icon } from "../ui/icons";
import { Safe } from "../ui/safe";
import { Failure, Spinner } from "../ui/state";
import { GetStatus, type MemoryHolding, type Status, type Subscriber } from "../wire/messages";
import { WitnessNote } from "../proof/panel";
import { Deliveries, deliveryProblems, LAG_NOTABLE } from "./deliveries";
import { Row } from "./row";
import { SharedCard, sharedProblems } from "./shared";

const POLL_MS = 2_000;

const status = signal<Status | undefined>(undefined);
const error = signal<unknown>(undefined);
const at = signal(0);

export function StatusView() {
  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const poll = async () => {
      if (!document.hidden) {
        try {
          status.value = await model.transport.unary(GetStatus, {}, { signal: controller.signal, deadlineMs: 5_000 });
          error.value = undefined;
          at.value = Date.now();
        } catch (failure) {
          if (controller.signal.aborted) return;
          error.value = failure;
        }
      }
      if (!controller.signal.aborted) timer = setTimeout(() => void poll(), POLL_MS);
    };
    void poll();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, []);
  const known = status.value;
  return (
    <main class="status" aria-label="Status of the gateway" data-testid="status">
      <h1 class="visually-hidden">Status</h1>
      {error.value !== undefined && known === undefined && <Failure error={error.value} />}
      {error.value !== undefined && known !== undefined && (
        <p class="banner bad" role="alert">
          <Icon name="alert" />
          As of {showTime(at.value, zone.value).slice(11, 19)}. {explain(error.value).title}
        </p>
      )}
      {known === undefined && error.value === undefined && <Spinner label="Asking the gateway" />}
      {known !== undefined && <Cards status={known} />}
    </main>
  );
}

function Cards({ status: known }: { readonly status: Status }) {
  return (
    <>
      <Problems status={known} />
      <div class="cards">
        <LogCard status={known} />
        <RatesCard status={known} />
        <DiskCard status={known} />
        {known.shared !== undefined && <SharedCard shared={known.shared} />}
        <ProofCard status={known} />
        <MemoryCard status={known} />
      </div>
      <Deliveries deliveries={known.deliveries} />
      <Subscribers status={known} />
    </>
  );
}

function Problems({ status: { accept_time_ahead, deliveries, disk, proof, shared } }: { readonly status: Status }) {
  const problems: string[] = [];
  if (proof !== undefined && proof.trouble !== "") problems.push(`No checkpoint is signed: ${proof.trouble}.`);
  if (disk?.state === 2) problems.push(`The disk is full: ${disk.reason}. The log accepts no events until there is space.`);
  if (disk?.state === 4) problems.push(`The log is away: ${disk.reason}. It accepts events again by itself.`);
  if (disk?.state === 3) problems.push(`The storage failed: ${disk.reason}. The log is read-only until the gateway is restarted.`);
  if (disk !== undefined && disk.damaged.length > 0) {
    const ranges = disk.damaged.slice(0, 5).map(({ first_sequence, last_sequence }) => (first_sequence === last_sequence ? `${first_sequence}` : `${first_sequence} to ${last_sequence}`));
    problems.push(`Records cannot be read, since their storage is damaged: ${ranges.join(", ")}${disk.damaged.length > 5 ? `, and ${counted(disk.damaged.length - 5, "more range")}` : ""}.`);
  }
  if (accept_time_ahead !== undefined) {
    problems.push(`The clock of the gateway is ${showDuration(toMs(accept_time_ahead))} behind the newest record, or was ahead when it came. Set the clock right.`);
  }
  problems.push(...sharedProblems(shared), ...deliveryProblems(deliveries));
  if (problems.length === 0) return null;
  return (
    <div role="alert" data-testid="status-problems">
      <ul class="status-problems">
        {problems.map((problem) => (
          <li>
            <Icon name="alert" />
            <Safe text={problem} max={600} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Meter({ name, value, limit, show }: { readonly name: string; readonly value: bigint; readonly limit: bigint; readonly show: (value: bigint) => string }) {
  if (limit === 0n) return <Row name={name} value={show(value)} />;
  const share = Math.min(1, Number(value) / Number(limit));
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>
        {show(value)} of {show(limit)}
        <span class="meter" role="img" aria-label={`${Math.round(share * 100)} percent`}>
          <span class={share > 0.9 ? "meter-fill high" : "meter-fill"} style={{ width: `${share * 100}%` }} />
        </span>
      </dd>
    </div>
  );
}

function LogCard({ status: s }: { readonly status: Status }) {
  const started = s.start_time === undefined ? 0 : toMs(s.start_time);
  return (
    <section class="card" data-testid="card-log">
      <h2>Log</h2>
      <p class="figure">{grouped(s.record_count)}</p>
      <p class="figure-name">records stored</p>
      <dl>
        <Row name="Sequences" value={s.record_count === 0n ? "none" : `${grouped(s.first_sequence)} to ${grouped(s.last_sequence)}`} />
        <Row name="Kind" value={s.log_kind} />
        <Row name="Id" value={s.log_id} />
        <Row name="Gateway" value={`${s.version}, up ${showDuration(Date.now() - started)}`} title={showTime(started, zone.value)} />
      </dl>
    </section>
  );
}

function RatesCard({ status: { rates, counters } }: { readonly status: Status }) {
  return (
    <section class="card" data-testid="card-rates">
      <h2>Rates</h2>
      <p class="figure">{rate(rates?.accepted_per_second ?? 0)}</p>
      <p class="figure-name">events accepted, over ten seconds</p>
      <dl>
        <Row name="Delivered" value={rate(rates?.delivered_per_second ?? 0)} />
        <Row name="Accepted" value={grouped(counters?.accepted ?? 0n)} title="Since the gateway started" />
        <Row name="Duplicates" value={grouped(counters?.duplicates ?? 0n)} />
        <Row name="Refused" value={grouped(counters?.refused ?? 0n)} />
        <Row name="Evicted" value={grouped(counters?.evicted ?? 0n)} />
        <Row name="Gaps sent" value={grouped(counters?.gaps ?? 0n)} />
      </dl>
    </section>
  );
}

const STATES = ["unknown", "ready", "full", "failed", "away"];

function DiskCard({ status: s }: { readonly status: Status }) {
  const disk = s.disk;
  if (disk === undefined) {
    return (
      <section class="card" data-testid="card-disk">
        <h2>Memory log</h2>
        <p class="figure">{bytes(s.byte_size)}</p>
        <p class="figure-name">in memory; lost when the gateway stops</p>
        <dl>
          <Meter name="Records" value={s.memory_record_count} limit={s.record_limit} show={grouped} />
          <Meter name="Bytes" value={s.byte_size} limit={s.byte_limit} show={bytes} />
        </dl>
      </section>
    );
  }
  return (
    <section class="card" data-testid="card-disk">
      <h2>Disk</h2>
      <p class="figure">{bytes(disk.byte_size)}</p>
      <p class="figure-name">{STATES[disk.state] ?? "unknown"}, sync {disk.sync}</p>
      <dl>
        <Meter name="Disk" value={disk.byte_size} limit={disk.byte_limit} show={bytes} />
        <Meter name="Ring records" value={s.memory_record_count} limit={s.record_limit} show={grouped} />
        <Meter name="Ring bytes" value={s.byte_size} limit={s.byte_limit} show={bytes} />
        <Row name="Synced to" value={grouped(disk.synced_sequence)} />
        <Row name="Damaged" value={disk.damaged.length === 0 ? "nothing" : counted(disk.damaged.length, "range")} />
        <Row name="Removed until" value={disk.removed_until === undefined ? "nothing removed" : showTime(toMs(disk.removed_until), zone.value)} />
      </dl>
    </section>
  );
}

function ProofCard({ status: { proof, last_sequence } }: { readonly status: Status }) {
  if (proof === undefined) {
    return (
      <section class="card" data-testid="card-proof">
        <h2>Proof</h2>
        <p class="hint">The gateway keeps no Merkle tree, so it can prove nothing. Start it with --merkle or --data-dir.</p>
      </section>
    );
  }
  const behind = last_sequence > proof.checkpoint_size ? last_sequence - proof.checkpoint_size : 0n;
  return (
    <section class="card" data-testid="card-proof">
      <h2>Proof</h2>
      <p class="figure">{grouped(proof.checkpoint_size)}</p>
      <p class="figure-name">records under a signed checkpoint</p>
      <dl>
        <Row name="Key" value={proof.key_name} />
        <Row name="Tree" value={counted(proof.tree_size, "record")} />
        <Row name="Signed" value={proof.checkpoint_time === undefined ? "before the gateway started" : showTime(toMs(proof.checkpoint_time), zone.value).slice(0, 19)} />
        <Row name="Behind" value={behind === 0n ? "nothing" : counted(behind, "record")} />
      </dl>
      {model.canProve.value && <WitnessNote />}
    </section>
  );
}

function sum(holding: MemoryHolding | undefined): bigint {
  if (holding === undefined) return 0n;
  return holding.connection_bytes + holding.call_bytes + holding.receiving_bytes + holding.filter_bytes + holding.room_bytes + holding.read_bytes;
}

function MemoryCard({ status: { holding, accounts, account_count } }: { readonly status: Status }) {
  return (
    <section class="card" data-testid="card-memory">
      <h2>Clients</h2>
      <p class="figure">{bytes(sum(holding))}</p>
      <p class="figure-name">held for {counted(account_count, "client")}</p>
      <dl>
        {accounts.slice(0, 6).map((account) => (
          <Row name={account.client} value={bytes(sum(account.holding))} />
        ))}
      </dl>
    </section>
  );
}

function Subscribers({ status: { subscribers, subscriber_count } }: { readonly status: Status }) {
  return (
    <section class="card wide" data-testid="card-subscribers">
      <h2>
        Subscribers <span class="muted">{grouped(subscriber_count)}</span>
      </h2>
      {subscribers.length === 0 ? (
        <p class="hint">Nobody follows the log now.</p>
      ) : (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Subscribers">
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Peer</th>
                <th scope="col">Principal</th>
                <th scope="col" class="number">
                  Lag
                </th>
                <th scope="col" class="number">
                  Delivered
                </th>
                <th scope="col">Since</th>
                <th scope="col">Filter</th>
              </tr>
            </thead>
            <tbody>
              {subscribers.slice(0, 200).map((subscriber) => (
                <tr class={subscriber.lag >= LAG_NOTABLE ? "lagging" : ""}>
                  <td>
                    <Safe text={subscriber.peer} max={80} />
                  </td>
                  <td>
                    <Safe text={subscriber.principal || "-"} max={80} />
                  </td>
                  <td class="number">{grouped(subscriber.lag)}</td>
                  <td class="number">{grouped(subscriber.delivered)}</td>
                  <td>{subscriber.start_time === undefined ? "" : showTime(toMs(subscriber.start_time), zone.value).slice(0, 19)}</td>
                  <td class="filter-cell">
                    <Safe text={filterText(subscriber)} max={200} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function filterText({ filter, filter_shortened }: Subscriber): string {
  if (filter === undefined) return "not shown";
  const json = JSON.stringify(filterJson(filter));
  return json === "{}" ? "all records" : filter_shortened ? `${json} …` : json;
}
