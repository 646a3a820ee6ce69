// Calls of the gateway over gRPC-Web: unary ones with a deadline, at most three at once,
// and streams that end when nothing comes any more.

import { decode, encode, type MessageOf, type Table } from "../wire/codec";
import type { Method } from "../wire/messages";
import { CallError, Code, errorOfHttp, errorOfTrailers } from "./error";
import { BadFrame, FrameParser, frame, type Frame } from "./frames";

const SERVICE = "/auditgate.v1.AuditService/";
const CONTENT_TYPE = "application/grpc-web+proto";
/** How many unary calls run at once; the gateway allows a client 32 reads. */
export const CALLS_AT_ONCE = 3;
/** The deadline of a unary call, unless it has another, in milliseconds. */
export const DEADLINE_MS = 30_000;
/** How much longer the page waits than it asks the gateway to work. */
const DEADLINE_GRACE_MS = 1_000;
/** The gateway sends something every 10 s; a stream silent for longer than this is dead. */
export const SILENCE_MS = 25_000;
/** How much of an answer that is not gRPC-Web is read, in bytes. */
const REFUSAL_BYTES_MAX = 4_096;

export interface CallOptions {
  signal?: AbortSignal;
  deadlineMs?: number;
}

export interface TransportOptions {
  /** The token, or nothing. */
  token: () => string | undefined;
  /** A call was refused since its credentials do not hold; `token` is the one that it had. */
  unauthenticated: (error: CallError, token: string | undefined) => void;
  fetch?: typeof fetch;
  base?: string;
  silenceMs?: number;
}

export class Transport {
  private running = 0;
  private readonly queue: (() => void)[] = [];
  private readonly options: TransportOptions;

  constructor(options: TransportOptions) {
    this.options = options;
  }

  /** Makes a unary call. Rejects with a CallError. */
  async unary<Req extends Table, Res extends Table>(
    method: Method<Req, Res>,
    request: Partial<MessageOf<Req>>,
    options: CallOptions = {},
  ): Promise<MessageOf<Res>> {
    await this.enter(options.signal);
    try {
      return await this.call(method, request, options);
    } finally {
      this.leave();
    }
  }

  /** Makes a call that answers with a stream, to its end. Rejects with a CallError where the end is not a good one. */
  async stream<Req extends Table, Res extends Table>(
    method: Method<Req, Res>,
    request: Partial<MessageOf<Req>>,
    signal: AbortSignal,
    onMessage: (message: MessageOf<Res>, bytes: number) => void,
  ): Promise<void> {
    const silenceMs = this.options.silenceMs ?? SILENCE_MS;
    const silence = new Watchdog(silenceMs);
    try {
      await this.exchange(method, request, anySignal([signal, silence.signal]), undefined, (bytes) => {
        silence.rest();
        onMessage(decode(method.response, bytes), bytes.length);
      }, () => silence.rest());
    } catch (error) {
      if (silence.signal.aborted && !signal.aborted) {
        throw new CallError(Code.UNAVAILABLE, `nothing came from the gateway for ${silenceMs / 1000} seconds`);
      }
      throw error;
    } finally {
      silence.stop();
    }
  }

  private async call<Req extends Table, Res extends Table>(
    method: Method<Req, Res>,
    request: Partial<MessageOf<Req>>,
    { signal, deadlineMs = DEADLINE_MS }: CallOptions,
  ): Promise<MessageOf<Res>> {
    const deadline = new Watchdog(deadlineMs + DEADLINE_GRACE_MS);
    const signals = signal === undefined ? [deadline.signal] : [signal, deadline.signal];
    let answer: Uint8Array | undefined;
    try {
      await this.exchange(method, request, anySignal(signals), deadlineMs, (bytes) => {
        answer = bytes;
      });
    } catch (error) {
      if (deadline.signal.aborted && signal?.aborted !== true) {
        throw new CallError(Code.DEADLINE_EXCEEDED, `the gateway did not answer within ${deadlineMs / 1000} seconds`);
      }
      throw error;
    } finally {
      deadline.stop();
    }
    if (answer === undefined) throw new CallError(Code.INTERNAL, "the answer has no message");
    return decode(method.response, answer);
  }

  private async exchange<Req extends Table>(
    method: Method<Req, Table>,
    request: Partial<MessageOf<Req>>,
    signal: AbortSignal,
    timeoutMs: number | undefined,
    onMessage: (bytes: Uint8Array) => void,
    onAlive: () => void = () => {},
  ): Promise<void> {
    const token = this.options.token();
    const headers: Record<string, string> = { "content-type": CONTENT_TYPE, accept: CONTENT_TYPE, "x-grpc-web": "1" };
    if (timeoutMs !== undefined) headers["grpc-timeout"] = `${Math.ceil(timeoutMs)}m`;
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    try {
      const response = await (this.options.fetch ?? fetch)((this.options.base ?? "") + SERVICE + method.name, {
        method: "POST",
        headers,
        body: frame(encode(method.request, request)),
        signal,
        cache: "no-store",
        // The gateway sets no cookies. By the standard, a call without credentials shows no client certificate, and goes over
        // a connection of its own.
        credentials: "same-origin",
        redirect: "error",
        referrerPolicy: "no-referrer",
      });
      onAlive();
      await readAnswer(response, onMessage);
    } catch (error) {
      const failure = signal.aborted && !(error instanceof CallError) ? new CallError(Code.CANCELLED, "the call was cancelled") : asCallError(error);
      if (failure.code === Code.UNAUTHENTICATED) this.options.unauthenticated(failure, token);
      throw failure;
    }
  }

  private async enter(signal: AbortSignal | undefined): Promise<void> {
    if (this.running < CALLS_AT_ONCE) {
      this.running += 1;
    } else {
      // Whoever leaves hands its place on.
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    if (signal?.aborted === true) {
      this.leave();
      throw new CallError(Code.CANCELLED, "the call was cancelled");
    }
  }

  private leave(): void {
    const next = this.queue.shift();
    if (next === undefined) this.running -= 1;
    else next();
  }
}

async function readAnswer(response: Response, onMessage: (bytes: Uint8Array) => void): Promise<void> {
  if (response.status !== 200 || !(response.headers.get("content-type") ?? "").startsWith("application/grpc-web")) {
    throw errorOfHttp(response.status, await beginning(response));
  }
  // An answer of nothing but trailers has them among its headers.
  let error = response.headers.has("grpc-status") ? errorOfTrailers((name) => response.headers.get(name)) : errorOfTrailers(() => undefined);
  if (response.body !== null) {
    const parser = new FrameParser();
    const reader = response.body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const next of parser.push(value)) {
          if (next.kind === "message") onMessage(next.bytes);
          else error = trailersError(next);
        }
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }
  if (error !== undefined) throw error;
}

function trailersError(next: Extract<Frame, { kind: "trailers" }>): CallError | undefined {
  return errorOfTrailers((name) => next.trailers.get(name));
}

async function beginning(response: Response): Promise<string> {
  if (!(response.headers.get("content-type") ?? "").startsWith("text/plain") || response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < REFUSAL_BYTES_MAX) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.cancel().catch(() => {});
  return text.slice(0, REFUSAL_BYTES_MAX);
}

function asCallError(error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (error instanceof BadFrame) return new CallError(Code.INTERNAL, error.message);
  if (error instanceof TypeError) return new CallError(Code.UNAVAILABLE, "the gateway cannot be reached");
  return new CallError(Code.UNKNOWN, error instanceof Error ? error.message : String(error));
}

/** Aborts when it was not put off for so long. */
class Watchdog {
  private readonly controller = new AbortController();
  private timer: ReturnType<typeof setTimeout>;
  private readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
    this.timer = this.start();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  rest(): void {
    clearTimeout(this.timer);
    this.timer = this.start();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.controller.abort(), this.ms);
  }
}

/** Aborts as soon as one of them does. */
function anySignal(signals: AbortSignal[]): AbortSignal {
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort();
    else signal.addEventListener("abort", () => controller.abort(), { once: true, signal: controller.signal });
  }
  return controller.signal;
}
