// Frames and calls, against a server that is made of chunks.

import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "../src/wire/codec";
import { GetCaller, GetRecord, Subscribe } from "../src/wire/messages";
import { CallError, Code, ERROR_TABLES, explainCall } from "../src/transport/error";
import { BadFrame, FRAME_BYTES_MAX, FrameParser, frame } from "../src/transport/frames";
import { CALLS_AT_ONCE, Transport } from "../src/transport/transport";

const utf8 = new TextEncoder();

function trailers(text: string): Uint8Array {
  const framed = frame(utf8.encode(text));
  framed[0] = 0x80;
  return framed;
}

const OK = trailers("grpc-status: 0\r\ngrpc-message: \r\n");

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

test("frames come whole, however they are cut", () => {
  const sent = joined(frame(Uint8Array.of(1, 2, 3)), frame(new Uint8Array(0)), frame(new Uint8Array(300).fill(7)), OK);
  for (let size = 1; size <= sent.length; size += size < 20 ? 1 : 37) {
    const parser = new FrameParser();
    const frames = [];
    for (let at = 0; at < sent.length; at += size) frames.push(...parser.push(sent.subarray(at, at + size)));
    const bodies = frames.map((each) => (each.kind === "message" ? each.bytes.length : [...each.trailers]));
    assert.deepEqual(bodies, [3, 0, 300, [["grpc-status", "0"], ["grpc-message", ""]]], `chunks of ${size}`);
    assert.equal(parser.waiting, 0);
  }
});

test("a frame that is too long or compressed is refused before it is held", () => {
  const long = new Uint8Array(5);
  new DataView(long.buffer).setUint32(1, FRAME_BYTES_MAX + 1);
  assert.throws(() => new FrameParser().push(long), BadFrame);
  const packed = frame(Uint8Array.of(1));
  packed[0] = 1;
  assert.throws(() => new FrameParser().push(packed), BadFrame);
});

interface Asked {
  url: string;
  headers: Record<string, string>;
}

function server(answer: (asked: Asked, signal: AbortSignal) => Response | Promise<Response>, token?: string, silenceMs?: number): { transport: Transport; asked: Asked[]; refused: CallError[] } {
  const asked: Asked[] = [];
  const refused: CallError[] = [];
  const transport = new Transport({
    token: () => token,
    unauthenticated: (error) => refused.push(error),
    ...(silenceMs === undefined ? {} : { silenceMs }),
    fetch: (async (url: string, init: RequestInit) => {
      const call = { url, headers: init.headers as Record<string, string> };
      asked.push(call);
      return answer(call, init.signal as AbortSignal);
    }) as typeof fetch,
  });
  return { transport, asked, refused };
}

const TYPE = { "content-type": "application/grpc-web+proto" };

function body(...parts: Uint8Array[]): Response {
  return new Response(joined(...parts) as BodyInit, { headers: TYPE });
}

test("a call sends its deadline and token, and reads its answer", async () => {
  const { transport, asked } = server(() => body(frame(encode(GetCaller.response, { principal: "alice", authenticated: true })), OK), "secret");
  const caller = await transport.unary(GetCaller, {}, { deadlineMs: 1500 });
  assert.equal(caller.principal, "alice");
  assert.equal(asked[0]?.url, "/auditgate.v1.AuditService/GetCaller");
  assert.equal(asked[0]?.headers["grpc-timeout"], "1500m");
  assert.equal(asked[0]?.headers["authorization"], "Bearer secret");
});

test("a refusal has its reason, its field and when to try again", async () => {
  const [any, status, info, violation, bad, retry] = ERROR_TABLES;
  const details = [
    { type_url: "type.googleapis.com/google.rpc.ErrorInfo", value: encode(info, { reason: "RATE_LIMITED", domain: "auditgate" }) },
    { type_url: "type.googleapis.com/google.rpc.BadRequest", value: encode(bad, { field_violations: [{ field: "filter.types[0]", description: "d" }] }) },
    { type_url: "type.googleapis.com/google.rpc.RetryInfo", value: encode(retry, { retry_delay: { seconds: 1n, nanos: 500_000_000 } }) },
  ];
  void any;
  void violation;
  const encoded = Buffer.from(encode(status, { code: 8, message: "m", details })).toString("base64");
  const { transport } = server(() => body(trailers(`grpc-status: 8\r\ngrpc-message: too%20many%20%E2%98%83\r\ngrpc-status-details-bin: ${encoded}\r\n`)));
  const error = await transport.unary(GetCaller, {}).then(() => assert.fail("it was refused"), (refusal: unknown) => refusal as CallError);
  assert.deepEqual([error.code, error.message, error.reason, error.field, error.retryAfter, error.transient], [8, "too many ☃", "RATE_LIMITED", "filter.types[0]", 1500, true]);
  assert.deepEqual(explainCall(error), { title: "Too many ☃.", advice: "Wait a moment, and try again." });
});

test("an answer of nothing but trailers has them among its headers", async () => {
  const { transport, refused } = server(() => new Response(null, { headers: { ...TYPE, "grpc-status": "16", "grpc-message": "no token" } }));
  await assert.rejects(transport.unary(GetCaller, {}), (error: CallError) => error.code === Code.UNAUTHENTICATED && error.message === "no token");
  assert.equal(refused.length, 1);
});

test("an answer that breaks off, or is another protocol's, is an error and no empty result", async () => {
  const cases: [Response, RegExp][] = [
    [body(frame(new Uint8Array(0))), /before the answer did/],
    [body(joined(frame(Uint8Array.of(1, 2, 3))).subarray(0, 6)), /before the answer did/],
    [body(OK), /no message/],
    [new Response("<html>", { status: 200, headers: { "content-type": "text/html" } }), /HTTP 200/],
    [new Response("the page is not served under evil.example; see web.hosts", { status: 421, headers: { "content-type": "text/plain" } }), /web\.hosts/],
    [new Response(null, { status: 502 }), /HTTP 502/],
  ];
  for (const [response, expected] of cases) {
    const { transport } = server(() => response);
    await assert.rejects(transport.unary(GetRecord, { sequence: 1n }), expected);
  }
  const { transport } = server(() => Promise.reject(new TypeError("fetch failed")));
  await assert.rejects(transport.unary(GetCaller, {}), (error: CallError) => error.code === Code.UNAVAILABLE && error.transient);
});

test("at most three calls run at once, and a cancelled one gives way", async () => {
  let running = 0;
  let most = 0;
  const open: (() => void)[] = [];
  const { transport, asked } = server(async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise<void>((resolve) => open.push(resolve));
    running -= 1;
    return body(frame(new Uint8Array(0)), OK);
  });
  const cancelled = new AbortController();
  const calls = [...Array(6).keys()].map((index) => transport.unary(GetCaller, {}, index === 4 ? { signal: cancelled.signal } : {}));
  const given = assert.rejects(calls[4] ?? Promise.resolve(), (error: CallError) => error.code === Code.CANCELLED);
  cancelled.abort();
  for (let turn = 0; turn < 20; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    open.shift()?.();
  }
  await Promise.all(calls.filter((_, index) => index !== 4));
  await given;
  assert.equal(most, CALLS_AT_ONCE);
  assert.equal(asked.length, 5, "the cancelled one was never sent");
});

test("a stream hands on what comes, and ends when nothing comes any more", async () => {
  const message = (cursor: string) => frame(encode(Subscribe.response, { cursor, records: [Uint8Array.of(8, 1)] }));
  const { transport } = server(
    (_, signal) =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(message("a"));
            setTimeout(() => controller.enqueue(message("b")), 30);
            signal.addEventListener("abort", () => controller.error(new DOMException("aborted", "AbortError")));
          },
        }),
        { headers: TYPE },
      ),
    undefined,
    120,
  );
  const cursors: string[] = [];
  const ended = transport.stream(Subscribe, {}, new AbortController().signal, ({ cursor, records }) => cursors.push(`${cursor}${records.length}`));
  await assert.rejects(ended, (error: CallError) => error.code === Code.UNAVAILABLE && /nothing came/.test(error.message));
  assert.deepEqual(cursors, ["a1", "b1"]);
});

test("a stream that is aborted says so", async () => {
  const controller = new AbortController();
  const { transport } = server((_, signal) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")))));
  const ended = transport.stream(Subscribe, {}, controller.signal, () => {});
  controller.abort();
  await assert.rejects(ended, (error: CallError) => error.code === Code.CANCELLED);
});
