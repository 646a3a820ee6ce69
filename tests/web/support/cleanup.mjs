// What is undone when the tests of a file are over, the newest first.

import { after } from "node:test";

const steps = [];

after(async () => {
  for (const step of steps.reverse()) await step();
});

/** Does this when the tests are over. */
export function later(step) {
  steps.push(step);
}
