// Refusals and failures, as sentences that say what to do.

import { decode, message, messages, one, table } from "../wire/codec";
import { Duration } from "../wire/messages";

/** Codes of gRPC that the page tells apart. */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

const Any = table("google.protobuf.Any", { type_url: one(1, "string"), value: one(2, "bytes") });
const Status = table("google.rpc.Status", {
  code: one(1, "int32"),
  message: one(2, "string"),
  details: messages(3, Any),
});
const ErrorInfo = table("google.rpc.ErrorInfo", {
  reason: one(1, "string"),
  domain: one(2, "string"),
});
const FieldViolation = table("google.rpc.BadRequest.FieldViolation", {
  field: one(1, "string"),
  description: one(2, "string"),
});
const BadRequest = table("google.rpc.BadRequest", { field_violations: messages(1, FieldViolation) });
const RetryInfo = table("google.rpc.RetryInfo", { retry_delay: message(1, Duration) });
/** Tables of google.rpc, for the test of their numbers. */
export const ERROR_TABLES = [Any, Status, ErrorInfo, FieldViolation, BadRequest, RetryInfo] as const;

/** Why a call failed. */
export class CallError extends Error {
  override name = "CallError";
  /** The gateway's reason, such as `RATE_LIMITED`; empty where the gateway did not say. */
  reason = "";
  /** The field to blame. */
  field = "";
  /** How long to wait before another attempt, in milliseconds. */
  retryAfter: number | undefined = undefined;
  /** The answer came from the gateway, not from the network or from a proxy. */
  fromGateway = false;

  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }

  /** It may go better later, without anything being changed. */
  get transient(): boolean {
    return (
      this.code === Code.UNAVAILABLE ||
      this.code === Code.DEADLINE_EXCEEDED ||
      this.code === Code.RESOURCE_EXHAUSTED ||
      (this.code === Code.UNKNOWN && !this.fromGateway) ||
      (this.code === Code.INTERNAL && !this.fromGateway)
    );
  }
}

/** The error of trailers, or nothing if the call went well. */
export function errorOfTrailers(get: (name: string) => string | null | undefined): CallError | undefined {
  const status = get("grpc-status");
  if (status === null || status === undefined) {
    return new CallError(Code.UNAVAILABLE, "the connection ended before the answer did");
  }
  const code = Number(status);
  if (code === Code.OK) return undefined;
  const error = new CallError(Number.isInteger(code) ? code : Code.UNKNOWN, percentDecoded(get("grpc-message") ?? ""));
  error.fromGateway = true;
  const details = get("grpc-status-details-bin");
  if (details !== null && details !== undefined) {
    try {
      addDetails(error, fromBase64(details));
    } catch {
      // Details that cannot be read leave the message as it is.
    }
  }
  return error;
}

function addDetails(error: CallError, bytes: Uint8Array): void {
  for (const { type_url, value } of decode(Status, bytes).details) {
    const name = type_url.slice(type_url.lastIndexOf("/") + 1);
    if (name === ErrorInfo.name) {
      error.reason = decode(ErrorInfo, value).reason;
    } else if (name === BadRequest.name) {
      error.field = decode(BadRequest, value).field_violations[0]?.field ?? "";
    } else if (name === RetryInfo.name) {
      const delay = decode(RetryInfo, value).retry_delay;
      if (delay !== undefined) error.retryAfter = Number(delay.seconds) * 1000 + delay.nanos / 1e6;
    }
  }
}

/** The error of an answer that is not gRPC-Web. */
export function errorOfHttp(status: number, body: string): CallError {
  const said = body.trim().slice(0, 300);
  const tail = said === "" ? "" : `: ${said}`;
  switch (status) {
    case 421:
      return new CallError(Code.FAILED_PRECONDITION, said || "the gateway does not serve its page under this name; add it to web.hosts");
    case 403:
    case 415:
      return new CallError(Code.FAILED_PRECONDITION, said || `the gateway refused the request (HTTP ${status})`);
    case 404:
      return new CallError(Code.UNIMPLEMENTED, `this server has no such call (HTTP 404)${tail}`);
    case 429:
      return new CallError(Code.RESOURCE_EXHAUSTED, `too many requests (HTTP 429)${tail}`);
    default: {
      const code = status >= 500 ? Code.UNAVAILABLE : Code.UNKNOWN;
      return new CallError(code, `a server in between answered with HTTP ${status}${tail}`);
    }
  }
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

/** What went wrong, and what to do about it. */
export interface Explanation {
  readonly title: string;
  readonly advice: string;
}

const BY_REASON: Readonly<Record<string, string>> = {
  CREDENTIALS_MISSING: "Sign in with a token that the gateway knows.",
  CREDENTIALS_INVALID: "Check that the token is whole, and that this gateway issued or trusts it.",
  CREDENTIALS_EXPIRED: "Get a new token, and sign in with it.",
  CALL_FORBIDDEN: "Ask the operator of the gateway for a role that allows it.",
  EVENT_TYPE_FORBIDDEN: "Remove the event type from the filter, or ask for a role that may read it.",
  RATE_LIMITED: "Wait a moment, and try again.",
  LIMIT_REACHED: "Close other windows of this page, or end other clients with the same name.",
  EXPRESSION_TOO_COSTLY: "Narrow the filter by type, user or time, or make the expression shorter.",
  RECORD_NOT_FOUND: "The record was evicted, lies in another log, or you may not read it.",
  RECORD_DAMAGED: "Its storage is damaged. The operator finds the range in the status.",
  PROOF_OFF: "The gateway keeps no Merkle tree. The operator can switch it on with --merkle or --data-dir.",
  PROOF_BROKEN: "Keep your checkpoints, and tell the operator and those who rely on the log.",
  PROOF_NOT_KEPT: "Retention has removed what the proof needs.",
  OLD_SIZE_AHEAD: "The log is shorter than the checkpoint that was kept: it was rolled back, or it is another log.",
  PAGE_TOKEN_MISMATCH: "Search again.",
  SHUTTING_DOWN: "The page connects again by itself.",
};

/** Says what went wrong in a sentence, and what to do in another one. */
export function explainCall(error: unknown): Explanation {
  if (!(error instanceof CallError)) {
    return { title: sentence(error instanceof Error ? error.message : String(error)), advice: "Reload the page. If it happens again, report it." };
  }
  const title = sentence(error.message || "the gateway gave no reason");
  const known = BY_REASON[error.reason];
  if (known !== undefined) return { title, advice: known };
  switch (error.code) {
    case Code.UNAVAILABLE:
      return { title, advice: "Check that the gateway runs and that this machine reaches it. Live goes on trying by itself." };
    case Code.DEADLINE_EXCEEDED:
      return { title, advice: "Narrow the filter or the time range, and try again." };
    case Code.INVALID_ARGUMENT:
      return { title, advice: "Correct the filter." };
    case Code.UNIMPLEMENTED:
      return { title, advice: "The page and the gateway are of different versions. Reload the page." };
    case Code.UNAUTHENTICATED:
      return { title, advice: "Sign in again." };
    default:
      return { title, advice: "" };
  }
}

/** With a capital and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === "") return "";
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
