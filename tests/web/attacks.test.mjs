// Pages of others, in a real browser: none gets anything from the gateway, and none makes it do anything.

import assert from "node:assert/strict";
import { before, beforeEach, test } from "node:test";

import { launch, open } from "./support/browser.mjs";
import { later } from "./support/cleanup.mjs";
import { Gateway, certificates } from "./support/gateway.mjs";
import { proxy, serve } from "./support/servers.mjs";

const SEARCH = "/auditgate.v1.AuditService/Search";
/** An empty request in its frame. */
const EMPTY = "\0\0\0\0\0";

let browser;
let gateway;
let answered;

before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
  gateway.run(["emit", "user.login", "--user", "secret-user"]);
});

beforeEach(async () => {
  answered = await gateway.metric("auditgate_web_requests_total");
});

/** No request of others passed the checks, and some were refused by one of these. */
async function assertRefused(...checks) {
  assert.equal(await gateway.metric("auditgate_web_requests_total"), answered, "a request was answered");
  const names = checks.map((check) => `auditgate_web_requests_refused_total{check="${check}"}`);
  const refused = await Promise.all(names.map((name) => gateway.metric(name)));
  assert.ok(refused.some((count) => count > 0), `nothing was refused by ${checks}`);
}

/** What each way to ask comes to, from within the page. */
function attempts(page, base) {
  return page.evaluate(
    async ([url, body]) => {
      const bytes = new TextEncoder().encode(body);
      const asked = async (path, options) => {
        try {
          const answer = await fetch(url + path, options);
          return `${answer.type} ${answer.status} ${(await answer.text()).slice(0, 200)}`;
        } catch (error) {
          return `failed: ${error.message}`;
        }
      };
      const search = "/auditgate.v1.AuditService/Search";
      const typed = (type) => ({ method: "POST", body: bytes, headers: { "content-type": type } });
      return {
        session: await asked("/session.json"),
        page: await asked("/"),
        opaque: await asked("/session.json", { mode: "no-cors" }),
        call: await asked(search, typed("application/grpc-web+proto")),
        text: await asked(search, typed("text/plain")),
        opaqueCall: await asked(search, { ...typed("text/plain"), mode: "no-cors" }),
        keepalive: await asked(search, { ...typed("text/plain"), mode: "no-cors", keepalive: true }),
      };
    },
    [base, EMPTY],
  );
}

test("a name that is bound to this machine later gets nothing", async () => {
  const { page } = await open(browser);
  const origin = `http://evil.example:${gateway.port}`;
  // The name's first address is the attacker's, which serves this page; its next one is the gateway's.
  await page.route(`${origin}/attack`, (route) => route.fulfill({ contentType: "text/html", body: "<p>attack" }));
  await page.goto(`${origin}/attack`);
  const came = await attempts(page, "");
  for (const [name, what] of Object.entries(came)) assert.match(what, /^basic 421 /, name);
  const opened = await page.goto(`${origin}/`);
  assert.equal(opened.status(), 421);
  assert.match(await page.textContent("body"), /does not answer for this host/);
  await assertRefused("host");
});

test("a page of another origin gets nothing", async () => {
  const port = await serve({ "/": "<p>attack" });
  for (const origin of [`http://127.0.0.1:${port}`, `http://localhost:${port}`, `http://evil.example:${port}`]) {
    const { page } = await open(browser);
    await page.goto(origin);
    const came = await attempts(page, gateway.url);
    for (const [name, what] of Object.entries(came)) assert.match(what, /^failed: /, `${origin}: ${name}`);
    await assertRefused("origin", "fetch_site", "preflight");
  }
});

test("files are no scripts, styles or images of other pages", async () => {
  const html = `<script src="${gateway.url}/app.js"></script><link rel=stylesheet href="${gateway.url}/app.css">
    <img src="${gateway.url}/icon.svg"><object data="${gateway.url}/"></object><embed src="${gateway.url}/">`;
  const port = await serve({ "/": html });
  const { page } = await open(browser);
  const failed = new Set();
  const note = (request) => failed.add(new URL(request.url()).pathname);
  page.on("requestfailed", note);
  page.on("requestfinished", async (request) => {
    const answer = await request.response();
    if (request.url().startsWith(gateway.url) && answer.status() === 403) note(request);
  });
  await page.goto(`http://localhost:${port}/`, { waitUntil: "load" });
  await page.waitForTimeout(200);
  for (const path of ["/app.js", "/app.css", "/icon.svg", "/"]) assert.ok(failed.has(path), path);
  await assertRefused("fetch_site", "origin");
});

test("the page is in no frame of others", async () => {
  const port = await serve({ "/": `<iframe id=frame src="${gateway.url}/"></iframe>` });
  for (const host of ["127.0.0.1", "localhost"]) {
    const { page } = await open(browser);
    await page.goto(`http://${host}:${port}/`, { waitUntil: "load" });
    const frame = page.frames().find((one) => one !== page.mainFrame());
    const text = frame === undefined ? "" : await frame.evaluate(() => document.documentElement.outerHTML).catch(() => "");
    assert.ok(!text.includes("auditgate</title>"), text.slice(0, 300));
    await assertRefused("fetch_site");
  }
});

test("a form cannot call", async () => {
  for (const encoding of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    const form = `<form method=post enctype="${encoding}" action="${gateway.url}${SEARCH}"><input name="a" value="b"></form>`;
    const port = await serve({ "/": form });
    const { page } = await open(browser);
    await page.goto(`http://localhost:${port}/`);
    const [answer] = await Promise.all([
      page.waitForResponse((one) => one.url().endsWith("/Search")),
      page.evaluate(() => document.forms[0].submit()),
    ]);
    assert.equal(answer.status(), 403, encoding);
    await assertRefused("origin", "fetch_site");
  }
});

test("documents without an origin get nothing", async () => {
  const inner = `<script>
    const post = { method: "POST", mode: "no-cors", body: "x" };
    const asked = (path, options) => fetch("${gateway.url}" + path, options).then(() => "came", () => "failed");
    Promise.all([asked("/session.json"), asked("/"), asked("${SEARCH}", post)])
      .then((all) => parent.postMessage(all.join(), "*"));
  </script>`;
  const framed = (frame) => `<script>addEventListener("message", (event) => { document.title = event.data; })</script>${frame}`;
  const attribute = inner.replaceAll('"', "&quot;");
  const pages = {
    "/sandbox": framed(`<iframe sandbox="allow-scripts" srcdoc="${attribute}"></iframe>`),
    "/data": framed(`<iframe src="data:text/html,${encodeURIComponent(inner)}"></iframe>`),
  };
  const port = await serve(pages);
  for (const path of Object.keys(pages)) {
    const { page } = await open(browser);
    await page.goto(`http://127.0.0.1:${port}${path}`);
    await page.waitForFunction(() => document.title !== "");
    assert.equal(await page.title(), "failed,failed,failed", path);
    await assertRefused("origin", "fetch_site");
  }
});

test("a link opens the page, and whoever opens it in a window does not hold that", async () => {
  const port = await serve({ "/": `<a href="${gateway.url}/">page</a>` });
  const { page, context } = await open(browser);
  await page.goto(`http://localhost:${port}/`);
  const [answer] = await Promise.all([page.waitForResponse(`${gateway.url}/`), page.click("a")]);
  assert.equal(answer.status(), 200);
  const attacker = await context.newPage();
  await attacker.goto(`http://localhost:${port}/`);
  const [opened] = await Promise.all([
    context.waitForEvent("page"),
    attacker.evaluate((url) => {
      window.other = window.open(url);
    }, `${gateway.url}/`),
  ]);
  await opened.waitForLoadState();
  assert.equal(await opened.evaluate(() => window.opener), null);
  assert.equal(await attacker.evaluate(() => window.other.closed), true, "the opener holds it");
});

test("a page gets nothing from the gRPC port, with TLS or without", async () => {
  const files = certificates(["localhost"]);
  const encrypted = await Gateway.start(["--config", files.config]);
  const port = await serve({ "/": "<p>attack" });
  const { page: first } = await open(browser, { ignoreHTTPSErrors: true });
  for (const [base, from] of [
    [`https://localhost:${encrypted.grpcPort}`, `http://localhost:${port}/`],
    [`https://localhost:${encrypted.grpcPort}`, `https://localhost:${encrypted.port}/`],
    [`http://localhost:${gateway.grpcPort}`, `http://localhost:${port}/`],
  ]) {
    // The error page of a failed navigation would interrupt the next one in its window.
    const page = await first.context().newPage();
    await page.goto(from);
    const came = await attempts(page, base);
    for (const [name, what] of Object.entries(came)) {
      assert.match(what, /^(failed: |opaque 0 )/, `${base} from ${from}: ${name}`);
    }
    const opened = await page.goto(`${base}/`).then((answer) => answer?.status(), () => "failed");
    assert.ok([405, "failed"].includes(opened), `${base}: ${opened}`);
  }
  const services = "grpc_server_started_total";
  assert.equal(await encrypted.metric(services), 0, "a call of a page was begun");
});

test("with TLS the page comes by HTTP/2 and calls work", async () => {
  const files = certificates(["localhost"]);
  const encrypted = await Gateway.start(["--config", files.config]);
  const { page } = await open(browser, { ignoreHTTPSErrors: true });
  await page.goto(`https://localhost:${encrypted.port}/`);
  const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  assert.equal(protocol, "h2");
  assert.deepEqual(await called(page, files.token), { status: 200, grpc: null, found: true });
});

test("behind a proxy that ends TLS the page is of the origin in web.hosts", async () => {
  const files = certificates(["audit.example.com"]);
  // The proxy has to be there first: the gateway is told its port.
  let upstream = 0;
  const port = await proxy(files, () => upstream);
  const own = `https://audit.example.com:${port}`;
  const proxied = await Gateway.start(["--web-hosts", own]);
  upstream = proxied.port;
  const { page } = await open(browser, { ignoreHTTPSErrors: true });
  const answer = await page.goto(`${own}/`);
  assert.equal(answer.status(), 200);
  assert.deepEqual(await called(page, ""), { status: 200, grpc: null, found: true });
  // Through the same proxy by another name.
  const other = await page.goto(`https://evil.example:${port}/`);
  assert.equal(other.status(), 421);
});

/** A call of the page's own origin. */
function called(page, token) {
  return page.evaluate(
    async ([path, body, bearer]) => {
      const headers = { "content-type": "application/grpc-web+proto" };
      if (bearer !== "") headers.authorization = `Bearer ${bearer}`;
      const answer = await fetch(path, { method: "POST", body: new TextEncoder().encode(body), headers });
      const text = await answer.text();
      return { status: answer.status, grpc: answer.headers.get("grpc-status"), found: text.includes("grpc-status:0") };
    },
    [SEARCH, EMPTY, token],
  );
}
