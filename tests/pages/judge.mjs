// Judges a page as its visitors would: its errors, its width, and the rules of accessibility.

import assert from "node:assert/strict";
import axe from "axe-core";

/** Collects what a page complains about; a broken policy is among it. An answer with an error status that was asked for is not. */
export function complaints(page) {
  const said = [];
  page.on("console", (message) => {
    const refused = message.text().startsWith("Failed to load resource") && message.location().url === page.url();
    if (["error", "warning"].includes(message.type()) && !refused) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(`${error}`));
  page.on("requestfailed", (request) => {
    // The browser gives up what it was still fetching, such as an icon, when it leaves a page; that is no fault of the page.
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") said.push(`${request.url()} failed: ${why}`);
  });
  return said;
}

/** Fails when the page has a serious fault of accessibility in light or in dark, with everything on it unfolded. */
export async function isAccessible(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(() => document.querySelectorAll("details").forEach((part) => part.setAttribute("open", "")));
    await page.evaluate(axe.source);
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
    assert.ok(passes.length > 5, `${name}: the rules ran`);
    const serious = violations
      .filter(({ impact }) => ["serious", "critical"].includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    assert.deepEqual(serious, [], `${name}, ${colorScheme}`);
  }
}

/** Fails when the page is wider than a small telephone. */
export async function fitsTelephone(page, name) {
  const before = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 844 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `${name} is ${width} pixels wide on a screen of 390`);
  if (before) await page.setViewportSize(before);
}
