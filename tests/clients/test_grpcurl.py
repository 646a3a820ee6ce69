"""grpcurl, as people type it."""

from __future__ import annotations

import json
import subprocess
import unittest
from typing import Any

from gateway import BINARY, CALL_SECONDS_MAX, SERVICE, TARGET, GatewayTest, environment

GRPCURL = TARGET / "venv" / "bin" / "grpcurl"
# grpcurl exits with this plus the number of the status.
STATUS_BASE = 64
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
# How long grpcurl follows a stream, in seconds: what is kept comes at once.
FOLLOW_SECONDS = 6


def documents(text: str) -> list[Any]:
    """The JSON documents that follow one another in `text`."""
    decoder = json.JSONDecoder()
    found, rest = [], text.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def example(name: str) -> str:
    """What `auditgate example` prints for a type."""
    command = [BINARY, "example", name]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment()
    ).stdout


class Grpcurl(GatewayTest):
    def grpcurl(self, *arguments: str, request: str = "", status: int = 0) -> str:
        """Runs grpcurl: its output, and its errors where a status is expected."""
        command = [GRPCURL, "-plaintext", *arguments]
        done = subprocess.run(
            command, input=request, capture_output=True, text=True, timeout=CALL_SECONDS_MAX
        )
        expected = STATUS_BASE + status if status else 0
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return done.stdout + (done.stderr if status else "")

    def emit(self, request: str) -> Any:
        """Emits by grpcurl: the response."""
        address = self.gateway.address
        return json.loads(self.grpcurl("-d", "@", address, f"{SERVICE}/Emit", request=request))

    def test_list_and_describe(self) -> None:
        services = self.grpcurl(self.gateway.address, "list").split()
        self.assertIn(SERVICE, services)
        self.assertIn("grpc.health.v1.Health", services)
        method = self.grpcurl(self.gateway.address, "describe", f"{SERVICE}.Emit")
        self.assertIn("// Accepts one event.", method)
        message = self.grpcurl(self.gateway.address, "describe", "auditgate.v1.Event")
        self.assertRegex(message, r"// \w[^\n]*\n\s+optional string id = 1;")
        template = self.grpcurl(
            "-msg-template", self.gateway.address, "describe", "auditgate.v1.SubscribeRequest"
        )
        self.assertIn('"types"', template)

    def test_every_example_is_accepted(self) -> None:
        for event_type in self.client.call("ListEventTypes").event_types:
            # Only the gateway itself emits those.
            if event_type.type.startswith("auditgate."):
                continue
            with self.subTest(event_type.type):
                response = self.emit(example(event_type.type))
                self.assertTrue(response["receipt"]["id"])
                self.assertTrue(response["receipt"]["sequence"])

    def test_an_example_is_streamed_and_found(self) -> None:
        request = json.loads(example("user.login"))
        request["event"]["id"] = "grpcurl-1"
        request["event"]["source"] = {"name": "grpcurl"}
        self.emit(json.dumps(request))
        asked = {"filter": {"types": ["user.*"], "sources": ["grpcurl"]}}

        found = documents(
            self.grpcurl("-d", json.dumps(asked), self.gateway.address, f"{SERVICE}/Search")
        )
        [record] = found[0]["records"]
        self.assertEqual(record["event"]["id"], "grpcurl-1")
        self.assertEqual(record["type"], "user.login")

        output = self.grpcurl(
            "-max-time",
            str(FOLLOW_SECONDS),
            "-d",
            json.dumps(asked | {"position": "POSITION_EARLIEST"}),
            self.gateway.address,
            f"{SERVICE}/Subscribe",
            status=DEADLINE_EXCEEDED,
        )
        responses, _, error = output.partition("ERROR:")
        self.assertIn("DeadlineExceeded", error)
        streamed = documents(responses)
        self.assertTrue(all(response["cursor"] for response in streamed))
        self.assertTrue(any(response.get("caughtUp") for response in streamed))
        self.assertEqual(
            [record for response in streamed for record in response.get("records", [])], [record]
        )

    def test_a_refusal_is_readable(self) -> None:
        output = self.grpcurl(
            "-d",
            '{"pageSize": -1}',
            self.gateway.address,
            f"{SERVICE}/Search",
            status=INVALID_ARGUMENT,
        )
        self.assertIn("Code: InvalidArgument", output)
        details = [
            json.loads(line[line.index("{") :])
            for line in output.splitlines()
            if "@type" in line and "{" in line
        ]
        by_type = {detail["@type"].rpartition(".")[2]: detail for detail in details}
        self.assertEqual(by_type["ErrorInfo"]["reason"], "PAGE_SIZE_INVALID")
        self.assertEqual(by_type["ErrorInfo"]["domain"], "auditgate")
        [violation] = by_type["BadRequest"]["fieldViolations"]
        self.assertEqual(violation["field"], "page_size")
        self.assertIn("-1", violation["description"])


if __name__ == "__main__":
    unittest.main()
