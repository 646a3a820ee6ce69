// The grammar of the filter bar, and of the command line, both ways.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { offsetOf, pathBefore } from "../src/filter/place";
import { suggest, wordOf } from "../src/filter/complete";
import { format, parse } from "../src/filter/grammar";
import { celString, negation, queryOf } from "../src/filter/query";
import { filterJson, isCommandLine, parseBar, parseCommandLine, shellQuote, shellWords, toCommandLine, toGrpcurl } from "../src/filter/shell";
import { CATEGORIES, nearest, RESULTS, SEVERITIES, TOKEN_KINDS, token, withToken, type Token } from "../src/filter/tokens";
import { Filter, type EventType } from "../src/wire/messages";
import { tree } from "./tree";

interface Case {
  args: string[];
  bar: string;
  filter: Record<string, unknown>;
}
const cases = JSON.parse(readFileSync(join(tree(), "src/cli/filter_cases.json"), "utf8")) as Case[];

function jsonOf(tokens: readonly Token[]): unknown {
  return JSON.parse(JSON.stringify(filterJson(queryOf(tokens, 0, "utc").filter)));
}

test("each field of the filter has a token, and each token has a field", () => {
  const covered = new Set<string>(TOKEN_KINDS.flatMap((kind) => [kind.field, kind.notField ?? kind.field]));
  for (const field of Object.keys(Filter.fields)) assert.ok(covered.has(field), `no token for ${field}`);
  for (const field of covered) assert.ok(field in Filter.fields || field === "start_time" || field === "end_time", field);
});

test("the flags are those of the command line", () => {
  const source = readFileSync(join(tree(), "src/cli/filter.rs"), "utf8").split("impl Args")[0] ?? "";
  const flags = [...source.matchAll(/#\[arg\(([^)]*?)\)\]\s+(\w+):/gs)].map(([, options, name]) => /long = "([^"]+)"/.exec(options ?? "")?.[1] ?? name);
  const ours = TOKEN_KINDS.flatMap((kind) => [kind.flag, ...(kind.notFlag === undefined ? [] : [kind.notFlag])]);
  assert.deepEqual([...ours, "failed"].sort(), flags.sort());
});

test("the names are those of the protocol, in the order of their numbers", () => {
  const source = readFileSync(join(tree(), "proto/auditgate/v1/annotations.proto"), "utf8");
  const names = (prefix: string) => [...source.matchAll(new RegExp(`^  ${prefix}_(\\w+) = (\\d+);`, "gm"))].filter(([, , number]) => number !== "0").map(([, name]) => name?.toLowerCase());
  assert.deepEqual(names("CATEGORY"), [...CATEGORIES]);
  assert.deepEqual(names("SEVERITY"), [...SEVERITIES]);
  assert.deepEqual(names("RESULT"), [...RESULTS]);
});

test("a line of the command line, the bar and the filter say the same", () => {
  assert.ok(cases.length >= 10);
  for (const { args, bar, filter } of cases) {
    const line = ["auditgate", "search", ...args].map(shellQuote).join(" ");
    const pasted = parseBar(line);
    assert.deepEqual(pasted.problems, [], line);
    assert.deepEqual(jsonOf(pasted.tokens), filter, line);
    const typed = parseBar(bar);
    assert.deepEqual(typed.problems, [], bar);
    assert.deepEqual(jsonOf(typed.tokens), filter, bar);
    assert.deepEqual(jsonOf(parse(format(typed.tokens)).tokens), filter, `${bar} written and read again`);
    const copied = toCommandLine(typed.tokens, false);
    const again = parseCommandLine(copied);
    assert.deepEqual(again.problems, [], copied);
    assert.deepEqual(jsonOf(again.tokens), filter, copied);
  }
});

test("what the bar cannot mean is said, with what may be meant", () => {
  const problem = (text: string) => parse(text).problems[0];
  assert.match(problem("usr:alice")?.message ?? "", /no filter "usr"; did you mean user/);
  assert.equal(problem("usr:alice")?.fix, "user:alice");
  assert.match(problem("severity:warnign")?.message ?? "", /did you mean warning/);
  assert.match(problem("result:bad")?.message ?? "", /there are: success, failure, pending/);
  assert.match(problem("since:soon")?.message ?? "", /not a time/);
  assert.match(problem("label:x")?.message ?? "", /KEY=VALUE/);
  assert.match(problem("user:")?.message ?? "", /needs a value/);
  assert.match(problem("since:1h since:2h")?.message ?? "", /once/);
  assert.match(problem("-since:1h")?.message ?? "", /cannot be excluded/);
  assert.deepEqual(parse('10.0.0.1:22 http://x "a:b"').problems, []);
  assert.deepEqual(jsonOf(parse('10.0.0.1:22 http://x "user:b"').tokens), { text: "10.0.0.1:22 http://x user:b" });
});

test("a flag's name with not is the token with a minus, and a value with a dash is no flag", () => {
  assert.equal(format(parse("not-type:exec").tokens), "-type:exec");
  assert.equal(format(parse("-not-type:exec").tokens), "type:exec");
  assert.equal(toCommandLine([token("user", "-dash")], false), "auditgate search --user=-dash");
});

test("what the filter cannot exclude, an expression does", () => {
  const expression = (text: string) => queryOf(parse(text).tokens, 0, "utc").filter.expression;
  assert.equal(expression("-user:o'hara"), "event.user.name != 'o\\'hara' && event.user.impersonator != 'o\\'hara'");
  assert.equal(expression("-failed"), "result != 'failure'");
  assert.equal(expression("-label:env=prod"), "!('env' in event.labels && event.labels['env'] == 'prod')");
  assert.equal(expression('cel:"a || b" -session:s cel:c'), "(a || b) && event.session.id != 's' && c");
  assert.equal(expression('-cel:"a || b"'), "!(a || b)".replace(/^/, ""));
  assert.equal(expression("-type:exec"), "");
  const copied = toCommandLine(parse("-user:bob").tokens, false);
  assert.match(copied, /--filter '/);
  assert.equal(celString("a\\b\n\u0001"), "'a\\\\b\\n\\x01'");
  assert.equal(celString("a\u202eb\u{e0041}"), "'a\\u202eb\\U000e0041'", "what is hidden is seen");
});

test("each token has an opposite that finds the rest, or none", () => {
  const opposite = (text: string) => {
    const [of] = parse(text).tokens;
    const not = of === undefined ? undefined : negation(of);
    return not === undefined ? undefined : format([not]);
  };
  assert.equal(opposite("type:exec"), "-type:exec");
  assert.equal(opposite("user:a"), "-user:a");
  assert.equal(opposite("severity:info"), "cel:\"severity != 'info'\"");
  assert.match(opposite("address:10.0.0.1") ?? "", /remote_address != '10\.0\.0\.1' && !.*startsWith\('10\.0\.0\.1:'\)/);
  assert.match(opposite("address:::1") ?? "", /startsWith\('\[::1\]:'\)/);
  assert.equal(opposite('cel:"a == b"'), '-cel:"a == b"');
  for (const none of ["category:db", "since:1h", "until:1h", "text:x"]) assert.equal(opposite(none), undefined, none);
});

test("a pasted line may have more than filters, and not something else", () => {
  const line = parseCommandLine("$ AUDITGATE=1 auditgate search --user bob".replace("AUDITGATE=1 ", ""));
  assert.deepEqual(line.tokens, [token("user", "bob")]);
  const more = parseCommandLine("auditgate tail -n 100 --user bob -o ndjson --server http://x:1 --follow | jq .");
  assert.deepEqual(more.tokens, [token("user", "bob")]);
  assert.deepEqual(more.ignored, ["--n", "--o", "--server", "--follow"]);
  assert.match(parseCommandLine("auditgate emit --user bob").problems[0]?.message ?? "", /does not read records/);
  assert.match(parseCommandLine("auditgate search --usr bob").problems[0]?.message ?? "", /did you mean --user/);
  assert.match(parseCommandLine("auditgate search 'open").problems[0]?.message ?? "", /no end/);
  assert.match(parseCommandLine("auditgate search --user").problems[0]?.message ?? "", /needs a value/);
  assert.equal(isCommandLine("target/debug/auditgate search"), true);
  assert.equal(isCommandLine("auditgate.read user:x"), false);
});

test("every flag of the commands that read is known", () => {
  let seen = 0;
  for (const file of ["search", "tail", "count", "export", "output", "client", "terminal", "filter"]) {
    const source = readFileSync(join(tree(), `src/cli/${file}.rs`), "utf8").replaceAll(/value_parser = [^\n]*/g, "");
    for (const [, options = "", name = "", type = ""] of source.matchAll(/#\[arg\(([^\]]*)\)\]\s+(\w+): (\w+)/g)) {
      if (!/\blong\b/.test(options)) continue;
      const flag = /long = "([^"]+)"/.exec(options)?.[1] ?? name.replaceAll("_", "-");
      const value = type === "bool" ? "" : " 7";
      const read = parseCommandLine(`auditgate search --${flag}${value} --user after`);
      assert.ok(!read.problems.some(({ message }) => /no flag/.test(message)), `--${flag}: ${read.problems[0]?.message}`);
      assert.ok(read.tokens.some(({ key, value: text }) => key === "user" && text === "after"), `--${flag} takes ${value === "" ? "no value" : "a value"}`);
      seen += 1;
    }
  }
  assert.ok(seen > 30, `${seen} flags`);
});

test("flags by sequence and id become expressions", () => {
  const expression = (line: string) => queryOf(parseCommandLine(line).tokens, 0, "utc").filter.expression;
  assert.equal(expression("auditgate search --before 9 --after 3"), "sequence < 9 && sequence > 3");
  assert.equal(expression("auditgate search --around 60"), "sequence >= 10 && sequence <= 110");
  assert.equal(expression("auditgate search --id a --id \"o'b\""), "event.id in ['a', 'o\\'b']");
  assert.match(parseCommandLine("auditgate search --before x").problems[0]?.message ?? "", /number/);
});

test("words of the shell come back as they were", () => {
  for (const word of ["", "plain", "a b", "it's", '"q"', "$x `y` \\z", "\n\t\u0007", "--x=y", "\u202egnp.exe \u200b'\\ \u{e0041}", "*?[]{}", "a\\"]) {
    assert.deepEqual(shellWords(`x ${shellQuote(word)} y`), ["x", word, "y"], JSON.stringify(word));
  }
  assert.deepEqual(shellWords(`a\\ b "c\\"d" $'e\\'f\\x41' g'h'i # j`), ["a b", 'c"d', "e'fA", "ghi"]);
});

test("a line to be copied shows what it has", () => {
  const hostile = "a\u202e\u2066\u0007b";
  const line = toCommandLine([token("user", hostile), token("label", `k=${hostile}`, true)], false);
  assert.equal(/[^ -~]/.test(line), false, line);
  assert.deepEqual(parseCommandLine(line).tokens[0], token("user", hostile));
  const query = queryOf([token("user", hostile)], 0, "utc");
  assert.equal(/[^ -~]/.test(toGrpcurl(query, "h:1", true, false)), false);
});

test("grpcurl gets absolute times", () => {
  const query = queryOf(parse("failed since:1h").tokens, Date.parse("2026-01-01T12:00:00Z"), "utc");
  assert.equal(toGrpcurl(query, "h:1", false, true), `grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d '{"filter":{"results":["RESULT_FAILURE"]},"start_time":"2026-01-01T11:00:00Z"}' h:1 auditgate.v1.AuditService/Search`);
});

test("a token takes the place of its opposite, and of one that can be there once", () => {
  const tokens = parse("user:a since:1h").tokens;
  assert.equal(format(withToken(tokens, token("user", "a", true))), "since:1h -user:a");
  assert.equal(format(withToken(tokens, token("since", "2h"))), "user:a since:2h");
  assert.equal(nearest("usr", ["user", "source"]), "user");
  assert.equal(nearest("zzz", ["user", "source"]), undefined);
});

test("completion knows keys, types, families, names and values", () => {
  const type = (name: string): EventType => ({ type: name, field_name: "", category: 0, severity: 0, description: `d ${name}`, codes: [] });
  const catalog = ["session.end", "session.start", "user.login"].map(type);
  const texts = (word: string, values: string[] = []) => suggest(wordOf(word), catalog, values).map(({ text }) => text);
  assert.deepEqual(texts("us"), ["user:", "type:user.login"]);
  assert.deepEqual(texts("-ty"), ["-type:"]);
  assert.deepEqual(texts("type:ses"), ["type:session.*", "type:session.end", "type:session.start"]);
  assert.deepEqual(texts("severity:e"), ["severity:error"]);
  assert.deepEqual(texts("user:a", ["bob", "alice a", "dan"]), ['user:"alice a"', "user:dan"]);
  assert.deepEqual(texts("nothing:x"), []);
});

test("places in an expression are counted in characters", () => {
  const text = "'🎉' == x &&\n  event.usr";
  assert.equal(text.slice(offsetOf(text, 1, 8), offsetOf(text, 1, 9)), "x");
  assert.equal(text.slice(offsetOf(text, 2, 9), offsetOf(text, 2, 12)), "usr");
  assert.deepEqual(pathBefore("a && event.us", 13), { below: "event", part: "us", from: 11 });
  assert.equal(pathBefore("'event.us", 9), undefined);
  assert.equal(pathBefore("x == ", 5), undefined);
});
