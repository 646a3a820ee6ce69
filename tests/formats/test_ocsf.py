"""Records as OCSF, checked against the schema that OCSF publishes."""

from __future__ import annotations

import functools
import json
import unittest
from typing import Any

import samples

try:
    import jsonschema
    import ocsf_json_schema
except ImportError as missing:
    raise unittest.SkipTest(f"SKIPPED: {missing}") from None

VERSION = "1.8.0"
# The schema spells it so.
CLASS_NAMES = {"event_log_activity": "event_log_actvity"}


@functools.cache
def schema() -> Any:
    """The schema of this version, with all objects in place."""
    return ocsf_json_schema.OcsfJsonSchemaEmbedded(ocsf_json_schema.get_ocsf_schema(VERSION))


# Those of all classes take half a minute to make.
@functools.cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> Any:
    """What checks the events of a class."""
    name = schema().lookup_class_name_from_uid(class_uid)
    name = CLASS_NAMES.get(name, name)
    found = schema().get_class_schema(name, list(profiles))
    return jsonschema.Draft202012Validator(found)


class Ocsf(unittest.TestCase):
    """All types, with every field and with none."""

    def test_every_event_is_valid(self) -> None:
        """By its class, with the profiles that it names."""
        for event in samples.read("ocsf"):
            check = validator(event["class_uid"], tuple(event["metadata"]["profiles"]))
            faults = [f"{fault.json_path}: {fault.message[:200]}" for fault in check.iter_errors(event)]
            with self.subTest(event["metadata"]["type"]):
                self.assertEqual(faults, [], json.dumps(event)[:2_000])

    def test_numbers_and_names_fit_each_other(self) -> None:
        """Which the schema of a class does not say."""
        for event in samples.read("ocsf"):
            class_uid, activity_id = event["class_uid"], event["activity_id"]
            name = schema().lookup_class_name_from_uid(class_uid)
            shape = schema().schema.schema["classes"][CLASS_NAMES.get(name, name)]
            activities = shape["attributes"]["activity_id"]["enum"]
            activity = activities[str(activity_id)]["caption"]
            with self.subTest(event["metadata"]["type"]):
                self.assertEqual(event["type_uid"], class_uid * 100 + activity_id)
                self.assertEqual(event["class_name"], shape["caption"])
                self.assertEqual(event["activity_name"], activity)
                self.assertEqual(event["type_name"], f"{shape['caption']}: {activity}")
                self.assertEqual(event["category_uid"], shape.get("category_uid", 0))
                self.assertEqual(event["category_name"], shape.get("category_name", "Uncategorized"))

    def test_captions_fit_their_numbers(self) -> None:
        """Of severities and results, as far as the schema has a caption for the number."""
        for event in samples.read("ocsf"):
            captions = {1: "Informational", 3: "Medium", 4: "High", 5: "Critical"}
            with self.subTest(event["metadata"]["type"]):
                self.assertEqual(event.get("severity"), captions.get(event["severity_id"]))
                if event["class_uid"] != 2004:
                    results = {1: "Success", 2: "Failure", 99: "Pending"}
                    self.assertEqual(event.get("status"), results.get(event["status_id"]))

    def test_the_samples_use_many_classes(self) -> None:
        """So that the checks above check something."""
        classes = {event["class_uid"] for event in samples.read("ocsf")}
        self.assertGreaterEqual(len(classes), 15)


if __name__ == "__main__":
    unittest.main()
