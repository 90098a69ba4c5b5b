// Opens Debian's Chromium for a page test, so that it talks to the page under test and to nobody else.
//
// Each call is a fresh browser with a fresh profile; close it when the test ends. Nothing is downloaded.

import { chromium } from "playwright-core";

const QUIET = [
  "--no-sandbox", // the lane may run as root, where the sandbox refuses to start
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts a browser; `HEARTH_CHROMIUM` names another one than Debian's. */
export function launch() {
  return chromium.launch({ executablePath: process.env.HEARTH_CHROMIUM ?? "/usr/bin/chromium", args: QUIET });
}

/**
 * Runs `use` with a page in a fresh browser and closes it on every way out.
 *
 * `options` are those of a browser context, such as `{ javaScriptEnabled: false }` or `{ viewport: { width: 390, height: 844 } }`.
 */
export async function withPage(options, use) {
  const browser = await launch();
  try {
    const context = await browser.newContext(options);
    return await use(await context.newPage());
  } finally {
    await browser.close();
  }
}
