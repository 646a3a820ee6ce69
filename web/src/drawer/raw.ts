// What a record consists of, byte by byte, and which of it this page does not know.

import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { BYTES, FIXED32, FIXED64, Reader, VARINT } from "../wire/reader";

export interface UnknownField {
  /** Where: the message, and the number of the field. */
  readonly path: string;
  readonly wireType: string;
  readonly bytes: number;
  /** Text if it looks like text, else hexadecimal; cut. */
  readonly preview: string;
}

const WIRE_TYPES: Readonly<Record<number, string>> = { [VARINT]: "varint", [FIXED64]: "64 bits", [BYTES]: "bytes", [FIXED32]: "32 bits" };
const PREVIEW_BYTES = 64;
const UNKNOWN_MAX = 200;

/** The fields that the page's protocol lacks: a newer client or gateway sent them. */
export function unknownFields(record: ReflectMessage): UnknownField[] {
  const found: UnknownField[] = [];
  walk(record, "", found);
  return found;
}

function walk(message: ReflectMessage, prefix: string, found: UnknownField[]): void {
  for (const { no, wireType, data } of message.getUnknown() ?? []) {
    if (found.length >= UNKNOWN_MAX) return;
    found.push({ path: `${prefix}${no}`, wireType: WIRE_TYPES[wireType] ?? String(wireType), bytes: data.length, preview: preview(wireType, data) });
  }
  for (const field of message.desc.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === "message") walk(message.get(field), `${prefix}${field.name}.`, found);
    else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) walk(item as ReflectMessage, `${prefix}${field.name}.`, found);
    }
  }
}

function preview(wireType: number, data: Uint8Array): string {
  try {
    const reader = new Reader(data);
    if (wireType === VARINT) return String(reader.uint64());
    const value = wireType === BYTES ? reader.view() : data;
    const cut = value.subarray(0, PREVIEW_BYTES);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(cut);
    if (wireType === BYTES && /^[^\u0000-\u0008\u000e-\u001f]*$/.test(text)) return value.length > cut.length ? `${text}…` : text;
    return hex(cut);
  } catch {
    return hex(data.subarray(0, PREVIEW_BYTES));
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

const LINE_BYTES = 12;

/** A dump of the first bytes: offset, hexadecimal, letters of ASCII. */
export function hexDump(bytes: Uint8Array, limit: number): string {
  const lines: string[] = [];
  for (let from = 0; from < Math.min(bytes.length, limit); from += LINE_BYTES) {
    const line = bytes.subarray(from, Math.min(from + LINE_BYTES, limit));
    const letters = Array.from(line, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."));
    lines.push(`${from.toString(16).padStart(6, "0")}  ${hex(line).padEnd(LINE_BYTES * 3 - 1)}  ${letters.join("")}`);
  }
  return lines.join("\n");
}
