// The fields that an expression can name, with what the protocol says of them.

import { ScalarType, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { commentOf, messageNamed } from "./schema";

export interface FieldInfo {
  readonly path: string;
  readonly help: string;
  /** `string`, `bool`, `number`, `message`, ... */
  readonly kind: string;
}

const OWN: readonly FieldInfo[] = [
  { path: "type", help: "The event type, for example user.login", kind: "string" },
  { path: "severity", help: "The severity of the record: info, warning, error, critical", kind: "string" },
  { path: "result", help: "The result of the action: success, failure, pending", kind: "string" },
  { path: "sequence", help: "Position in the log", kind: "number" },
  { path: "accept_time", help: "When the gateway accepted the event", kind: "timestamp" },
  { path: "clock_skew", help: "How far the event's time was ahead of the gateway's clock", kind: "duration" },
  { path: "emitter.principal", help: "The authenticated principal that emitted the event", kind: "string" },
  { path: "emitter.peer", help: "Where the connection of the emitter came from", kind: "string" },
  { path: "event", help: "The event as the client sent it", kind: "message" },
];

/** The fields directly below a path such as `event.user`; all at the top for an empty one. */
export function fieldsBelow(path: string): FieldInfo[] {
  if (path === "") return [...OWN];
  const names = path.split(".");
  if (names[0] === "emitter" && names.length === 1) return OWN.filter((field) => field.path.startsWith("emitter."));
  if (names[0] !== "event") return [];
  let message: DescMessage | undefined = messageNamed("Event");
  for (const name of names.slice(1)) {
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
