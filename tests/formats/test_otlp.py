"""Records as log records of OpenTelemetry, decoded by the classes that it publishes."""

from __future__ import annotations

import base64
import unittest

import samples

try:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
except ImportError as missing:
    raise unittest.SkipTest(f"SKIPPED: {missing}") from None


class Otlp(unittest.TestCase):
    """All types, with every field and with none, and hostile values."""

    def test_every_record_decodes_whole(self) -> None:
        for line in samples.lines("otlp"):
            encoded = base64.b64decode(line)
            record = LogRecord.FromString(encoded)
            names = [attribute.key for attribute in record.attributes]
            with self.subTest(record.event_name):
                # What the classes do not know would be lost here, or come back elsewhere.
                self.assertEqual(record.ByteSize(), len(encoded))
                self.assertEqual(len(set(names)), len(names), names)
                self.assertTrue(record.event_name)
                self.assertTrue(record.body.string_value)
                self.assertIn(record.severity_number, [0, 9, 13, 17, 21])
                self.assertIn(len(record.trace_id), [0, 16])
                ids = [of.value.string_value for of in record.attributes if of.key == "audit.record.id"]
                self.assertEqual(len(ids), 1)
                self.assertTrue(ids[0].startswith("log/"))

    def test_records_go_into_a_request(self) -> None:
        request = ExportLogsServiceRequest()
        logs = request.resource_logs.add().scope_logs.add()
        for line in samples.lines("otlp"):
            logs.log_records.add().MergeFromString(base64.b64decode(line))
        again = ExportLogsServiceRequest.FromString(request.SerializeToString())
        self.assertEqual(again, request)


if __name__ == "__main__":
    unittest.main()
