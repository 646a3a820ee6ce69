"""What a client learns without a proto file: services, health, errors."""

from __future__ import annotations

import unittest

import grpc
from grpc_reflection.v1alpha import reflection_pb2

from gateway import CALL_SECONDS_MAX, SERVICE, GatewayTest


class Reflection(GatewayTest):
    def test_both_versions_of_reflection_list_the_services(self) -> None:
        # The two versions differ in nothing but the name.
        for version in ["v1", "v1alpha"]:
            ask = self.client.channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            request = reflection_pb2.ServerReflectionRequest(list_services="*")
            [answer] = ask(iter([request]), timeout=CALL_SECONDS_MAX)
            names = {service.name for service in answer.list_services_response.service}
            self.assertLessEqual({SERVICE, "grpc.health.v1.Health"}, names, version)

    def test_health_is_serving(self) -> None:
        for service in ["", SERVICE]:
            answer = self.client.call("Check", of="grpc.health.v1.Health", service=service)
            statuses = type(answer).DESCRIPTOR.enum_types_by_name["ServingStatus"].values_by_name
            self.assertEqual(answer.status, statuses["SERVING"].number, service)

    def test_a_refusal_says_reason_and_field(self) -> None:
        events = [self.client.event(f"event-{number}", "exec") for number in range(17)]
        events.append(self.client.event("event-17", "exec", time={"seconds": -1}))
        error = self.refusal("EmitBatch", events=events)
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("time", error.details())
        details = {detail.DESCRIPTOR.name: detail for detail in self.client.details(error)}
        self.assertEqual(details["ErrorInfo"].domain, "auditgate")
        self.assertEqual(details["ErrorInfo"].reason, "TIME_OUT_OF_RANGE")
        [violation] = details["BadRequest"].field_violations
        self.assertEqual(violation.field, "events[17].time")
        self.assertIn("1970", violation.description)

    def test_a_payload_of_the_future_is_refused_by_number(self) -> None:
        # Field 5000, a message without fields.
        event = self.client.message("Event").FromString(b"\x0a\x01x\xc2\xb8\x02\x00")
        error = self.refusal("Emit", event=event)
        self.assertIn("5000", error.details())
        [reason] = [
            detail.reason
            for detail in self.client.details(error)
            if detail.DESCRIPTOR.name == "ErrorInfo"
        ]
        self.assertEqual(reason, "PAYLOAD_UNKNOWN")


if __name__ == "__main__":
    unittest.main()
