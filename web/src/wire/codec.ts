// Messages by tables of their fields. A unit test compares the tables with the protocol.

import { BYTES, FIXED64, Reader, VARINT } from "./reader";
import { Writer } from "./writer";

/** A message inside a message inside a message ...: no request or answer is nested deeper. */
const DEPTH_MAX = 16;

interface Scalars {
  string: string;
  bytes: Uint8Array;
  bool: boolean;
  uint32: number;
  int32: number;
  enum: number;
  uint64: bigint;
  int64: bigint;
  double: number;
}
export type Scalar = keyof Scalars;

/** One field: `Value` is what it is in a decoded message. */
export interface Field<Value> {
  readonly number: number;
  readonly kind: Scalar | Table;
  readonly label: "one" | "optional" | "many" | "map";
  /** Never there: it carries the type. */
  readonly value?: Value;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** The fields of a message. */
export interface Table {
  readonly name: string;
  readonly fields: Fields;
}

/** A message that was decoded by a table. */
export type MessageOf<T> = T extends { readonly fields: infer F }
  ? { -readonly [K in keyof F]: F[K] extends Field<infer Value> ? Value : never }
  : never;

export function table<F extends Fields>(name: string, fields: F): { name: string; fields: F } {
  return { name, fields };
}

/** A single value; its zero where it is absent. */
export function one<K extends Scalar>(number: number, kind: K): Field<Scalars[K]> {
  return { number, kind, label: "one" };
}

/** A single value that knows whether it is there. */
export function optional<K extends Scalar>(number: number, kind: K): Field<Scalars[K] | undefined> {
  return { number, kind, label: "optional" };
}

export function many<K extends Scalar>(number: number, kind: K): Field<Scalars[K][]> {
  return { number, kind, label: "many" };
}

/** A message, absent as `undefined`. */
export function message<T extends Table>(number: number, of: T): Field<MessageOf<T> | undefined> {
  return { number, kind: of, label: "optional" };
}

export function messages<T extends Table>(number: number, of: T): Field<MessageOf<T>[]> {
  return { number, kind: of, label: "many" };
}

/** A map with strings as keys. */
export function map<K extends Scalar>(number: number, kind: K): Field<Map<string, Scalars[K]>> {
  return { number, kind, label: "map" };
}

const ZEROS: Readonly<Record<Scalar, unknown>> = {
  string: "",
  bytes: new Uint8Array(0),
  bool: false,
  uint32: 0,
  int32: 0,
  enum: 0,
  uint64: 0n,
  int64: 0n,
  double: 0,
};

type Value = unknown;
type Decoded = Record<string, Value>;

const byNumber = new WeakMap<Table, Map<number, [string, Field<Value>]>>();

function indexed(of: Table): Map<number, [string, Field<Value>]> {
  let index = byNumber.get(of);
  if (index === undefined) {
    index = new Map(Object.entries(of.fields).map(([name, field]) => [field.number, [name, field]]));
    byNumber.set(of, index);
  }
  return index;
}

/** Decodes a message. Fields that the table lacks are passed over. */
export function decode<T extends Table>(of: T, bytes: Uint8Array): MessageOf<T> {
  return decodeAt(of, bytes, 0) as MessageOf<T>;
}

/** The message with all its fields at zero. */
export function empty<T extends Table>(of: T): MessageOf<T> {
  return decode(of, new Uint8Array(0));
}

function decodeAt(of: Table, bytes: Uint8Array, depth: number): Decoded {
  if (depth > DEPTH_MAX) throw new Error(`${of.name} is nested deeper than ${DEPTH_MAX} messages`);
  const decoded: Decoded = {};
  for (const [name, field] of Object.entries(of.fields)) decoded[name] = absent(field);
  const index = indexed(of);
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.tag();
    const [name, field] = index.get(tag >>> 3) ?? [];
    if (name === undefined || field === undefined) {
      reader.skip(tag & 7);
      continue;
    }
    const wireType = tag & 7;
    if (field.label === "map") {
      const [key, value] = entry(field.kind as Scalar, reader.view());
      (decoded[name] as Map<string, Value>).set(key, value);
    } else if (field.label === "many" && wireType === BYTES && isPacked(field.kind)) {
      const packed = new Reader(reader.view());
      while (!packed.done) (decoded[name] as Value[]).push(scalar(field.kind as Scalar, packed));
    } else if (wireType !== wireTypeOf(field.kind)) {
      reader.skip(wireType);
    } else {
      const value =
        typeof field.kind === "string"
          ? scalar(field.kind, reader)
          : decodeAt(field.kind, reader.view(), depth + 1);
      if (field.label === "many") (decoded[name] as Value[]).push(value);
      else decoded[name] = value;
    }
  }
  return decoded;
}

function absent(field: Field<Value>): Value {
  switch (field.label) {
    case "many":
      return [];
    case "map":
      return new Map();
    case "optional":
      return undefined;
    case "one":
      return ZEROS[field.kind as Scalar];
  }
}

function entry(kind: Scalar, bytes: Uint8Array): [string, Value] {
  let key = "";
  let value = ZEROS[kind];
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === (1 << 3) + BYTES) key = reader.string();
    else if (tag === (2 << 3) + wireTypeOf(kind)) value = scalar(kind, reader);
    else reader.skip(tag & 7);
  }
  return [key, value];
}

function isPacked(kind: Scalar | Table): boolean {
  return kind !== "string" && kind !== "bytes" && typeof kind === "string";
}

function wireTypeOf(kind: Scalar | Table): number {
  if (kind === "double") return FIXED64;
  return isPacked(kind) ? VARINT : BYTES;
}

function scalar(kind: Scalar, reader: Reader): Value {
  switch (kind) {
    case "string":
      return reader.string();
    case "bytes":
      return reader.view();
    case "bool":
      return reader.uint64() !== 0n;
    case "uint32":
      return Number(BigInt.asUintN(32, reader.uint64()));
    case "int32":
    case "enum":
      return reader.int32();
    case "uint64":
      return reader.uint64();
    case "int64":
      return reader.int64();
    case "double":
      return reader.double();
  }
}

/** Encodes a message; fields that are left out are absent. */
export function encode<T extends Table>(of: T, message: Partial<MessageOf<T>>): Uint8Array {
  const writer = new Writer();
  for (const [name, field] of Object.entries(of.fields)) {
    const value = (message as Decoded)[name];
    if (value === undefined) continue;
    switch (field.label) {
      case "one":
        if (!isZero(value)) write(writer, field.number, field.kind, value);
        break;
      case "optional":
        write(writer, field.number, field.kind, value);
        break;
      case "many":
        for (const item of value as Value[]) write(writer, field.number, field.kind, item);
        break;
      case "map":
        for (const [key, item] of value as Map<string, Value>) {
          const inner = new Writer();
          write(inner, 1, "string", key);
          write(inner, 2, field.kind, item);
          writer.tag(field.number, BYTES);
          writer.bytes(inner.finish());
        }
        break;
    }
  }
  return writer.finish();
}

function isZero(value: Value): boolean {
  return value === "" || value === false || value === 0 || value === 0n || (value instanceof Uint8Array && value.length === 0);
}

function write(writer: Writer, number: number, kind: Scalar | Table, value: Value): void {
  writer.tag(number, wireTypeOf(kind));
  if (typeof kind !== "string") {
    writer.bytes(encode(kind, value as Decoded));
    return;
  }
  switch (kind) {
    case "string":
      return writer.string(value as string);
    case "bytes":
      return writer.bytes(value as Uint8Array);
    case "bool":
      return writer.uint64(value === true ? 1n : 0n);
    case "double":
      return writer.double(value as number);
    default:
      return writer.uint64(BigInt(value as number | bigint));
  }
}
