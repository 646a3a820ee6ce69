// What the emitter and the subscriber share.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import {
  type ChannelCredentials,
  type ChannelOptions,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import {
  AuditServiceClient,
  type Gap,
  GapReason,
  Position,
  type SubscribeRequest,
} from "./gen/auditgate/v1/audit_service.js";
import { Event } from "./gen/auditgate/v1/event.js";
import { BadRequest, ErrorInfo, Status } from "./gen/errors.js";

const RETRY_MS_FIRST = 100;
const RETRY_MS_MAX = 5_000;

const CHANNEL_OPTIONS: ChannelOptions = {
  // A gateway that vanished without a word (power, a firewall) looks just like a
  // quiet one. Pings tell them apart, and end the stream.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // The retries of these programs wait as long; a channel that waited longer
  // would let them fail although the gateway is back.
  "grpc.initial_reconnect_backoff_ms": RETRY_MS_FIRST,
  "grpc.max_reconnect_backoff_ms": RETRY_MS_MAX,
};

/**
 * The flags that say where the gateway is. The variables are those that the
 * commands of auditgate read.
 */
export const GATEWAY_FLAGS = {
  // HOST:PORT or a URL.
  server: { type: "string", default: process.env.AUDITGATE_SERVER ?? "127.0.0.1:50051" },
  // The CA of the gateway (PEM): uses TLS.
  cacert: { type: "string", default: process.env.AUDITGATE_CACERT },
  // A file with the bearer token.
  "token-file": { type: "string", default: process.env.AUDITGATE_TOKEN_FILE },
  // A client certificate and its private key (PEM).
  cert: { type: "string", default: process.env.AUDITGATE_CERT },
  key: { type: "string", default: process.env.AUDITGATE_KEY },
} as const;

/** What `parseArgs` makes of `GATEWAY_FLAGS`. */
interface GatewayFlags {
  server: string;
  cacert?: string;
  "token-file"?: string;
  cert?: string;
  key?: string;
}

/**
 * The gateway that the flags name. Ends the program with a sentence if a file
 * cannot be read, or if a token would travel without TLS.
 */
export function connect(flags: GatewayFlags): AuditServiceClient {
  const [, scheme, address = ""] = /^(?:(\w+):\/\/)?([^/]*)/.exec(flags.server) ?? [];
  return new AuditServiceClient(address, channelCredentials(flags, scheme), CHANNEL_OPTIONS);
}

function channelCredentials(flags: GatewayFlags, scheme: string | undefined): ChannelCredentials {
  const { cacert, "token-file": tokenFile, cert, key } = flags;
  const withTls = scheme === "https" || (scheme === undefined && (cacert ?? cert) !== undefined);
  if (!withTls) {
    if ((tokenFile ?? cacert ?? cert) !== undefined) {
      exit("a token or a certificate needs TLS: use https:// in --server, or give --cacert");
    }
    return credentials.createInsecure();
  }
  if ((cert === undefined) !== (key === undefined)) {
    exit("--cert and --key belong together: give both");
  }
  const tls = credentials.createSsl(read(cacert), read(key), read(cert));
  if (tokenFile === undefined) {
    return tls;
  }
  read(tokenFile);
  // Reads the file for each call, so that a renewed token is used without a restart.
  const token = credentials.createFromMetadataGenerator((_, callback) => {
    readFile(tokenFile, "utf8").then(
      (text) => {
        const metadata = new Metadata();
        metadata.set("authorization", `Bearer ${text.trim()}`);
        callback(null, metadata);
      },
      (error: Error) => callback(error),
    );
  });
  return credentials.combineChannelCredentials(tls, token);
}

function read(path: string | undefined): Buffer | null {
  try {
    return path === undefined ? null : readFileSync(path);
  } catch (error) {
    return exit(`cannot read ${path}: ${(error as Error).message}`);
  }
}

function exit(sentence: string): never {
  tell(sentence);
  process.exit(1);
}

/** Tells the user; standard output is for records and receipts alone. */
export function tell(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

/** Calls `stop` when the user or the system asks the program to end. */
export function onStop(stop: () => void): void {
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, stop);
  }
}

/**
 * How many milliseconds to wait before each retry: twice as long each time, with
 * jitter, so that the clients of a restarted gateway do not all come at once.
 */
export function* delays(): Generator<number, never> {
  for (let ceiling = RETRY_MS_FIRST; ; ceiling = Math.min(2 * ceiling, RETRY_MS_MAX)) {
    yield ceiling * (0.5 + Math.random() / 2);
  }
}

/**
 * An event with its id and its time, which stay the same however often it is
 * sent: by the id, the gateway knows a retry for what it is.
 */
export function newEvent(user: string, command: string): Event {
  return Event.fromPartial({
    id: randomUUID(),
    time: new Date(),
    source: { name: "node-example", instance: String(process.pid) },
    user: { name: user },
    payload: { $case: "exec", value: { command: { line: command } } },
  });
}

/** What a call threw; anything else, such as a full disk, is thrown on. */
export function serviceError(thrown: unknown): ServiceError {
  if (thrown instanceof Error && "metadata" in thrown) {
    return thrown as ServiceError;
  }
  throw thrown;
}

/** Whether trying again may help. Every other code is the gateway's final word. */
export function isRetried(error: ServiceError): boolean {
  return error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED;
}

/** An error as a sentence, with the reason and the fields to blame. */
export function explain(error: ServiceError): string {
  const { info, violations } = details(error);
  const reason = info === undefined ? "" : ` [${info.reason}]`;
  const fields = violations.map(({ field, description }) => `\n  ${field}: ${description}`);
  // What a gateway with TLS does to a client without, and the other way round.
  const closed = /Failed to connect|socket disconnected/.test(error.details);
  const hint = closed ? " (if the gateway uses TLS: use https:// in --server, or give --cacert)" : "";
  return `${status[error.code]}: ${error.details}${reason}${fields.join("")}${hint}`;
}

/** The positions of a batch that a refusal names: 17 for `events[17].time`. */
export function refusedPositions(error: ServiceError): Set<number> {
  const positions = new Set<number>();
  for (const { field } of details(error).violations) {
    const position = /^events\[(\d+)\]/.exec(field)?.[1];
    if (position !== undefined) {
      positions.add(Number(position));
    }
  }
  return positions;
}

function details(error: ServiceError): {
  info: ErrorInfo | undefined;
  violations: BadRequest["fieldViolations"];
} {
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  // Errors that never came from the gateway have none.
  const found = trailer instanceof Buffer ? Status.decode(trailer).details : [];
  const named = (name: string) =>
    found.find(({ typeUrl }) => typeUrl.endsWith(`/google.rpc.${name}`));
  const info = named("ErrorInfo");
  const request = named("BadRequest");
  return {
    info: info && ErrorInfo.decode(info.value),
    violations: request === undefined ? [] : BadRequest.decode(request.value).fieldViolations,
  };
}

/** What a subscriber is told instead of records, as a sentence. */
export function explainGap({ reason, firstSequence, lastSequence }: Gap): string {
  const range =
    lastSequence > 0n
      ? `sequences ${firstSequence} to ${lastSequence} are missing`
      : "it is not known what is missing";
  return `gap: ${GapReason[reason]}, ${range}`;
}

/** Where a subscriber keeps how far it has come. */
export class CursorFile {
  constructor(private readonly path: string) {}

  /**
   * Asks for what follows the stored cursor; the first time, for all that the
   * gateway keeps.
   */
  async request(): Promise<SubscribeRequest> {
    let start: SubscribeRequest["start"];
    try {
      start = { $case: "cursor", value: await readFile(this.path, "utf8") };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        throw error;
      }
      start = { $case: "position", value: Position.POSITION_EARLIEST };
    }
    return { filter: undefined, start };
  }

  /**
   * Replaces the file in one step: whoever is killed here, or loses power, finds
   * the old cursor or the new one, and never half of one.
   */
  async store(cursor: string): Promise<void> {
    const temporary = `${this.path}.new`;
    const file = await open(temporary, "w");
    try {
      await file.writeFile(cursor);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.path);
  }
}
