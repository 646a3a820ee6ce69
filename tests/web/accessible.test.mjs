// Each view, light and dark, by the rules of WCAG 2.2 AA as far as a program can check them.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { assertAccessible, assertFits } from "./support/axe.mjs";
import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, logins, scratch } from "./support/gateway.mjs";
import { View } from "./support/page.mjs";

let browser;
let gateway;

before(async () => {
  browser = await launch();
  gateway = await Gateway.start(["--merkle"]);
  gateway.emit(logins(1, 60));
});

const VIEWS = {
  events: async (view) => view.searched(),
  empty: async (view) => {
    await view.filter("user:nobody");
    await view.at("empty").waitFor();
  },
  failure: async (view) => {
    await view.filter("type:user.lgin");
    await view.at("filter-problems").waitFor();
  },
  suggestions: async (view) => {
    await view.at("filter-input").focus();
    await view.page.keyboard.type("us");
    await view.at("suggestion").first().waitFor();
  },
  expression: async (view) => {
    await view.at("cel-toggle").click();
    await view.at("cel-input").fill("event.user.nmae == 'x'");
    await view.at("cel-error").first().waitFor();
  },
  drawer: async (view) => {
    await view.record(60);
    await view.at("field").first().waitFor();
  },
  json: async (view) => {
    await view.record(60);
    await view.at("tab-json").click();
    await view.at("json").first().waitFor();
  },
  raw: async (view) => {
    await view.record(60);
    await view.at("tab-raw").click();
    await view.at("hex").waitFor();
  },
  session: async (view) => {
    await view.record(60);
    await view.at("tab-session").click();
    await view.at("timeline").waitFor();
  },
  proof: async (view) => {
    await view.record(59);
    await view.at("proof-badge").click();
    await view.at("proof").waitFor();
  },
  status: async (view) => {
    await view.at("view-status").click();
    await view.at("card-log").waitFor();
  },
  help: async (view) => {
    await view.at("help").click();
    await view.page.locator("dialog[open]").waitFor();
  },
  export: async (view) => {
    await view.at("export").click();
    await view.page.locator("dialog[open]").waitFor();
  },
  copy: async (view) => {
    await view.at("copy-menu").click();
    await view.page.locator("dialog[open]").waitFor();
  },
};

/** The views whose layout is another one in a narrow window. */
const NARROW = ["events", "drawer", "status"];

for (const viewport of [{ width: 1280, height: 800 }, { width: 390, height: 844 }]) {
  test(`each view is accessible, light and dark, ${viewport.width} wide`, async (context) => {
    const { page, faults } = await open(browser, { viewport, reducedMotion: "reduce" });
    const narrow = viewport.width < 760;
    for (const [name, reach] of Object.entries(VIEWS)) {
      if (narrow && !NARROW.includes(name)) continue;
      await context.test(name, async () => {
        await page.goto("about:blank");
        const view = await View.open(page, gateway);
        await view.searched();
        await reach(view);
        if (narrow) await assertFits(page, name);
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          await page.waitForFunction((theme) => document.documentElement.dataset.theme === theme, colorScheme);
          await assertAccessible(page, `${name}, ${colorScheme}`);
        }
      });
    }
    assertClean(faults);
  });
}

test("the sign-in is accessible, light and dark", async () => {
  const sha256 = "0".repeat(64);
  const config = join(scratch(), "auditgate.toml");
  writeFileSync(config, `[[access.tokens]]\nprincipal = "a"\nsha256 = "${sha256}"\n`, { mode: 0o600 });
  const guarded = await Gateway.start(["--config", config]);
  for (const colorScheme of ["light", "dark"]) {
    const { page, faults } = await open(browser, { colorScheme });
    await page.goto(guarded.url);
    await page.getByTestId("token-input").waitFor();
    await assertAccessible(page, `sign-in, ${colorScheme}`);
    assertClean(faults);
  }
});
