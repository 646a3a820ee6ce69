// Emits events in batches, until its input ends or it is told to stop.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  connect,
  delays,
  explain,
  GATEWAY_FLAGS,
  isRetried,
  newEvent,
  onStop,
  refusedPositions,
  serviceError,
  tell,
} from "./common.js";
import type { EmitBatchResponse } from "./gen/auditgate/v1/audit_service.js";
import { Event } from "./gen/auditgate/v1/event.js";

// A call that takes longer has failed: nobody waits for ever on a dead gateway.
const CALL_MS_MAX = 5_000;
// A batch is sent when it has so many events or bytes, or is so old. The gateway
// takes requests of 4 MiB and events of 1 MiB: a batch of the size below may get
// one more event.
const BATCH_EVENTS_MAX = 256;
const BATCH_BYTES_MAX = 1024 * 1024;
const BATCH_MS_MAX = 200;

const { values: flags } = parseArgs({
  options: {
    ...GATEWAY_FLAGS,
    // Emit so many events of its own making instead of reading lines.
    count: { type: "string" },
  },
});

const client = connect(flags);
const stop = new AbortController();
const tally = { accepted: 0, refused: 0, unacknowledged: 0, badLines: 0 };

onStop(() => stop.abort());
for await (const batch of batches(flags.count === undefined ? read() : make(Number(flags.count)))) {
  await send(batch);
}
client.close();
// An open standard input would keep the program running.
process.stdin.destroy();
tell(
  `${tally.accepted} events accepted, ${tally.refused} refused, ` +
    `${tally.unacknowledged} unacknowledged; ${tally.badLines} bad lines`,
);
process.exitCode = tally.refused + tally.unacknowledged + tally.badLines > 0 ? 1 : 0;

/** As many events as asked for. */
async function* make(count: number): AsyncGenerator<Event, void> {
  for (let number = 0; number < count && !stop.signal.aborted; number += 1) {
    yield newEvent(`user-${number % 3}`, `echo ${number}`);
  }
}

/** An event for each line such as {"user": "alice", "command": "ls -l"}. */
async function* read(): AsyncGenerator<Event, void> {
  const lines = createInterface({ input: process.stdin, signal: stop.signal });
  let number = 0;
  for await (const line of lines) {
    number += 1;
    try {
      const { user, command } = JSON.parse(line);
      if (typeof user !== "string" || typeof command !== "string") {
        throw new TypeError("user and command must be strings");
      }
      yield newEvent(user, command);
    } catch (error) {
      tally.badLines += 1;
      tell(`line ${number} is no event: ${error}`);
    }
  }
}

/** Cuts the events into batches. */
async function* batches(events: AsyncGenerator<Event, void>): AsyncGenerator<Event[], void> {
  // The one event that was asked for and has not come, or is in no batch yet.
  let next = events.next();
  for (;;) {
    const batch: Event[] = [];
    let bytes = 0;
    let item: IteratorResult<Event, void> | "due" = await next;
    const due = sleep(BATCH_MS_MAX, "due" as const);
    while (item !== "due" && !item.done) {
      batch.push(item.value);
      bytes += Event.encode(item.value).finish().length;
      next = events.next();
      if (batch.length >= BATCH_EVENTS_MAX || bytes >= BATCH_BYTES_MAX) {
        break;
      }
      item = await Promise.race([next, due]);
    }
    if (batch.length === 0) {
      return;
    }
    yield batch;
  }
}

/**
 * Sends a batch until the gateway has answered. Once told to stop, it tries once
 * more.
 */
async function send(batch: Event[]): Promise<void> {
  const waits = delays();
  while (batch.length > 0) {
    const isLastTry = stop.signal.aborted;
    try {
      // The same events each time, with the same ids: if only the answer was
      // lost, the gateway stores nothing twice.
      accept(await emitBatch(batch));
      return;
    } catch (thrown) {
      const error = serviceError(thrown);
      if (!isRetried(error)) {
        batch = refuse(batch, error);
      } else if (isLastTry) {
        tally.unacknowledged += batch.length;
        return;
      } else {
        const wait = waits.next().value;
        tell(`trying again in ${(wait / 1000).toFixed(1)} s: ${explain(error)}`);
        // A signal ends the wait.
        await sleep(wait, undefined, { signal: stop.signal }).catch(() => {});
      }
    }
  }
}

/** One call, as a promise. */
function emitBatch(events: Event[]): Promise<EmitBatchResponse> {
  return new Promise((resolve, reject) => {
    client.emitBatch(
      { events, validateOnly: false },
      new Metadata(),
      { deadline: Date.now() + CALL_MS_MAX },
      (error, response) => (error === null ? resolve(response) : reject(error)),
    );
  });
}

/** Takes note of receipts. */
function accept({ receipts }: EmitBatchResponse): void {
  const known = receipts.filter(({ duplicate }) => duplicate).length;
  tally.accepted += receipts.length;
  process.stdout.write(
    `accepted ${receipts.length} events, ${known} of them by an earlier try: ` +
      `sequences ${receipts.at(0)?.sequence} to ${receipts.at(-1)?.sequence}\n`,
  );
}

/**
 * Takes note of a refusal; returns the events that may be sent again. One bad
 * event refuses its batch, and the gateway names it.
 */
function refuse(batch: Event[], error: ServiceError): Event[] {
  tell(`refused: ${explain(error)}`);
  const positions = refusedPositions(error);
  const rest = batch.filter((_, position) => !positions.has(position));
  // Without a name there is no saying which event it was.
  const again = rest.length < batch.length ? rest : [];
  tally.refused += batch.length - again.length;
  return again;
}
