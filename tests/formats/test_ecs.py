"""Records as Elastic Common Schema, checked against the list of fields that Elastic publishes."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import unittest
from collections.abc import Iterator
from typing import Any

import samples

FIELDS = os.environ.get("AUDITGATE_ECS_FIELDS", "")
if not FIELDS:
    raise unittest.SkipTest("SKIPPED: the list of fields needs Node with npm")
with open(FIELDS, encoding="utf-8") as file:
    KNOWN: dict[str, Any] = json.load(file)

TEXTS = {"keyword", "constant_keyword", "wildcard", "match_only_text", "text"}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
LABEL = re.compile(r"[A-Za-z0-9_-]{1,200}")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a document by name. Labels are one field."""
    for name, member in value.items():
        inner = f"{path}{name}"
        if isinstance(member, dict) and inner != "labels":
            yield from leaves(member, f"{inner}.")
        else:
            yield inner, member


def fits(kind: str, value: Any) -> bool:
    """Whether an index takes a value for a field of this type."""
    if kind in TEXTS:
        return isinstance(value, str)
    if kind == "long":
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "date":
        return isinstance(value, str) and DATE.fullmatch(value) is not None
    if kind == "ip":
        return isinstance(value, str) and ipaddress.ip_address(value) is not None
    return False


class Ecs(unittest.TestCase):
    """All types, with every field and with none, and hostile values."""

    def test_every_field_is_known_and_fits(self) -> None:
        seen = set()
        for document in samples.read("ecs"):
            for name, value in leaves(document):
                if name == "labels":
                    continue
                seen.add(name)
                with self.subTest(document["event"]["action"], name=name):
                    self.assertIn(name, KNOWN)
                    field = KNOWN[name]
                    if field["array"]:
                        self.assertIsInstance(value, list)
                    values = value if isinstance(value, list) else [value]
                    for one in values:
                        self.assertTrue(fits(field["type"], one), f"{name} {field} {one!r}")
                        if field.get("allowed"):
                            self.assertIn(one, field["allowed"])
        self.assertGreater(len(seen), 60)

    def test_labels_are_texts(self) -> None:
        """By plain words, so that no document makes objects of them."""
        for document in samples.read("ecs"):
            for name, value in document.get("labels", {}).items():
                with self.subTest(document["event"]["action"], name=name):
                    self.assertIsNotNone(LABEL.fullmatch(name))
                    for one in value if isinstance(value, list) else [value]:
                        self.assertIsInstance(one, str)

    def test_types_fit_their_categories(self) -> None:
        """Elastic lists the types that each category expects."""
        field = KNOWN["event.category"]
        expected = dict(zip(field["allowed"], field["expected"], strict=True))
        for document in samples.read("ecs"):
            event = document["event"]
            for category in event.get("category", []):
                with self.subTest(event["action"]):
                    self.assertLessEqual(set(event["type"]), set(expected[category]))

    def test_every_document_has_its_core(self) -> None:
        for document in samples.read("ecs"):
            with self.subTest(document["event"]["action"]):
                self.assertEqual(document["ecs"]["version"], "9.4.0")
                self.assertTrue(document["event"]["id"].startswith("log/"))
                self.assertIn(document["event"]["outcome"], ["success", "failure", "unknown"])


if __name__ == "__main__":
    unittest.main()
