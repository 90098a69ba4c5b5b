// The browser of the page lane does what page tests lean on: it reads a page without JavaScript, and it obeys a strict policy.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { withPage } from "./browser.mjs";

const PAGE = `<!doctype html><title>plain</title><h1>before</h1>
<script>document.querySelector("h1").textContent = "after"</script>`;

/** Serves the page on loopback with the given policy while `use` runs. */
async function serve(policy, use) {
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html", ...(policy && { "content-security-policy": policy }) });
    response.end(PAGE);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  try {
    await use(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.close();
  }
}

for (const [name, policy, options, expected] of [
  ["a script changes the page", null, {}, "after"],
  ["without JavaScript the page stands as it was sent", null, { javaScriptEnabled: false }, "before"],
  ["a strict policy stops an inline script", "default-src 'none'", {}, "before"],
]) {
  test(name, () =>
    serve(policy, (address) =>
      withPage(options, async (page) => {
        await page.goto(address);
        assert.equal(await page.locator("h1").textContent(), expected);
      }),
    ),
  );
}
