// Makes generated/ from the protocol and from the command line's table of what matters of
// each event type: what the page would otherwise repeat by hand.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { create, createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, MessageOptionsSchema } from "@bufbuild/protobuf/wkt";

/** `tree` is the repository, `work` where node_modules lies and generated/ goes. */
export function generate(tree, work) {
  const folder = join(work, "generated");
  mkdirSync(folder, { recursive: true });
  const buf = join(work, "node_modules", ".bin", "buf");
  const encoded = execFileSync(buf, ["build", tree, "--as-file-descriptor-set", "-o", "-"], { maxBuffer: 64 << 20 });
  const set = fromBinary(FileDescriptorSetSchema, encoded);
  const registry = createFileRegistry(set);
  const event = registry.getMessage("auditgate.v1.Event");
  write(folder, "summaries.ts", summaries(registry, event, readFileSync(join(tree, "src/cli/output/summary_fields.rs"), "utf8")));
  write(folder, "schema.ts", schema(set, registry));
}

function write(folder, name, text) {
  writeFileSync(join(folder, name), `// Made by build/generate.mjs.\n${text}`);
}

/** By event type, the fields that a row shows: their numbers from the event down. */
function summaries(registry, event, source) {
  const rows = [...source.matchAll(/\(\s*"([^"]+)",\s*&\[([^\]]*)\]/g)];
  const count = Number(/FIELDS: \[\(&str, &\[&str\]\); (\d+)\]/.exec(source)?.[1]);
  if (rows.length !== count) throw new Error(`summary_fields.rs has ${count} types, and ${rows.length} were read`);
  const variants = new Map(event.oneofs.find((oneof) => oneof.name === "payload").fields.map((field) => [field.name, field]));
  const lines = rows.map(([, type, list]) => {
    const fields = [...list.matchAll(/"([^"]+)"/g)].map(([, path]) => summaryField(event, variants, type, path));
    return `  ${JSON.stringify(type)}: [${fields.map((field) => JSON.stringify(field)).join(", ")}],`;
  });
  return `export interface SummaryField {
  readonly name: string;
  readonly path: readonly number[];
  readonly kind: "text" | "int" | "uint" | "bool" | "struct" | "duration";
  readonly repeated?: boolean;
  readonly enum?: readonly string[];
}

export const SUMMARIES: Readonly<Record<string, readonly SummaryField[]>> = {
${lines.join("\n")}
};
`;
}

function summaryField(event, variants, type, path) {
  const variant = variants.get(type.replaceAll(/[.-]/g, "_"));
  if (variant === undefined) throw new Error(`${type} is no variant of Event.payload`);
  const names = path.startsWith("event.") ? path.slice(6).split(".") : [variant.name, ...path.split(".")];
  let message = event;
  let field;
  const numbers = names.map((name) => {
    field = message?.fields.find((known) => known.name === name);
    if (field === undefined) throw new Error(`${type}: ${path} leads nowhere`);
    message = field.message;
    return field.number;
  });
  const described = { name: field.name, path: numbers, kind: kindOf(field, `${type}: ${path}`) };
  if (field.fieldKind === "list") described.repeated = true;
  const values = field.enum?.values;
  if (values !== undefined) described.enum = enumNames(field.enum);
  return described;
}

function enumNames(of) {
  const names = [];
  for (const value of of.values) names[value.number] = value.number === 0 ? "" : value.localName.toLowerCase();
  return Array.from(names, (name) => name ?? "");
}

function kindOf(field, where) {
  if (field.enum !== undefined) return "int";
  if (field.message !== undefined) {
    if (field.message.typeName === "google.protobuf.Struct") return "struct";
    if (field.message.typeName === "google.protobuf.Duration") return "duration";
    throw new Error(`${where}: a row cannot show a ${field.message.typeName}`);
  }
  const scalar = field.scalar;
  // ScalarType of protobuf-es: 3 int64, 4 uint64, 5 int32, 8 bool, 9 string, 13 uint32.
  const kinds = { 3: "int", 4: "uint", 5: "int", 8: "bool", 9: "text", 13: "uint" };
  if (kinds[scalar] === undefined) throw new Error(`${where}: scalar type ${scalar}`);
  return kinds[scalar];
}

/** The descriptors of a record, and what the protocol says of each of its fields. */
function schema(set, registry) {
  const record = registry.getMessage("auditgate.v1.Record");
  const needed = new Set();
  const visit = (file) => {
    if (needed.has(file.proto.name)) return;
    needed.add(file.proto.name);
    file.dependencies.forEach(visit);
  };
  visit(record.file);
  const comments = {};
  const reached = new Set();
  const reach = (message) => {
    if (message === undefined || reached.has(message.typeName)) return;
    reached.add(message.typeName);
    for (const field of message.fields) {
      reach(field.message ?? (field.fieldKind === "map" ? field.message : undefined));
      if (!message.typeName.startsWith("auditgate.")) continue;
      const said = commentOf(set, message, field);
      if (said !== "") comments[`${message.typeName.slice("auditgate.v1.".length)}.${field.name}`] = said;
    }
  };
  reach(record);
  const stripped = create(FileDescriptorSetSchema, {
    file: set.file
      .filter((file) => needed.has(file.name) && file.name !== "google/protobuf/descriptor.proto")
      .map((file) => strip(file)),
  });
  const encoded = Buffer.from(toBinary(FileDescriptorSetSchema, stripped)).toString("base64");
  return `/** A FileDescriptorSet of what a record consists of, without options and comments. */
export const DESCRIPTORS = ${JSON.stringify(encoded)};

/** What the protocol says of a field, by \`Message.field\`. */
export const COMMENTS: Readonly<Record<string, string>> = ${JSON.stringify(comments, undefined, 1)};
`;
}

/** Without what the page does not use: options, comments, extensions. */
function strip(file) {
  const stripMessage = (message) => ({
    ...message,
    field: message.field.map((field) => ({ ...field, options: undefined, jsonName: "" })),
    nestedType: message.nestedType.map(stripMessage),
    enumType: message.enumType.map((of) => ({ ...of, options: undefined, value: of.value.map((value) => ({ ...value, options: undefined })) })),
    options: message.options?.mapEntry ? create(MessageOptionsSchema, { mapEntry: true }) : undefined,
  });
  return {
    ...file,
    options: undefined,
    sourceCodeInfo: undefined,
    extension: [],
    dependency: file.dependency.filter((name) => name !== "google/protobuf/descriptor.proto"),
    messageType: file.messageType.map(stripMessage),
    enumType: file.enumType.map((of) => ({ ...of, options: undefined, value: of.value.map((value) => ({ ...value, options: undefined })) })),
  };
}

/** The comment before a field, in one line. Only top-level messages have fields that are shown. */
function commentOf(set, message, field) {
  const file = set.file.find((known) => known.name === message.file.proto.name);
  const messageIndex = file.messageType.findIndex((known) => known.name === message.name);
  const fieldIndex = file.messageType[messageIndex]?.field.findIndex((known) => known.name === field.name);
  const path = [4, messageIndex, 2, fieldIndex];
  const location = file.sourceCodeInfo?.location.find((known) => known.path.length === 4 && known.path.every((part, index) => part === path[index]));
  return (location?.leadingComments ?? "").trim().replaceAll(/\s*\n\s*/g, " ").replaceAll("`", "");
}

// Run by itself: `node build/generate.mjs TREE WORK`.
if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [tree, work] = process.argv.slice(2).map((path) => resolve(path));
  generate(tree, work);
}
