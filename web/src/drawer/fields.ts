// The fields that an expression can name, with what the protocol says of them.

import { ScalarType, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { commentOf, messageNamed } from "./schema";

export interface FieldInfo {
  readonly path: string;
  readonly help: string;
  /** `string`, `bool`, `number`, `message`, ... */
  readonly kind: string;
}

/** Of a record, an expression sees all but these. */
const HIDDEN = ["client_bytes", "amendments"];

/** The fields directly below a path such as `event.user`; all at the top for an empty one. */
export function fieldsBelow(path: string): FieldInfo[] {
  let message: DescMessage | undefined = messageNamed("Record");
  if (path === "") return message.fields.filter(({ name }) => !HIDDEN.includes(name)).map((field) => ({ path: field.name, help: commentOf(field), kind: kindOf(field) }));
  for (const name of path.split(".")) {
    const field: DescField | undefined = message?.fields.find((known) => known.name === name);
    message = field?.fieldKind === "message" ? field.message : undefined;
  }
  if (message === undefined || message.typeName.startsWith("google.")) return [];
  return message.fields.map((field) => ({ path: `${path}.${field.name}`, help: commentOf(field), kind: kindOf(field) }));
}

function kindOf(field: DescField): string {
  switch (field.fieldKind) {
    case "map":
      return "map";
    case "list":
      return "list";
    case "enum":
      return "enum";
    case "message":
      return field.message.typeName.startsWith("google.") ? field.message.name.toLowerCase() : "message";
    case "scalar":
      if (field.scalar === ScalarType.STRING) return "string";
      return field.scalar === ScalarType.BOOL ? "bool" : field.scalar === ScalarType.BYTES ? "bytes" : "number";
  }
}
