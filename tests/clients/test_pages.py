"""The pages below docs/: commands, expressions and links."""

from __future__ import annotations

import json
import re
import subprocess
import unittest
from pathlib import Path
from xml.etree import ElementTree

import grpc
from google.protobuf import json_format

from gateway import ROOT, Gateway, GatewayTest
from pages import NEW_FOLDER, PageError, Run, blocks, has_own_gateway, shows

DOCS = ROOT / "docs"
# Pages that other tests hold to the program.
ELSEWHERE = {"EVENTS.md", "MAPPINGS.md", "PERFORMANCE.md", "configuration.md"}
# How many blocks of each page are not run; each says why.
SKIPPED = {
    "RELIABILITY.md": 2, "deliveries.md": 1, "CLUSTER.md": 3, "cluster-loss.md": 4, "deployment.md": 7, "emitters.md": 1, "languages.md": 4, "testing.md": 2,
}
# How many expressions docs/search.md shows at least.
EXPRESSIONS_MIN = 20

# Rows of the tables of docs/search.md: a filter or an expression, the ids that
# match, and what it is for.
TABLE = re.compile(r"^\| (?:filter|expression) \| finds \| \|\n.+\n((?:\|.+\n)+)", re.MULTILINE)
ROW = re.compile(r"\| `(.+?)` \| ([a-j](?: [a-j])*) \| .+ \|")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def pages() -> list[Path]:
    """The pages of docs/ that these tests run."""
    return sorted(path for path in DOCS.glob("*.md") if path.name not in ELSEWHERE)


class Pages(unittest.TestCase):
    def test_the_commands_print_what_the_pages_show(self) -> None:
        for page in pages():
            with self.subTest(page.name), Run() as run:
                skipped = run.page(page.name, page.read_text())
                places = [block.place for block in skipped]
                self.assertEqual(len(skipped), SKIPPED.get(page.name, 0), places)

    def test_they_can_be_read_one_after_the_other_on_one_gateway(self) -> None:
        texts = {page.name: page.read_text() for page in [ROOT / "README.md", *pages()]}
        shared = {name: text for name, text in texts.items() if not has_own_gateway(name, text)}
        self.assertGreater(len(shared), len(texts) / 2)
        before = changes()
        gateway = Gateway()
        try:
            for name, text in shared.items():
                with self.subTest(name), Run(gateway) as run:
                    run.page(name, text)
        finally:
            gateway.kill()
        self.assertEqual(changes(), before, "pages leave no files in the clone")

    def test_every_reason_is_explained(self) -> None:
        reasons = re.findall(
            r"^  ERROR_REASON_(\w+) = [1-9]",
            (ROOT / "proto/auditgate/v1/error_reason.proto").read_text(),
            re.MULTILINE,
        )
        self.assertTrue(reasons)
        text = "".join(page.read_text() for page in pages())
        self.assertEqual([reason for reason in reasons if f"`{reason}`" not in text], [])

    def test_links_lead_somewhere(self) -> None:
        for page in [*pages(), *ROOT.glob("*.md")]:
            for link in LINK.findall(page.read_text()):
                if link.startswith("https://"):
                    continue
                name, _, anchor = link.partition("#")
                target = page.parent / name if name else page
                with self.subTest(page=page.name, link=link):
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(target.read_text()))

    def test_the_picture_is_one(self) -> None:
        picture = ElementTree.parse(DOCS / "architecture.svg").getroot()
        self.assertEqual(picture.tag, "{http://www.w3.org/2000/svg}svg")


class SearchTables(GatewayTest):
    """The filters and expressions of docs/search.md, on its events."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.page = (DOCS / "search.md").read_text()
        [events] = [
            block.text for block in blocks("search.md", cls.page) if block.argument == "events.json"
        ]
        message = cls.client.message("EmitBatchRequest")()
        cls.client.call("EmitBatch", events=json_format.Parse(events, message).events)

    def found(self, condition: str) -> list[str]:
        """The ids of the events that a filter or an expression finds."""
        filter = self.client.message("Filter")()
        if condition.startswith("{"):
            json_format.ParseDict(json.loads(condition), filter)
        else:
            filter.expression = condition
        try:
            answer = self.client.call("Search", filter=filter)
        except grpc.RpcError as error:
            self.fail(f"{condition}: {error.details()}")
        self.assertEqual(answer.expression_errors, 0, condition)
        return sorted(record.event.id for record in answer.records)

    def rows(self) -> list[tuple[str, str]]:
        """The conditions of the tables, with the ids that they are to find."""
        found = []
        for line in "".join(TABLE.findall(self.page)).splitlines():
            row = ROW.fullmatch(line)
            self.assertIsNotNone(row, line)
            found.append(row.groups())
        return found

    def test_each_finds_what_the_page_says(self) -> None:
        rows = [(row.replace(r"\|", "|"), ids) for row, ids in self.rows()]
        fields = {name for row, _ in rows if row.startswith("{") for name in json.loads(row)}
        known = {field.name for field in self.client.message("Filter").DESCRIPTOR.fields}
        self.assertEqual(fields | {"expression"}, known)
        expressions = [row for row, _ in rows if not row.startswith("{")]
        self.assertGreaterEqual(len(expressions), EXPRESSIONS_MIN)
        for row, ids in rows:
            with self.subTest(row):
                self.assertEqual(self.found(row), ids.split())


class Runs(unittest.TestCase):
    """What runs the pages objects to what is wrong."""

    def test_an_output_that_differs_is_an_error(self) -> None:
        page = "```sh\nauditgate types user.login | head -n 1\n```\n\n```text\n{}\n```\n"
        with Run() as run:
            run.page("page", page.format("user.login"))
            with self.assertRaisesRegex(PageError, "page:1: the page shows\nuser.logni"):
                run.page("page", page.format("user.logni"))

    def test_an_unexpected_exit_status_is_an_error(self) -> None:
        with Run() as run:
            run.page("page", "<!-- run: fails -->\n```sh\nfalse | true\n```\n")
            for page in ["```sh\nfalse\n```\n", "<!-- run: fails -->\n```sh\ntrue\n```\n"]:
                with self.assertRaisesRegex(PageError, "exit status"):
                    run.page("page", page)

    def test_a_command_that_stays_must_stay_and_print_what_the_page_shows(self) -> None:
        page = f"<!-- run: stays -->\n```sh\n{NEW_FOLDER}{{}}\n```\n\n```text\na\n```\n\n```sh\ntouch go\n```\n"
        late = "echo a; until test -f go; do sleep 0.01; done; echo b"
        with Run() as run:
            run.page("page", page.format(f"{late}; sleep 60").replace("a\n```", "a\nb\n```"))
        with Run() as run, self.assertRaisesRegex(PageError, "page:2: it did not stay"):
            run.page("page", page.format("echo a"))

    def test_a_file_that_is_left_in_the_clone_is_an_error(self) -> None:
        page = "```sh\n{}touch go\n```\n"
        with Run() as run:
            run.page("page", page.format(NEW_FOLDER))
            with self.assertRaisesRegex(PageError, r"page: it leaves \['left'\]"):
                run.page("page", f"```sh\ntouch {run.clone}/left\n```\n")
        with Run() as run, self.assertRaisesRegex(PageError, r"page: it leaves \['go'\]"):
            run.page("page", page.format(""))

    def test_a_terminal_is_one(self) -> None:
        page = "{}\n```sh\ntest -t 1 && stty size | cut -d ' ' -f 2\n```\n\n```text\n100\n```\n"
        with Run() as run:
            run.page("page", page.format("<!-- run: on a terminal -->"))
            with self.assertRaisesRegex(PageError, "exit status 1"):
                run.page("page", page.format(""))

    def test_no_block_is_left_out_by_accident(self) -> None:
        for page in [
            "```text\nof no command\n```\n",
            "```python\nprint()\n```\n",
            "<!-- run: skip -->\n```sh\nfalse\n```\n",
            "<!-- run: not, -->\n```sh\nfalse\n```\n",
            "<!-- run: save -->\n```sh\nfalse\n```\n",
            "```sh\nno end\n",
        ]:
            with self.subTest(page), Run() as run, self.assertRaises(PageError):
                run.page("page", page)

    def test_only_what_varies_and_what_is_elided_is_not_compared(self) -> None:
        self.assertTrue(shows("a\n…\nd\n", "a\nb\nc\nd\n"))
        self.assertTrue(shows("at 2026-01-05T10:00:00Z\n", "at 2027-02-06T11:01:01.5Z\n"))
        self.assertTrue(shows('"cursor": "abc…"', '"cursor": "xyz"'))
        self.assertTrue(shows("a", "a\nb\n", beginning=True))
        for expected, actual in [
            ("a\nd\n", "a\nb\nd\n"),
            ("a\n…\nd\n", "a\nb\nc\n"),
            ("a", "a\nb\n"),
            ("a (b)", "a b"),
            ('"sequence": "1"', '"sequence": "2"'),
        ]:
            self.assertFalse(shows(expected, actual), (expected, actual))


def changes() -> str:
    """What is changed or new in the clone; nothing in a copy without git."""
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(page)
    }


if __name__ == "__main__":
    unittest.main()
