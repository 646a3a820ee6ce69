// What the tests do on the page, and what they see of it.

import assert from "node:assert/strict";

import { WAIT_MAX } from "./gateway.mjs";

export class View {
  constructor(page) {
    this.page = page;
  }

  /** Opens the page, with this fragment. */
  static async open(page, gateway, fragment = "") {
    await page.goto(`${gateway.url}/${fragment}`);
    const view = new View(page);
    await view.at("view-events").waitFor();
    return view;
  }

  /** An element by its test id. */
  at(id) {
    return this.page.getByTestId(id);
  }

  /** The sequences of the rows in sight, from above. */
  async sequences() {
    return this.page.$$eval('[data-testid="record"]', (rows) => rows.map((row) => Number(row.dataset.sequence)));
  }

  /** Waits until the newest row has this sequence. */
  async newest(sequence) {
    await this.page.waitForFunction(
      (expected) => document.querySelector('[data-testid="record"]')?.dataset.sequence === String(expected),
      sequence,
    );
  }

  /** Waits until the list is live. */
  async live() {
    await this.state("live");
  }

  async state(name) {
    await this.page.waitForSelector(`[data-testid="live-state"][data-state="${name}"]`);
  }

  /** The texts of the tokens in the bar. */
  tokens() {
    return this.page.$$eval('[data-testid="token"]', (tokens) => tokens.map((token) => token.dataset.token));
  }

  /** Filters by what is written into the bar. */
  async filter(text) {
    await this.at("filter-input").fill(text);
    await this.page.keyboard.press("Enter");
  }

  /** Waits until a search has ended. */
  async searched() {
    await this.page.waitForSelector('[data-testid="end-of-results"], [data-testid="empty"], [data-testid="failure"]');
  }

  /** Opens the record in a row. */
  async record(sequence) {
    await this.page.click(`[data-testid="record"][data-sequence="${sequence}"]`);
    await this.at("drawer").waitFor();
  }
}

/** Waits until something is so. */
export async function until(what, condition) {
  const end = Date.now() + WAIT_MAX;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `it does not come: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A browser without a screen never hides a window: says to the page what another one would. */
export function setHidden(page, hidden) {
  return page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => value });
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (value ? "hidden" : "visible") });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}
