// Pictures of the page for people to look at: `make web-screenshots` puts them into target/web-screenshots.

import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, run, scratch } from "./support/gateway.mjs";
import { View } from "./support/page.mjs";
import { scene } from "./support/scene.mjs";
import { destination } from "./support/servers.mjs";

const OUT = process.env.WEB_SCREENSHOTS ?? scratch();
const SIZES = [{ width: 1280, height: 800 }, { width: 390, height: 844 }];
const THEMES = ["light", "dark"];

let browser;

before(async () => {
  browser = await launch();
  mkdirSync(OUT, { recursive: true });
});

/** Runs a picture for each size and theme. */
async function each(options, take) {
  for (const viewport of SIZES) {
    for (const colorScheme of THEMES) {
      const { page, context, faults } = await open(browser, { viewport, colorScheme, reducedMotion: "reduce", timezoneId: "UTC", ...options });
      const shot = (name) => page.screenshot({ path: join(OUT, `${name}-${viewport.width}-${colorScheme}.png`) });
      await take(page, shot, viewport.width < 760);
      assertClean(faults);
      await context.close();
    }
  }
}

test("events, drawer, status", async () => {
  const siem = await destination();
  siem.status = 503;
  const key = join(scratch(), "log.key");
  run(["keygen", "--name", "audit.example.com/log", "--out", key]);
  const config = join(scratch(), "auditgate.toml");
  scene.configure(config, siem.port);
  const gateway = await Gateway.start(["--config", config, "--data-dir", join(scratch(), "log"), "--signing-key", key]);
  gateway.emit(scene.events());
  await each({}, async (page, shot, narrow) => {
    const view = await View.open(page, gateway, "#q=since%3A2h");
    await view.live();
    await page.waitForFunction(() => document.querySelectorAll('[data-testid="record"]').length > 8);
    await page.waitForSelector('[data-testid="histogram-bars"]');
    if (!narrow) await page.waitForSelector('[data-testid="facet-user"]');
    await shot("events");
    await page.locator('[data-testid="record"]', { hasText: "db.session.query" }).first().click();
    await view.at("field").first().waitFor();
    await shot("drawer");
    await view.at("proof-badge").click();
    await page.waitForSelector('[data-testid="proof"][data-state="proven"]');
    await shot("proof");
    await view.at("drawer-close").click();
    await view.at("view-status").click();
    await view.at("card-deliveries").waitFor();
    await shot("status");
  });
});

test("the alarm", async () => {
  const key = join(scratch(), "log.key");
  run(["keygen", "--name", "audit.example.com/log", "--out", key]);
  const folder = scratch();
  const flags = (name) => ["--data-dir", join(folder, name), "--signing-key", key];
  let gateway = await Gateway.start(flags("whole"));
  gateway.emit(scene.events().slice(0, 100));
  await gateway.stop();
  cpSync(join(folder, "whole"), join(folder, "earlier"), { recursive: true });
  gateway = await Gateway.start(flags("whole"));
  gateway.emit(scene.events().slice(100));
  const { web } = gateway;
  const { page, context } = await open(browser);
  await View.open(page, gateway);
  await page.waitForSelector('[data-testid="witness-mark"][data-state="good"]');
  // What the browser has seen is seen by those that take the pictures.
  const storageState = await context.storageState();
  await gateway.stop();
  gateway = await Gateway.start(flags("earlier"), { web });
  await each({ storageState }, async (opened, shot) => {
    const view = await View.open(opened, gateway);
    await view.at("alarm").waitFor();
    await view.searched().catch(() => {});
    await shot("alarm");
  });
});

test("the sign-in, the help and an empty log", async () => {
  const gateway = await Gateway.start();
  await each({}, async (page, shot) => {
    const view = await View.open(page, gateway);
    await view.live();
    await shot("empty");
    await view.at("help").click();
    await page.locator("dialog[open]").waitFor();
    await shot("help");
  });
});
