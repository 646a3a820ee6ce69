"""Records as Common Event Format, read back by two parsers: one of others, and one written from
the specification."""

from __future__ import annotations

import json
import re
import unittest

import samples

try:
    import cefp
except ImportError as missing:
    raise unittest.SkipTest(f"SKIPPED: {missing}") from None

# A key stands at the beginning or behind a space, and `=` follows it.
KEY = re.compile(r"(?:^| )([A-Za-z0-9]+)=")
ESCAPES = {"n": "\n", "r": "\r"}
UNMAPPED = "AuditgateUnmapped"
# The keys of the extension that carry texts of the hostile samples.
PLACES = {
    "suser": ("event", "user", "name"),
    "reason": ("event", "outcome", "error"),
    "msg": ("event", "outcome", "message"),
    "cs1": ("event", "code"),
    "dproc": ("event", "exec", "command", "line"),
}


def unescaped(text: str) -> str:
    """A value of the extension, without escapes."""
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text)


def read(line: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension of a line, by the specification alone."""
    fields = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    assert len(fields) == 8 and fields[0] == "CEF:0", line
    rest = fields[7]
    # `=` within a value is escaped, so each other one follows a key.
    found = list(KEY.finditer(rest))
    ends = [match.start() for match in found[1:]] + [len(rest)]
    pairs = {
        match[1]: unescaped(rest[match.end() : end]) for match, end in zip(found, ends, strict=True)
    }
    return fields[:7], pairs


def at(value: object, path: tuple[str, ...]) -> object:
    """What stands at a path within objects."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


class Cef(unittest.TestCase):
    """All types, with every field and with none, and hostile values."""

    def test_both_parsers_read_the_same(self) -> None:
        for line in samples.lines("cef"):
            header, pairs = read(line)
            other = cefp.parse(line)
            with self.subTest(line[:80]):
                self.assertEqual(other["extension"], pairs)
                self.assertEqual(other["device"]["vendor"], header[1])
                self.assertEqual(other["device"]["event_class_id"], header[4])
                self.assertTrue(0 <= int(other["severity"]) <= 10)
                self.assertTrue(pairs["externalId"].startswith("log/"))
                if UNMAPPED in pairs:
                    json.loads(pairs[UNMAPPED])

    def test_a_line_is_one_line(self) -> None:
        """Without characters that a terminal obeys, or a receiver changes."""
        for line in samples.lines("cef"):
            hidden = re.findall(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufeff]", line)
            self.assertEqual(hidden, [], line)

    def test_hostile_texts_come_back(self) -> None:
        hostile = [json.loads(line) for line in (samples.FOLDER / "hostile.lines").open()]
        self.assertGreaterEqual(len(hostile), 20)
        for sample in hostile:
            text, line = sample["text"], sample["line"]
            for pairs in (read(line)[1], cefp.parse(line)["extension"]):
                left = json.loads(pairs.get(UNMAPPED, "{}"))
                for key, path in PLACES.items():
                    with self.subTest(text, key=key):
                        self.assertEqual(pairs.get(key, at(left, path)), text)


if __name__ == "__main__":
    unittest.main()
