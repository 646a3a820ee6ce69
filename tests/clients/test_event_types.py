"""Every type of the catalog goes all the way: emitted, streamed, found."""

from __future__ import annotations

import unittest

import samples
from gateway import GatewayTest, records

# Event types that the gateway began with, and `custom`.
TYPES_MIN = 76
# Events of each type: a stream that lets another type through is seen, since it
# stands between these.
ROUNDS = 2


class EventTypes(GatewayTest):
    def test_the_catalog_lists_every_variant(self) -> None:
        listed = self.client.call("ListEventTypes").event_types
        self.assertGreaterEqual(len(listed), TYPES_MIN)
        names = [event_type.type for event_type in listed]
        self.assertEqual(names, sorted(set(names)))
        payload = self.client.message("Event").DESCRIPTOR.oneofs_by_name["payload"]
        self.assertEqual(
            {event_type.field_name for event_type in listed},
            {field.name for field in payload.fields},
        )
        for event_type in listed:
            self.assertTrue(event_type.description, event_type.type)
            self.assertTrue(event_type.category, event_type.type)

    def test_each_type_is_emitted_streamed_and_found(self) -> None:
        # The type of its records by the variant of its payload.
        types = {
            event_type.field_name: event_type.type
            for event_type in self.client.call("ListEventTypes").event_types
            # Only the gateway itself emits these.
            if not event_type.type.startswith("auditgate.")
        }
        types["custom"] = "custom.billing.refund"

        streams = {}
        for variant, name in types.items():
            streams[variant] = self.client.call("Subscribe", filter={"types": [name]})
            first = next(streams[variant])
            self.assertTrue(first.caught_up)
            self.assertTrue(first.cursor)

        event_class = self.client.message("Event")
        sent = {
            variant: [
                samples.event(event_class, variant, f"{variant}-{number}")
                for number in range(ROUNDS)
            ]
            for variant in types
        }
        receipts = {}
        for number in range(ROUNDS):
            for variant in types:
                event = sent[variant][number]
                receipts[event.id] = self.client.call("Emit", event=event).receipt

        for variant, name in types.items():
            with self.subTest(name):
                streamed = records(streams[variant], ROUNDS)
                streams[variant].cancel()
                self.assertEqual([record.event for record in streamed], sent[variant])
                found = self.client.call(
                    "Search", filter={"types": [name]}, order="ORDER_OLDEST_FIRST"
                )
                self.assertEqual(list(found.records), streamed)
                for record in streamed:
                    receipt = receipts[record.event.id]
                    self.assertEqual(record.type, name)
                    self.assertEqual(record.sequence, receipt.sequence)
                    self.assertEqual(record.accept_time, receipt.accept_time)
                    self.assertFalse(record.HasField("client_bytes"))


if __name__ == "__main__":
    unittest.main()
