// Records as the command line writes them: `auditgate search -o ndjson`. The names are those
// of the proto files, fields stand by number and entries of maps by key.

import { fromBinary, ScalarType, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { escapedJson } from "../text/escape";
import { messageNamed } from "./schema";

/** A value of JSON in the order in which it is written; numbers that JSON would round are texts. */
export type Json = string | boolean | null | JsonNumber | Json[] | Map<string, Json>;

/** A number with the text that is written for it. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const Record = messageNamed("Record");
/** Messages of records nest less deep than this. */
const DEPTH_MAX = 200;

export function decodeRecord(bytes: Uint8Array): ReflectMessage {
  return reflect(Record, fromBinary(Record, bytes));
}

/** The record on one line. */
export function jsonLine(bytes: Uint8Array): string {
  return escapedJson(write(toJson(decodeRecord(bytes), 0), "", ""));
}

/** The record on several lines. */
export function jsonIndented(record: ReflectMessage): string {
  return escapedJson(write(toJson(record, 0), "\n", "  "));
}

function write(value: Json, lineBreak: string, indent: string): string {
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    const inner = lineBreak === "" ? "" : lineBreak + indent;
    return `[${inner}${value.map((item) => write(item, inner, indent)).join(`,${inner}`)}${lineBreak}]`;
  }
  if (value instanceof Map) {
    if (value.size === 0) return "{}";
    const inner = lineBreak === "" ? "" : lineBreak + indent;
    const colon = lineBreak === "" ? ":" : ": ";
    const entries = [...value].map(([key, item]) => `${JSON.stringify(key)}${colon}${write(item, inner, indent)}`);
    return `{${inner}${entries.join(`,${inner}`)}${lineBreak}}`;
  }
  return JSON.stringify(value);
}

/** A message in JSON. */
export function toJson(message: ReflectMessage, depth: number): Json {
  if (depth > DEPTH_MAX) return "…";
  const known = wellKnown(message, depth);
  if (known !== undefined) return known;
  const json = new Map<string, Json>();
  for (const field of [...message.desc.fields].sort((a, b) => a.number - b.number)) {
    if (message.isSet(field)) json.set(field.name, fieldJson(message, field, depth));
  }
  return json;
}

export function fieldJson(message: ReflectMessage, field: DescField, depth: number): Json {
  switch (field.fieldKind) {
    case "scalar":
      return scalarJson(field.scalar, message.get(field));
    case "enum":
      return enumJson(field, message.get(field));
    case "message":
      return toJson(message.get(field), depth + 1);
    case "list":
      return [...message.get(field)].map((item) => {
        if (field.listKind === "message") return toJson(item as ReflectMessage, depth + 1);
        return field.listKind === "enum" ? enumJson(field, item as number) : scalarJson(field.scalar, item);
      });
    case "map": {
      const entries = [...message.get(field)].sort(([a], [b]) => byBytes(String(a), String(b)));
      return new Map(
        entries.map(([key, item]): [string, Json] => {
          const value = field.mapKind === "message" ? toJson(item as ReflectMessage, depth + 1) : field.mapKind === "enum" ? enumJson(field, item as number) : scalarJson(field.scalar, item);
          return [String(key), value];
        }),
      );
    }
  }
}

const utf8 = new TextEncoder();

/** The order of the encoded texts, which differs from that of JavaScript beyond U+FFFF. */
function byBytes(a: string, b: string): number {
  const [left, right] = [utf8.encode(a), utf8.encode(b)];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const steps = (left[at] ?? 0) - (right[at] ?? 0);
    if (steps !== 0) return steps;
  }
  return left.length - right.length;
}

function enumJson(field: DescField, value: unknown): Json {
  const number = value as number;
  return field.enum?.value[number]?.name ?? new JsonNumber(String(number));
}

function scalarJson(type: ScalarType, value: unknown): Json {
  switch (type) {
    case ScalarType.BOOL:
      return value as boolean;
    case ScalarType.STRING:
      return value as string;
    case ScalarType.BYTES:
      return base64Encode(value as Uint8Array);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return floatJson(value as number);
    case ScalarType.INT32:
    case ScalarType.UINT32:
    case ScalarType.SINT32:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return new JsonNumber(String(value));
    default:
      // JSON's numbers are too short for these.
      return String(value);
  }
}

function floatJson(value: number): Json {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return new JsonNumber(floatText(value));
}

/** The shortest text of a number, as Rust's serde_json has it: `1.0`, `1e-7`, `1e16`. */
export function floatText(value: number): string {
  const [mantissa = "0", exponentText = "0"] = Math.abs(value).toExponential().split("e");
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const digits = mantissa.replace(".", "");
  const point = Number(exponentText) + 1;
  if (value === 0) return `${sign}0.0`;
  if (digits.length <= point && point <= 16) return `${sign}${digits}${"0".repeat(point - digits.length)}.0`;
  if (0 < point && point <= 16) return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
  if (-5 < point && point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : "";
  return `${sign}${digits.charAt(0)}${fraction}e${point - 1}`;
}

type Shape = Message & Record<string, unknown>;

/** The types of google.protobuf that have a JSON form of their own. */
function wellKnown(message: ReflectMessage, depth: number): Json | undefined {
  const value = message.message as Shape;
  switch (message.desc.typeName) {
    case "google.protobuf.Timestamp":
      return timestampText(value["seconds"] as bigint, value["nanos"] as number);
    case "google.protobuf.Duration":
      return durationText(value["seconds"] as bigint, value["nanos"] as number);
    case "google.protobuf.Struct":
      return structJson(message, depth);
    case "google.protobuf.ListValue":
      return listJson(message, depth);
    case "google.protobuf.Value":
      return valueJson(message, depth);
    default:
      return undefined;
  }
}

function fieldNamed(desc: DescMessage, name: string): DescField {
  const field = desc.fields.find((known) => known.name === name);
  if (field === undefined) throw new Error(`${desc.typeName} has no field ${name}`);
  return field;
}

function structJson(message: ReflectMessage, depth: number): Json {
  const field = fieldNamed(message.desc, "fields");
  if (!message.isSet(field)) return new Map();
  return fieldJson(message, field, depth + 1);
}

function listJson(message: ReflectMessage, depth: number): Json {
  const field = fieldNamed(message.desc, "values");
  return message.isSet(field) ? fieldJson(message, field, depth + 1) : [];
}

function valueJson(message: ReflectMessage, depth: number): Json {
  const field = message.desc.fields.find((known) => message.isSet(known));
  if (field === undefined || field.name === "null_value") return null;
  const json = fieldJson(message, field, depth);
  return json;
}

/** RFC 3339 in UTC, with as many digits as it takes: none, three, six or nine. */
export function timestampText(seconds: bigint, nanos: number): string {
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return `${seconds} s after 1970`;
  return `${date.toISOString().slice(0, 19)}${fraction(nanos)}Z`;
}

function durationText(seconds: bigint, nanos: number): string {
  const negative = seconds < 0n || nanos < 0;
  const whole = seconds < 0n ? -seconds : seconds;
  return `${negative ? "-" : ""}${whole}${fraction(Math.abs(nanos))}s`;
}

function fraction(nanos: number): string {
  if (nanos === 0) return "";
  const digits = String(nanos).padStart(9, "0");
  if (digits.endsWith("000000")) return `.${digits.slice(0, 3)}`;
  return digits.endsWith("000") ? `.${digits.slice(0, 6)}` : `.${digits}`;
}
