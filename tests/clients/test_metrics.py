"""Whether the page of metrics is what its readers expect: `promtool` of Prometheus for the
text form, the parser of prometheus-client for OpenMetrics."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from prometheus_client import parser as prometheus
from prometheus_client.openmetrics import parser as openmetrics

from gateway import POLL_SECONDS, START_SECONDS_MAX, Client, Gateway

# How long one page may take, in seconds.
PAGE_SECONDS_MAX = 60
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="auditgate-test-")
        cls.addClassCleanup(folder.cleanup)
        data = Path(folder.name) / "data"
        # With a log on disk there are more metrics than with one in memory.
        gateway = Gateway("--data-dir", str(data), "--admin-listen", "127.0.0.1:0")
        cls.addClassCleanup(gateway.kill)
        cls.address = cls.admin_address(gateway)
        client = Client(gateway.address)
        cls.addClassCleanup(client.close)
        client.call("Emit", event=client.event("an-event", "exec"))
        stream = client.call("Subscribe", position="POSITION_EARLIEST")
        next(iter(stream))

    @staticmethod
    def admin_address(gateway: Gateway) -> str:
        """Where the gateway says that it serves metrics, soon after it listens."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if found := re.search(r"metrics and probes on http://(\S+): ", gateway.log()):
                return found[1]
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"no address of metrics in {gateway.log()}")

    def page(self, accept: str | None) -> tuple[str, str]:
        """Media type and text of the page."""
        headers = {} if accept is None else {"accept": accept}
        request = urllib.request.Request(f"http://{self.address}/metrics", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PAGE_SECONDS_MAX) as answer:
            return answer.headers["content-type"], answer.read().decode()

    def test_promtool_has_nothing_to_object_to(self) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            self.skipTest("SKIPPED: there is no promtool (Debian's package prometheus)")
        for accept in [None, "text/plain", "*/*"]:
            media, text = self.page(accept)
            self.assertEqual(media, "text/plain; version=0.0.4; charset=utf-8")
            checked = subprocess.run(
                [promtool, "check", "metrics"], input=text, capture_output=True, text=True
            )
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))

    def test_both_forms_have_the_same_samples(self) -> None:
        media, text = self.page(OPEN_METRICS)
        self.assertTrue(media.startswith("application/openmetrics-text; version=1.0.0"), media)
        opened = list(openmetrics.text_string_to_metric_families(text))
        plain = list(prometheus.text_string_to_metric_families(self.page(None)[1]))
        names = lambda families: {
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in families
            for sample in family.samples
        }
        self.assertEqual(names(opened), names(plain))
        kinds = {family.name: family.type for family in plain}
        self.assertEqual(kinds["auditgate_events_accepted"], "counter")
        self.assertEqual(kinds["auditgate_info"], "gauge")
        self.assertEqual(kinds["auditgate_log_sync_seconds"], "histogram")
        self.assertGreater(len(names(opened)), 50)


if __name__ == "__main__":
    unittest.main()
