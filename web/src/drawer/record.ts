// record.js: loaded when a record is opened, an expression is edited or records are
// exported. It knows the whole protocol, with the help of @bufbuild/protobuf.

import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { COLUMNS, csvLine } from "../export/csv";
import { decodeRecord, jsonIndented, JsonNumber, toJson, type Json } from "./json";
import { hexDump, unknownFields, type UnknownField } from "./raw";
import { amendmentsOf, groupsOf, type AmendmentView, type GroupView } from "./view";

export { jsonLine } from "./json";
export { fieldsBelow, type FieldInfo } from "./fields";

/** How many bytes are dumped. */
const DUMP_BYTES_MAX = 4_096;

/** A record, for the drawer. */
export interface RecordView {
  readonly groups: GroupView[];
  readonly amendments: AmendmentView[];
  readonly unknown: UnknownField[];
  readonly json: string;
  readonly dump: string;
  readonly dumped: number;
}

export function viewRecord(bytes: Uint8Array): RecordView {
  const record = decodeRecord(bytes);
  return {
    groups: groupsOf(record),
    amendments: amendmentsOf(record),
    unknown: unknownFields(record),
    json: jsonIndented(record),
    dump: hexDump(bytes, DUMP_BYTES_MAX),
    dumped: Math.min(bytes.length, DUMP_BYTES_MAX),
  };
}

/** The record as a line of a table. */
export function csvOf(bytes: Uint8Array): string {
  const record = decodeRecord(bytes);
  const json = toJson(record, 0);
  return csvLine(COLUMNS.map((path) => cell(record, json, path.split("."))));
}

function cell(record: ReflectMessage, json: Json, path: readonly string[]): string {
  let found: Json | undefined = json;
  for (const name of path) found = found instanceof Map ? found.get(name) : undefined;
  if (found === undefined || found === null) return "";
  if (found instanceof JsonNumber) return found.text;
  if (typeof found !== "string") return JSON.stringify(found);
  const only = path[0] ?? "";
  if (path.length === 1 && (only === "severity" || only === "result")) {
    const field = record.desc.fields.find((known) => known.name === only);
    return field?.enum?.values.find((value) => value.name === found)?.localName.toLowerCase() ?? found;
  }
  return found;
}

