// The page's tables of messages, against the protocol; and its reader, against hostile bytes.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { create, createFileRegistry, fromBinary, ScalarType, toBinary, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { decode, encode, one, messages as repeated, table, type Field, type Table } from "../src/wire/codec";
import { Filter, METHODS, Search, Timestamp } from "../src/wire/messages";
import { Malformed, Reader } from "../src/wire/reader";
import { summaryOf, readRow } from "../src/wire/row";
import { tree } from "./tree";

const encoded = execFileSync("node_modules/.bin/buf", ["build", tree(), "--as-file-descriptor-set", "-o", "-"], { maxBuffer: 64 << 20 });
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, encoded));

function described(name: string): DescMessage {
  const found = registry.getMessage(name);
  assert.ok(found, `the protocol has no ${name}`);
  return found;
}

const SCALARS: Readonly<Record<number, string>> = {
  [ScalarType.STRING]: "string",
  [ScalarType.BYTES]: "bytes",
  [ScalarType.BOOL]: "bool",
  [ScalarType.UINT32]: "uint32",
  [ScalarType.INT32]: "int32",
  [ScalarType.UINT64]: "uint64",
  [ScalarType.INT64]: "int64",
  [ScalarType.DOUBLE]: "double",
};

function checkTable(of: Table, seen: Set<string>): void {
  if (seen.has(of.name)) return;
  seen.add(of.name);
  const message = described(of.name);
  for (const [name, field] of Object.entries(of.fields)) {
    const actual = message.fields.find((known) => known.name === name);
    assert.ok(actual, `${of.name} has no field ${name}`);
    checkField(`${of.name}.${name}`, field, actual, seen);
  }
}

function checkField(where: string, field: Field<unknown>, actual: DescField, seen: Set<string>): void {
  assert.equal(field.number, actual.number, where);
  const isList = actual.fieldKind === "list";
  assert.equal(field.label === "many", isList, where);
  assert.equal(field.label === "map", actual.fieldKind === "map", where);
  const kind = actual.fieldKind === "list" ? actual.listKind : actual.fieldKind === "map" ? actual.mapKind : actual.fieldKind;
  if (typeof field.kind !== "string") {
    assert.equal(kind, "message", where);
    assert.equal(field.kind.name, actual.message?.typeName, where);
    checkTable(field.kind, seen);
  } else if (kind === "message") {
    assert.equal(field.kind, "bytes", `${where} is a message that the page keeps as bytes`);
    assert.equal(actual.message?.typeName, "auditgate.v1.Record", where);
  } else {
    assert.equal(field.kind, kind === "enum" ? "enum" : SCALARS[actual.scalar ?? 0], where);
  }
}

test("every table has the numbers and types of the protocol", () => {
  const seen = new Set<string>();
  for (const method of METHODS) {
    checkTable(method.request, seen);
    checkTable(method.response, seen);
  }
  assert.ok(seen.size > 30);
  const service = registry.getService("auditgate.v1.AuditService");
  for (const method of METHODS) {
    const actual = service?.methods.find((known) => known.name === method.name);
    assert.equal(actual?.input.typeName, method.request.name);
    assert.equal(actual?.output.typeName, method.response.name);
  }
});

test("the filter has all fields of the protocol", () => {
  assert.deepEqual(
    Object.keys(Filter.fields),
    described("auditgate.v1.Filter").fields.map((field) => field.name),
  );
});

test("what the page encodes is what protobuf-es decodes, and the other way round", () => {
  const request = {
    filter: {
      types: ["user.*", "exec"], exclude_types: [], categories: [6, 19], min_severity: 2, results: [2], codes: [], users: ["李雷"], session_ids: [], server_ids: [],
      cluster_names: [], sources: [], remote_addresses: ["fd00::/8"], labels: new Map([["env", "prod"], ["", ""]]), text: "x", expression: "",
    },
    start_time: { seconds: -1n, nanos: 5 },
    end_time: undefined,
    order: 1,
    page_size: -3,
    page_token: "t",
    first_sequence: (1n << 64n) - 1n,
    last_sequence: 0n,
  };
  const bytes = encode(Search.request, request);
  const desc = described(Search.request.name);
  const theirs = toBinary(desc, fromBinary(desc, bytes));
  assert.deepEqual(decode(Search.request, theirs), request);
  assert.deepEqual(fromBinary(desc, encode(Search.request, decode(Search.request, theirs))), fromBinary(desc, bytes));
});

test("numbers beyond 53 bits keep all of their digits", () => {
  for (const value of [0n, 1n, 127n, 128n, (1n << 49n) - 1n, 1n << 49n, 1n << 53n, (1n << 53n) + 1n, (1n << 63n) - 1n]) {
    const read = decode(Timestamp, encode(Timestamp, { seconds: value }));
    assert.equal(read.seconds, value);
    assert.equal(decode(Timestamp, encode(Timestamp, { seconds: -value })).seconds, -value);
  }
});

test("bytes that are no message are refused, wherever they end", () => {
  const whole = encode(Search.request, { filter: { ...decode(Filter, new Uint8Array(0)), types: ["user.login"] }, page_token: "token" });
  for (let length = 0; length < whole.length; length++) {
    try {
      decode(Search.request, whole.subarray(0, length));
    } catch (error) {
      assert.ok(error instanceof Malformed, String(error));
    }
  }
  for (const bytes of [[0x0a], [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], [0x00, 0x01], [0x0b], [0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]]) {
    assert.throws(() => decode(Timestamp, Uint8Array.from(bytes)), Malformed, String(bytes));
    assert.throws(() => readRow(Uint8Array.from(bytes)), Malformed, String(bytes));
  }
  assert.throws(() => new Reader(Uint8Array.of(3, 1, 2)).view(), Malformed);
  assert.throws(() => new Reader(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)).varint(), Malformed);
});

test("a message within itself has a bound", () => {
  const loop: { name: string; fields: Record<string, Field<unknown>> } = { name: "Loop", fields: { leaf: one(2, "string") } };
  loop.fields["inner"] = repeated(1, table("Loop", loop.fields));
  let bytes = new Uint8Array(0);
  for (let depth = 0; depth < 40; depth++) bytes = Uint8Array.of(0x0a, bytes.length, ...bytes);
  assert.throws(() => decode(loop, bytes), /deeper/);
});

const Record = described("auditgate.v1.Record");
const Event = described("auditgate.v1.Event");

function record(type: string, payload: string, fields: Record<string, unknown>, event: Record<string, unknown> = {}, result = 0): Uint8Array {
  const variant = Event.fields.find((field) => field.name === payload);
  assert.ok(variant?.message);
  return toBinary(
    Record,
    create(Record, {
      sequence: 7n,
      type,
      result,
      event: create(Event, { ...event, payload: { case: variant.localName, value: create(variant.message, fields) } } as never),
    } as never),
  );
}

test("a row says the same of a record as the command line", () => {
  const summary = (bytes: Uint8Array) => summaryOf(readRow(bytes));
  const request = { method: "GET", path: "/x y", statusCode: 0n };
  assert.equal(summary(record("app.session.request", "app_session_request", request)), "GET /x y status_code=0");
  const outcome = create(described("auditgate.v1.Outcome"), { message: "too late", error: "denied" } as never);
  assert.equal(summary(record("app.session.request", "app_session_request", request, { outcome }, 2)), "GET /x y status_code=0 denied");
  assert.equal(summary(record("session.command", "session_command", { path: "/bin/ls", argv: ["-l", "/etc"] })), "/bin/ls -l /etc");
  const rename = registry.getEnum("auditgate.v1.SftpAction")?.values.find(({ name }) => name === "SFTP_ACTION_RENAME");
  assert.equal(summary(record("sftp", "sftp", { action: rename?.number, path: "a" })), "rename a");
  assert.equal(summary(record("custom.x", "custom", { name: "x", data: { k: "v", n: [1, null, true, { a: {} }] } })), '{"k":"v","n":[1,null,true,{"a":{}}]}');
  assert.equal(summary(record("type.of.tomorrow", "exec", {})), "");
});

test("a row has who, where and when", () => {
  const user = create(described("auditgate.v1.User"), { name: "alice", impersonator: "bob" } as never);
  const server = create(described("auditgate.v1.Server"), { id: "s-1", hostname: "web-1" } as never);
  const row = readRow(record("exec", "exec", {}, { id: "e", user, server, time: create(described("google.protobuf.Timestamp"), { seconds: 1_700_000_000n, nanos: 250_000_000 } as never) }));
  assert.deepEqual([row.sequence, row.id, row.user, row.impersonator, row.server, row.hostname, row.time], [7n, "e", "alice", "bob", "s-1", "web-1", 1_700_000_000_250]);
});
