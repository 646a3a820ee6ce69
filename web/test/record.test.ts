// What the drawer says of a record, from its bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary, type DescMessage } from "@bufbuild/protobuf";
import { messageNamed } from "../src/drawer/schema";
import { csvOf, fieldsBelow, jsonLine, viewRecord } from "../src/drawer/record";
import { show } from "../src/filter/grammar";
import type { FieldView } from "../src/drawer/view";

const make = (name: string, fields: Record<string, unknown>) => create(messageNamed(name) as DescMessage, fields as never);

function record(event: Record<string, unknown>, fields: Record<string, unknown> = {}, unknown: number[] = []): Uint8Array {
  const bytes = toBinary(messageNamed("Record"), make("Record", { sequence: (1n << 60n) + 1n, type: "user.login", severity: 2, result: 2, event: make("Event", event), ...fields }));
  return Uint8Array.from([...bytes, ...unknown]);
}

const login = {
  id: "e-1",
  time: create(messageNamed("Event").fields.find((field) => field.name === "time")?.message as DescMessage, { seconds: 1_700_000_000n, nanos: 5_000_000 } as never),
  user: make("User", { name: "o'hara", roles: ["a", "b"], kind: 1 }),
  connection: make("Connection", { remoteAddress: "[fd00::1]:47" }),
  outcome: make("Outcome", { success: false, error: "no\u202e" }),
  labels: { env: "prod", "a.b": "x y" },
  traceId: "t",
  payload: { case: "userLogin", value: make("UserLogin", { method: "local" }) },
};

function fieldsOf(bytes: Uint8Array): Map<string, FieldView & { title: string }> {
  return new Map(viewRecord(bytes).groups.flatMap(({ title, fields }) => fields.map((field) => [field.path, { ...field, title }] as const)));
}

test("fields stand in their groups, with what the protocol says of them", () => {
  const fields = fieldsOf(record(login));
  const group = (path: string) => fields.get(path)?.title;
  assert.deepEqual(
    ["type", "event.user_login.method", "event.user.name", "event.connection.remote_address", "event.outcome.error", "result", "event.trace_id", "event.labels.env"].map(group),
    ["What", "What", "Who", "Connection", "Outcome", "Outcome", "Rest", "Rest"],
  );
  assert.match(fields.get("event.user.name")?.help ?? "", /^Name of the account/);
  assert.equal(fields.get("severity")?.value, "warning");
  assert.equal(fields.get("event.user.kind")?.value, "human");
  assert.equal(fields.get("sequence")?.value, String((1n << 60n) + 1n));
});

test("each value that can be filtered by has its token", () => {
  const fields = fieldsOf(record(login));
  const filter = (path: string) => {
    const token = fields.get(path)?.token;
    return token === undefined ? undefined : show(token);
  };
  assert.equal(filter("event.user.name"), "user:o'hara");
  assert.equal(filter("event.connection.remote_address"), "address:fd00::1");
  assert.equal(filter("event.labels.a.b"), 'label:"a.b=x y"');
  assert.equal(filter("result"), "failed");
  assert.equal(filter("event.user_login.method"), `cel:"event.user_login.method == 'local'"`);
  assert.equal(filter("event.user.roles"), `cel:"'a' in event.user.roles"`);
  assert.equal(filter("event.outcome.success"), 'cel:"event.outcome.success == false"');
  assert.equal(filter("event.user.kind"), undefined);
  const long = fieldsOf(record({ ...login, user: make("User", { name: "é".repeat(513) }) }));
  assert.equal(long.get("event.user.name")?.token, undefined, "longer than a filter may be");
});

test("what the gateway changed is marked", () => {
  const amendments = [make("Amendment", { path: "event.user_login.method", action: "masked", values: 1 }), make("Amendment", { path: "event.labels.*", action: "hmac", values: 2, keyId: "k" })];
  const bytes = record(login, { amendments, clientBytes: 3 });
  assert.deepEqual(viewRecord(bytes).amendments, [
    { path: "event.user_login.method", action: "masked", detail: "" },
    { path: "event.labels.*", action: "hmac", detail: "2 values, key k" },
  ]);
  const fields = fieldsOf(bytes);
  assert.match(fields.get("event.user_login.method")?.note ?? "", /masked/);
  assert.match(fields.get("event.labels.env")?.note ?? "", /hmac/);
  assert.match(fields.get("event.id")?.note ?? "", /appended/);
  assert.ok(![...fields.keys()].some((path) => path.startsWith("amendments")));
});

test("fields of tomorrow are kept, and shown as far as they can be", () => {
  // Field 900 as text, field 901 as a number.
  const { unknown } = viewRecord(record(login, {}, [0xa2, 0x38, 2, 0x68, 0x69, 0xa8, 0x38, 0x96, 0x01]));
  assert.deepEqual(unknown.map(({ path, wireType, preview }) => [path, wireType, preview]), [["900", "bytes", "hi"], ["901", "varint", "150"]]);
});

test("JSON and tables are those of the command line", () => {
  assert.equal(
    jsonLine(record(login)),
    '{"sequence":"1152921504606846977","type":"user.login","severity":"SEVERITY_WARNING","result":"RESULT_FAILURE","event":{"id":"e-1","time":"2023-11-14T22:13:20.005Z",' +
      '"user":{"name":"o\'hara","kind":"USER_KIND_HUMAN","roles":["a","b"]},"connection":{"remote_address":"[fd00::1]:47"},"outcome":{"success":false,"error":"no\\u202e"},' +
      '"trace_id":"t","labels":{"a.b":"x y","env":"prod"},"user_login":{"method":"local"}}}',
  );
  assert.equal(csvOf(record(login)), "1152921504606846977,2023-11-14T22:13:20.005Z,user.login,warning,failure,,o'hara,,,,[fd00::1]:47,,no\u202e,e-1");
});

test("expressions are completed by what the protocol has", () => {
  const names = fieldsBelow("").map(({ path }) => path);
  for (const name of ["type", "severity", "result", "sequence", "accept_time", "clock_skew", "emitter", "event"]) assert.ok(names.includes(name), name);
  assert.ok(!names.includes("amendments"));
  assert.deepEqual(fieldsBelow("emitter").map(({ path }) => path), ["emitter.principal", "emitter.peer"]);
  assert.ok(fieldsBelow("event.user").some(({ path, kind, help }) => path === "event.user.name" && kind === "string" && help !== ""));
  assert.deepEqual(fieldsBelow("event.custom.data"), []);
  assert.deepEqual(fieldsBelow("event.nothing"), []);
});
