// The protocol's descriptors, for what must know all fields of a record. Part of record.js.

import { createFileRegistry, fromBinary, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { COMMENTS, DESCRIPTORS } from "../../generated/schema";

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, base64Decode(DESCRIPTORS)));

const PACKAGE = "auditgate.v1.";

/** A message of the protocol. */
export function messageNamed(name: string): DescMessage {
  const found = registry.getMessage(PACKAGE + name);
  if (found === undefined) throw new Error(`the protocol has no message ${name}`);
  return found;
}

/** What the protocol says of a field. */
export function commentOf(field: DescField): string {
  return COMMENTS[`${field.parent.typeName.slice(PACKAGE.length)}.${field.name}`] ?? "";
}
