// A record as groups of fields: who, what, where, outcome, connection, the rest.

import { ScalarType, type DescField } from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { celString } from "../filter/query";
import { token, type Token } from "../filter/tokens";
import { withoutPort } from "../text/address";
import { fieldJson, toJson, JsonNumber, type Json } from "./json";
import { commentOf } from "./schema";

export interface FieldView {
  /** From the record down: `event.user.name`. */
  readonly path: string;
  readonly value: string;
  /** What the protocol says of it. */
  readonly help: string;
  /** The token that selects records with this value. */
  readonly token: Token | undefined;
  /** A value of several lines, such as JSON. */
  readonly block: boolean;
  /** What the gateway did to it. */
  readonly note: string;
}

export interface GroupView {
  readonly title: string;
  readonly fields: FieldView[];
}

export interface AmendmentView {
  readonly path: string;
  readonly action: string;
  readonly detail: string;
}

export const GROUPS = ["What", "Who", "Where", "Outcome", "Connection", "Rest"] as const;
type Group = (typeof GROUPS)[number];

const GROUP_OF: Readonly<Record<string, Group>> = {
  type: "What",
  severity: "What",
  result: "Outcome",
  "event.code": "What",
  "event.resource": "What",
  "event.user": "Who",
  "event.session": "Where",
  "event.server": "Where",
  "event.cluster_name": "Where",
  "event.outcome": "Outcome",
  "event.connection": "Connection",
};

/** Fields of the event that a token selects by. */
const TOKEN_OF: Readonly<Record<string, string>> = {
  type: "type",
  severity: "severity",
  result: "result",
  "event.code": "code",
  "event.user.name": "user",
  "event.user.impersonator": "user",
  "event.session.id": "session",
  "event.server.id": "server-id",
  "event.cluster_name": "cluster",
  "event.source.name": "source",
};

interface Raw {
  readonly path: string;
  readonly field: DescField;
  readonly json: Json;
  /** In an expression, how the value is reached; nothing where it cannot be. */
  readonly cel: string | undefined;
}

/** The fields of the record in groups. Empty groups are left out. */
export function groupsOf(record: ReflectMessage): GroupView[] {
  const raws: Raw[] = [];
  flatten(record, "", raws);
  const amended = new Map(amendmentsOf(record).map((amendment) => [amendment.path, amendment]));
  const appended = appendedBy(record);
  const payload = payloadName(record);
  const groups = new Map<Group, FieldView[]>(GROUPS.map((title) => [title, []]));
  for (const raw of raws) {
    if (raw.path.startsWith("amendments")) continue;
    const view = viewOf(raw, amended, appended);
    groups.get(groupOf(raw.path, payload))?.push(view);
  }
  return GROUPS.map((title) => ({ title, fields: groups.get(title) ?? [] })).filter(({ fields }) => fields.length > 0);
}

/** What the gateway changed in the event. */
export function amendmentsOf(record: ReflectMessage): AmendmentView[] {
  const field = record.desc.fields.find((known) => known.name === "amendments");
  if (field?.fieldKind !== "list") return [];
  return [...record.get(field)].map((item) => {
    const json = toJson(item as ReflectMessage, 0) as Map<string, Json>;
    const text = (name: string) => plain(json.get(name) ?? "");
    const details = [
      text("values") !== "" && text("values") !== "1" ? `${text("values")} values` : "",
      text("key_id") === "" ? "" : `key ${text("key_id")}`,
      text("original_bytes") === "" ? "" : `had ${text("original_bytes")} bytes`,
    ];
    return { path: text("path"), action: text("action"), detail: details.filter((detail) => detail !== "").join(", ") };
  });
}

function groupOf(path: string, payload: string): Group {
  if (payload !== "" && (path === `event.${payload}` || path.startsWith(`event.${payload}.`))) return "What";
  for (let end = path.length; end > 0; end = path.lastIndexOf(".", end - 1)) {
    const group = GROUP_OF[path.slice(0, end)];
    if (group !== undefined) return group;
  }
  return "Rest";
}

/** The variant of the event that is set. */
export function payloadName(record: ReflectMessage): string {
  const event = eventOf(record);
  const payload = event?.desc.oneofs.find((oneof) => oneof.name === "payload");
  return payload?.fields.find((field) => event?.isSet(field))?.name ?? "";
}

function eventOf(record: ReflectMessage): ReflectMessage | undefined {
  const field = record.desc.fields.find((known) => known.name === "event");
  return field?.fieldKind === "message" && record.isSet(field) ? record.get(field) : undefined;
}

/** An id or a time that lies behind the client's bytes is the gateway's. */
function appendedBy(record: ReflectMessage): boolean {
  const field = record.desc.fields.find((known) => known.name === "client_bytes");
  return field !== undefined && record.isSet(field);
}

function flatten(message: ReflectMessage, prefix: string, into: Raw[]): void {
  for (const field of message.desc.fields) {
    if (!message.isSet(field)) continue;
    const path = prefix === "" ? field.name : `${prefix}.${field.name}`;
    if (field.fieldKind === "message" && !field.message.typeName.startsWith("google.protobuf.")) {
      const before = into.length;
      flatten(message.get(field), path, into);
      if (into.length === before) into.push({ path, field, json: new Map(), cel: undefined });
    } else if (field.fieldKind === "map") {
      for (const [key, value] of fieldJson(message, field, 0) as Map<string, Json>) {
        // To read a key that is not there fails, so an expression asks for it first.
        into.push({ path: `${path}.${key}`, field, json: value, cel: `${celString(key)} in ${path} && ${path}[${celString(key)}]` });
      }
    } else {
      into.push({ path, field, json: fieldJson(message, field, 0), cel: path });
    }
  }
}

function viewOf(raw: Raw, amended: Map<string, AmendmentView>, appended: boolean): FieldView {
  const { path, field, json } = raw;
  const value = valueText(field, json);
  const amendment = amended.get(path) ?? amended.get(path.replace(/\.[^.]*$/, ".*"));
  const notes: string[] = [];
  if (amendment !== undefined) notes.push(`${amendment.action.replaceAll("_", " ")} by the gateway`);
  if (appended && (path === "event.id" || path === "event.time")) notes.push("may be appended by the gateway");
  return { path, value, help: commentOf(field), token: tokenOf(raw, value), block: value.includes("\n"), note: notes.join(", ") };
}

/** Text as it is, names of enums as the command line has them, the rest as JSON. */
function valueText(field: DescField, json: Json): string {
  if (field.fieldKind === "enum" && typeof json === "string") return enumWord(field, json);
  if (Array.isArray(json)) return json.map((item) => (field.fieldKind === "list" && field.listKind === "enum" ? enumWord(field, plain(item)) : plain(item))).join("\n");
  return plain(json);
}

function enumWord(field: DescField, name: string): string {
  const value = field.enum?.values.find((known) => known.name === name);
  return value === undefined ? name : value.localName.toLowerCase();
}

function plain(json: Json): string {
  if (typeof json === "string") return json;
  if (json instanceof JsonNumber) return json.text;
  if (json === null || typeof json === "boolean") return String(json);
  return JSON.stringify(untyped(json), undefined, 2);
}

function untyped(json: Json): unknown {
  if (json instanceof JsonNumber) return Number(json.text);
  if (Array.isArray(json)) return json.map(untyped);
  if (json instanceof Map) return Object.fromEntries([...json].map(([key, value]) => [key, untyped(value)]));
  return json;
}

/** The gateway takes no longer value in a filter, in bytes. */
const FILTER_BYTES_MAX = 1_024;

function tokenOf(raw: Raw, value: string): Token | undefined {
  if (new TextEncoder().encode(value).length > FILTER_BYTES_MAX) return undefined;
  const key = TOKEN_OF[raw.path];
  if (key !== undefined) return value === "" ? undefined : token(key, value);
  if (raw.path === "event.connection.remote_address") return token("address", withoutPort(value));
  const label = /^event\.labels\.([^=]+)$/.exec(raw.path);
  if (label !== null) return token("label", `${label[1]}=${value}`);
  if (raw.cel === undefined || !raw.path.startsWith("event.")) return undefined;
  const literal = literalOf(raw.field, raw.json);
  if (literal === undefined) return undefined;
  if (raw.field.fieldKind === "list") return token("cel", `${literal} in ${raw.cel}`);
  return token("cel", `${raw.cel} == ${literal}`);
}

/** The value as an expression has it; of a list, its first one. */
function literalOf(field: DescField, json: Json): string | undefined {
  if (field.fieldKind === "map") return field.mapKind === "scalar" && typeof json === "string" ? celString(json) : undefined;
  const item = Array.isArray(json) ? json[0] : json;
  if (item === undefined || (field.fieldKind !== "scalar" && !(field.fieldKind === "list" && field.listKind === "scalar"))) return undefined;
  switch (field.scalar) {
    case ScalarType.STRING:
      return celString(plain(item));
    case ScalarType.BOOL:
    case ScalarType.INT32:
    case ScalarType.INT64:
    case ScalarType.DOUBLE:
      return plain(item);
    case ScalarType.UINT32:
    case ScalarType.UINT64:
      return `${plain(item)}u`;
    default:
      return undefined;
  }
}
