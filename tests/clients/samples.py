"""Messages with every field set, made from nothing but their descriptors."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# How deep messages are filled that contain themselves.
DEPTH_MAX = 8
# 2023-11-14 22:13:20 UTC: in the past of every clock.
SECONDS = 1_700_000_000

SCALARS: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 2.5,
    FieldDescriptor.CPPTYPE_FLOAT: 2.5,
    FieldDescriptor.CPPTYPE_INT32: -(2**31),
    FieldDescriptor.CPPTYPE_INT64: -(2**63),
    FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1,
    FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1,
}


def fill(message: Message, depth: int = 0) -> None:
    """Sets every field of `message`, one of each oneof."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        message.seconds, message.nanos = SECONDS, 123_456_789
    elif name == "google.protobuf.Duration":
        message.seconds, message.nanos = 90, 5
    elif name == "google.protobuf.Struct":
        message.update({"text": "é", "list": [1.5, True, None, {"deep": "x"}]})
    elif depth < DEPTH_MAX:
        for field in message.DESCRIPTOR.fields:
            oneof = field.containing_oneof
            if oneof is None or field == oneof.fields[0]:
                fill_field(message, field, depth)


def fill_field(message: Message, field: FieldDescriptor, depth: int) -> None:
    """Sets one field; a list or a map gets one element."""
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if is_map:
        value = field.message_type.fields_by_name["value"]
        entries = getattr(message, field.name)
        if value.message_type is None:
            entries["key"] = scalar(value)
        else:
            fill(entries["key"], depth + 1)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        target = inner.add() if field.is_repeated else inner
        target.SetInParent()
        fill(target, depth + 1)
    elif field.is_repeated:
        getattr(message, field.name).append(scalar(field))
    else:
        setattr(message, field.name, scalar(field))


def scalar(field: FieldDescriptor) -> Any:
    """A value other than the default, at the edge of the range for integers."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\x00\xff"
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f"{field.name} é"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return field.enum_type.values[-1].number
    return SCALARS[field.cpp_type]


def event(event_class: type[Message], variant: str, id: str) -> Any:
    """A full event of the payload variant named."""
    filled = event_class()
    for field in event_class.DESCRIPTOR.fields:
        if field.containing_oneof is None or field.containing_oneof.name != "payload":
            fill_field(filled, field, 0)
    payload = getattr(filled, variant)
    payload.SetInParent()
    fill(payload, 1)
    if variant == "custom":
        payload.name = "billing.refund"
    filled.id = id
    return filled
