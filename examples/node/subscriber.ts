// Prints records as they come, until it is told to stop. Started again, it goes on
// where it was.

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import {
  connect,
  CursorFile,
  delays,
  explain,
  explainGap,
  GATEWAY_FLAGS,
  isRetried,
  onStop,
  serviceError,
  tell,
} from "./common.js";
import type { SubscribeResponse } from "./gen/auditgate/v1/audit_service.js";
import { Record } from "./gen/auditgate/v1/event.js";

const { values: flags } = parseArgs({
  options: {
    ...GATEWAY_FLAGS,
    "cursor-file": { type: "string", default: "auditgate.cursor" },
  },
});

const client = connect(flags);
const cursorFile = new CursorFile(flags["cursor-file"]);
const stop = new AbortController();
onStop(() => stop.abort());
let waits = delays();

while (!stop.signal.aborted) {
  // No deadline: the stream has no end, and keepalive guards it.
  const stream = client.subscribe(await cursorFile.request());
  const cancel = () => stream.cancel();
  stop.signal.addEventListener("abort", cancel);
  // The signal may have come while the cursor was read.
  if (stop.signal.aborted) {
    cancel();
  }
  let ended = "the gateway ended the stream";
  try {
    for await (const response of stream) {
      // In this order: a crash in between repeats this one message. The other way
      // round would lose it.
      await handle(response);
      await cursorFile.store(response.cursor);
      waits = delays();
    }
  } catch (thrown) {
    if (stop.signal.aborted) {
      break;
    }
    const error = serviceError(thrown);
    if (!isRetried(error)) {
      tell(`refused: ${explain(error)}`);
      process.exitCode = 1;
      break;
    }
    ended = explain(error);
  } finally {
    stop.signal.removeEventListener("abort", cancel);
  }
  const wait = waits.next().value;
  tell(`connecting again in ${(wait / 1000).toFixed(1)} s: ${ended}`);
  // A signal ends the wait.
  await sleep(wait, undefined, { signal: stop.signal }).catch(() => {});
}
client.close();

/** Deals with a message: here, prints a line of JSON for each record. */
async function handle({ gap, records, caughtUp }: SubscribeResponse): Promise<void> {
  if (gap !== undefined) {
    tell(explainGap(gap));
  }
  for (const record of records) {
    const line = JSON.stringify(Record.toJSON(record));
    if (!process.stdout.write(`${line}\n`)) {
      await once(process.stdout, "drain");
    }
  }
  if (caughtUp) {
    tell("caught up");
  }
}
