// Tokens: what the page does with them, and what a reader sees who may not read all.

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, certificates, logins, scratch } from "./support/gateway.mjs";
import { View, until } from "./support/page.mjs";
import { proxy } from "./support/servers.mjs";

let browser;

before(async () => {
  browser = await launch();
});

/** A gateway whose principals have tokens and read these types. */
class Guarded {
  #config = join(scratch(), "auditgate.toml");
  tokens = {};
  roles = {
    admin: { read: ["*"], emit: ["*"], allow: ["status", "subscribers", "proof"] },
    reader: { read: ["user.*"], emit: [], allow: [] },
  };

  static async start() {
    const guarded = new Guarded();
    for (const name of Object.keys(guarded.roles)) guarded.tokens[name] = `agt_${randomBytes(24).toString("hex")}`;
    guarded.write();
    guarded.gateway = await Gateway.start(["--config", guarded.#config]);
    return guarded;
  }

  write() {
    const list = (names) => JSON.stringify(names);
    const parts = Object.entries(this.tokens).map(([name, token]) => {
      const { read, emit, allow } = this.roles[name];
      const sha256 = createHash("sha256").update(token).digest("hex");
      return `[[access.tokens]]\nprincipal = "${name}"\nsha256 = "${sha256}"\n
[[access.roles]]\nname = "${name}"\nprincipals = ["${name}"]\nread = ${list(read)}\nemit = ${list(emit)}\nallow = ${list(allow)}\n`;
    });
    writeFileSync(this.#config, parts.join("\n"), { mode: 0o600 });
  }

  /** Has the gateway read the configuration again. */
  async reload() {
    this.write();
    const applied = await this.gateway.metric('auditgate_reloads_total{result="applied"}');
    this.gateway.reload();
    await until("the reload", async () => (await this.gateway.metric('auditgate_reloads_total{result="applied"}')) > applied);
  }

  /** Flags of a command of this principal. */
  as(name) {
    const file = join(scratch(), "token");
    writeFileSync(file, this.tokens[name], { mode: 0o600 });
    return ["--token-file", file];
  }

  /** The events of the gateway itself. */
  own(type) {
    return this.gateway.search([...this.as("admin"), "--type", type]);
  }
}

async function signIn(page, guarded, name) {
  await page.goto(guarded.gateway.url);
  await page.getByTestId("token-input").fill(guarded.tokens[name]);
  await page.getByTestId("sign-in-submit").click();
  const view = new View(page);
  await view.at("view-events").waitFor();
  return view;
}

test("loading the page leaves no record; the first search leaves one, equal ones are counted in it", async () => {
  const guarded = await Guarded.start();
  guarded.gateway.emit(logins(1, 5), guarded.as("admin"));
  const { page, faults } = await open(browser);
  await page.goto(guarded.gateway.url);
  await page.getByTestId("token-input").waitFor();
  assert.deepEqual(guarded.own("auditgate.denied"), []);
  const view = await signIn(page, guarded, "reader");
  await view.live();
  const reads = () => guarded.own("auditgate.read").filter((record) => record.event.user?.name === "reader");
  const searches = () => reads().filter((record) => JSON.stringify(record).includes("Search"));
  await until("the search is recorded", () => searches().length > 0);
  const first = searches().length;
  assert.equal(first, 1, JSON.stringify(searches()));
  for (let time = 0; time < 3; time++) {
    await view.at("filter-input").focus();
    await page.keyboard.press("Enter");
    await view.live();
  }
  assert.equal(searches().length, first, "equal searches are counted in one record");
  assert.deepEqual(guarded.own("auditgate.denied"), []);
  assertClean(faults);
});

test("a restricted reader sees what it may, and is offered nothing else", async () => {
  const guarded = await Guarded.start();
  guarded.gateway.emit([...logins(1, 3), { id: "x", exec: {} }], guarded.as("admin"));
  const { page, faults } = await open(browser);
  const view = await signIn(page, guarded, "reader");
  await view.searched();
  const types = await page.$$eval('[data-testid="record"] .type', (cells) => cells.map((cell) => cell.textContent));
  assert.deepEqual([...new Set(types)], ["user.login"]);
  assert.equal(await view.at("view-status").count(), 0);
  await view.record((await view.sequences())[0]);
  assert.equal(await view.at("proof-badge").count(), 0);
  assert.equal(await view.at("tab-proof").count(), 0);
  // What it asks for and may not read is refused with a sentence.
  await view.filter("type:exec");
  await view.at("failure").waitFor();
  assert.match(await view.at("failure").textContent(), /exec/);
  assertClean(faults);
});

test("a wrong token is refused with a sentence, and is kept nowhere", async () => {
  const guarded = await Guarded.start();
  const { page, context, faults } = await open(browser);
  await page.goto(guarded.gateway.url);
  await page.getByTestId("token-input").fill("agt_wrong");
  await page.getByTestId("sign-in-submit").click();
  await until("a sentence", async () => ((await page.getByTestId("sign-in-error").textContent()) ?? "") !== "");
  const stored = () => page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, location.href]));
  assert.ok(!(await stored()).includes("agt_wrong"));
  const view = await signIn(page, guarded, "reader");
  const kept = await page.evaluate(() => [JSON.stringify({ ...localStorage }), document.cookie, location.href].join());
  assert.ok(!kept.includes(guarded.tokens.reader));
  // A new tab gets the token, and Forget takes it from both.
  const other = await context.newPage();
  await other.goto(guarded.gateway.url);
  await other.getByTestId("view-events").waitFor();
  await view.at("account").click();
  await view.at("forget").click();
  for (const one of [page, other]) await one.getByTestId("token-input").waitFor();
  assert.equal(await page.getByTestId("record").count(), 0);
  assert.ok(!(await stored()).includes(guarded.tokens.reader));
  assertClean(faults);
});

test("a token that is revoked while its stream is open ends the session, and takes what was read off the screen", async () => {
  const guarded = await Guarded.start();
  guarded.gateway.emit(logins(1, 3), guarded.as("admin"));
  const { page, faults } = await open(browser);
  const view = await signIn(page, guarded, "reader");
  await view.live();
  const token = guarded.tokens.reader;
  delete guarded.tokens.reader;
  await guarded.reload();
  await page.getByTestId("token-input").waitFor();
  assert.equal(await page.getByTestId("record").count(), 0);
  assert.ok(((await page.getByTestId("sign-in-error").textContent()) ?? "").length > 10);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, token);
  assertClean(faults);
});

test("rights that are taken away hold for the open stream", async () => {
  const guarded = await Guarded.start();
  guarded.gateway.emit(logins(1, 3), guarded.as("admin"));
  const { page, faults } = await open(browser);
  const view = await signIn(page, guarded, "reader");
  await view.live();
  const before = await view.sequences();
  assert.equal(before.length, 3);
  guarded.roles.reader.read = ["db.*"];
  await guarded.reload();
  guarded.gateway.emit(logins(4, 6), guarded.as("admin"));
  await until("the stream ends", async () => (await view.at("live-state").getAttribute("data-state")) !== "live");
  const news = (await view.sequences()).filter((sequence) => !before.includes(sequence));
  assert.deepEqual(news, []);
  assertClean(faults);
});

test("a token that expires while its stream is open ends the session with a sentence", async () => {
  const folder = scratch();
  const issuer = "https://issuer.example.com";
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k", alg: "EdDSA", use: "sig" };
  writeFileSync(join(folder, "jwks.json"), JSON.stringify({ keys: [jwk] }));
  const config = join(folder, "auditgate.toml");
  const role = '[[access.roles]]\nname = "reader"\nprincipals = ["jwt:alice"]\nread = ["*"]\n';
  const trusted = `[[access.jwt]]\nissuer = "${issuer}"\naudiences = ["page"]\njwks = "jwks.json"\nleeway = "0s"\n`;
  writeFileSync(config, trusted + role, { mode: 0o600 });
  const gateway = await Gateway.start(["--config", config]);
  const { page, faults } = await open(browser);
  await page.goto(gateway.url);
  await page.getByTestId("token-input").waitFor();
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1_000);
  const head = part({ alg: "EdDSA", kid: "k", typ: "JWT" });
  const signed = `${head}.${part({ iss: issuer, aud: "page", sub: "alice", iat: now, exp: now + 8 })}`;
  const token = `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  await page.getByTestId("token-input").fill(token);
  await page.getByTestId("sign-in-submit").click();
  const view = new View(page);
  await view.live();
  await page.getByTestId("token-input").waitFor();
  assert.ok(Date.now() >= (now + 8) * 1_000, "not before it expires");
  assert.match((await page.getByTestId("sign-in-error").textContent()) ?? "", /expired/);
  assert.equal(await page.getByTestId("record").count(), 0);
  assertClean(faults);
});

test("over TLS the page signs in, is live by HTTP/2, and proves", async () => {
  const files = certificates(["localhost"]);
  const gateway = await Gateway.start(["--config", files.config, "--merkle"]);
  const { page, faults } = await open(browser, { ignoreHTTPSErrors: true });
  await page.goto(`https://localhost:${gateway.port}/`);
  await page.getByTestId("token-input").fill(files.token);
  await page.getByTestId("sign-in-submit").click();
  const view = new View(page);
  await view.live();
  gateway.emitBy(files, logins(1, 12));
  await view.filter("type:user.login");
  await until("all logins", async () => (await view.sequences()).length === 12);
  const protocols = await page.evaluate(() => {
    const calls = performance.getEntriesByType("resource").filter(({ name }) => name.includes("AuditService"));
    return calls.map(({ nextHopProtocol }) => nextHopProtocol);
  });
  assert.deepEqual([...new Set(protocols)], ["h2"]);
  await view.record((await view.sequences())[5]);
  await view.at("proof-badge").click();
  await page.waitForSelector('[data-testid="proof"][data-state="proven"]');
  assertClean(faults);
});

test("behind a proxy that ends TLS the page is live, and goes on when the gateway was away", async () => {
  const files = certificates(["audit.example.com"]);
  let upstream = 0;
  const port = await proxy(files, () => upstream);
  const own = `https://audit.example.com:${port}`;
  const data = join(scratch(), "log");
  const flags = ["--web-hosts", own, "--data-dir", data];
  let gateway = await Gateway.start(flags);
  upstream = gateway.port;
  const { page, faults } = await open(browser, { ignoreHTTPSErrors: true });
  await page.goto(`${own}/`);
  const view = new View(page);
  await view.live();
  // The stream is not held back on its way.
  gateway.emit(logins(1, 3));
  await view.newest(3);
  await gateway.stop();
  await view.state("lost");
  gateway = await Gateway.start(flags);
  upstream = gateway.port;
  gateway.emit(logins(4, 5));
  await view.newest(5);
  await view.live();
  assert.equal(await view.at("gap").count(), 0);
  assertClean(faults);
});
