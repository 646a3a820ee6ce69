"""Streams: what disturbs them, how they resume, how they end."""

from __future__ import annotations

import unittest

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet

from gateway import SERVICE, Client, Gateway, GatewayTest, records


class Streams(GatewayTest):
    def test_a_stream_resumes_after_its_cursor(self) -> None:
        stream = self.client.call("Subscribe", filter={"sources": ["resume"]})
        next(stream)
        for number in range(3):
            event = self.client.event(f"resume-{number}", "exec", source={"name": "resume"})
            self.client.call("Emit", event=event)
        # The cursor covers its message: read until the first record is there.
        first = next(response for response in stream if response.records)
        stream.cancel()

        rest = self.client.call("Subscribe", filter={"sources": ["resume"]}, cursor=first.cursor)
        resumed = records(rest, 3 - len(first.records))
        rest.cancel()
        ids = [record.event.id for record in [*first.records, *resumed]]
        self.assertEqual(ids, ["resume-0", "resume-1", "resume-2"])

    def test_unknown_fields_reach_subscribers_and_searches(self) -> None:
        # Field 99 of the envelope and field 15 of the payload, each a text, as a
        # newer client would send them.
        field_99 = b"\x9a\x06\x05later"
        field_15 = b"\x7a\x05later"
        event_class = self.client.message("Event")
        known = self.client.event("unknown-fields", "user_login").SerializeToString()
        payload = event_class.DESCRIPTOR.fields_by_name["user_login"].number
        key = (payload << 3) | 2
        # A second part of one payload is merged into the first.
        merged = bytes([key & 0x7F | 0x80, key >> 7, len(field_15)]) + field_15
        event = event_class.FromString(known + field_99 + merged)

        stream = self.client.call("Subscribe", filter={"types": ["user.login"]})
        next(stream)
        self.client.call("Emit", event=event)
        [streamed] = records(stream, 1)
        stream.cancel()
        found = self.client.call("Search", filter={"types": ["user.login"]})
        for record in [streamed, *found.records]:
            for message, number in [(record.event, 99), (record.event.user_login, 15)]:
                [unknown] = UnknownFieldSet(message)
                self.assertEqual((unknown.field_number, unknown.data), (number, b"later"))

    def test_a_refusal_leaves_the_streams_of_others_alone(self) -> None:
        other = Client(self.gateway.address)
        self.addCleanup(other.close)
        stream = other.call("Subscribe")
        next(stream)
        before = self.client.call("GetStatus").last_sequence

        good = self.client.event("refusal-good", "exec")
        no_payload = self.client.message("Event")(id="refusal-bad")
        self.refusal("Emit", event=no_payload)
        self.refusal("EmitBatch", events=[good, no_payload])
        self.refusal("Search", page_size=-1)
        self.refusal("Subscribe", filter={"types": ["user.logni"]})
        self.refusal("Subscribe", cursor="not a cursor")
        emit = self.client.channel.unary_unary(f"/{SERVICE}/Emit")
        with self.assertRaises(grpc.RpcError):
            emit(b"\x0a\xff\xff")
        self.assertEqual(self.client.call("GetStatus").last_sequence, before)

        self.client.call("Emit", event=good)
        [record] = records(stream, 1)
        stream.cancel()
        self.assertEqual(record.event.id, "refusal-good")
        self.assertEqual(record.sequence, before + 1)


class Stop(unittest.TestCase):
    def test_sigterm_ends_streams_with_a_cursor(self) -> None:
        gateway = Gateway()
        self.addCleanup(gateway.kill)
        client = Client(gateway.address)
        self.addCleanup(client.close)
        stream = client.call("Subscribe")
        health = client.call("Watch", of="grpc.health.v1.Health")
        serving = next(health)
        next(stream)
        client.call("Emit", event=client.event("last", "exec"))
        responses = [next(response for response in stream if response.records)]

        gateway.terminate()
        with self.assertRaises(grpc.RpcError) as caught:
            responses.extend(stream)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertTrue(responses[-1].cursor)
        statuses = type(serving).DESCRIPTOR.enum_types_by_name["ServingStatus"].values_by_name
        self.assertEqual(serving.status, statuses["SERVING"].number)
        self.assertEqual(next(health).status, statuses["NOT_SERVING"].number)
        health.cancel()
        self.assertEqual(gateway.wait(), 0)


if __name__ == "__main__":
    unittest.main()
