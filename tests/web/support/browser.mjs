// A browser, whose violations of the content security policy fail the test.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

import { later } from "./cleanup.mjs";
import { WAIT_MAX } from "./gateway.mjs";

const PROGRAM = process.env.AUDITGATE_CHROMIUM ?? "/usr/bin/chromium";
/** What Chromium says on its console of what the policy forbids. */
const VIOLATION = /content.security.policy|trusted ?types?|Refused to (load|execute|apply|connect|frame)/i;

const WITHOUT = [
  "LocalNetworkAccessChecks",
  "BlockInsecurePrivateNetworkRequests",
  "WebUIOmniboxPopup",
  "WebUIOmniboxAimPopup",
  "WebUIOmniboxFullPopup",
  "OmniboxContextMenuMultiContext",
];
/** A folder with files of the page that stand in for those in the program, so that they are tested without a build of it. */
const FILES = process.env.WEB_TEST_FILES ?? "";

/** Names that the browser resolves to this machine. */
export const NAMES = ["evil.example", "audit.example.com"];

/** Starts a browser; ends it after the tests of a file. */
export async function launch(more = []) {
  const rules = NAMES.map((name) => `MAP ${name} 127.0.0.1`).join(",");
  const browser = await chromium.launch({
    executablePath: PROGRAM,
    // Nothing that asks the network by itself, and not the browser's own guard of local addresses, which
    // would stop some attacks before the gateway sees them: not every browser has it. Nor the pages behind the
    // address bar, which cost each window a second of processor time.
    args: [
      `--disable-features=${WITHOUT.join(",")}`,
      `--host-resolver-rules=${rules}`,
      "--no-proxy-server",
      "--disable-background-networking",
      ...more,
    ],
    chromiumSandbox: process.getuid() !== 0,
  });
  later(() => browser.close());
  return browser;
}

/** A page of its own context, which collects what the policy forbade and what scripts threw. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MAX);
  const faults = [];
  watch(page, faults);
  context.on("page", (other) => watch(other, faults));
  if (FILES !== "") await replaceFiles(context);
  return { page, context, faults };
}

async function replaceFiles(context) {
  const names = readdirSync(FILES);
  await context.route(
    ({ pathname }) => pathname === "/" || names.includes(pathname.slice(1)),
    async (route) => {
      const name = new URL(route.request().url()).pathname.slice(1) || "index.html";
      const answer = await route.fetch().catch(() => undefined);
      // By the browser itself, where this process does not know the name or the certificate.
      if (answer === undefined) return route.continue();
      if (!answer.ok()) return route.fulfill({ response: answer });
      const headers = { ...answer.headers() };
      delete headers["content-encoding"];
      delete headers["content-length"];
      delete headers["etag"];
      return route.fulfill({ status: 200, headers, body: readFileSync(join(FILES, name)) });
    },
  );
}

function watch(page, faults) {
  page.on("console", (message) => {
    if (VIOLATION.test(message.text())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
}

/** Nothing was forbidden by the policy, and no script threw. */
export function assertClean(faults) {
  assert.deepEqual(faults, []);
}
