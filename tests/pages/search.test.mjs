// The search page of a real agent, as a person meets it: signing in, finding, reading, pausing, with JavaScript and without.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { withPage } from "./browser.mjs";
import { complaints, fitsTelephone, isAccessible } from "./judge.mjs";
import { Home } from "./programs.mjs";

const NOTES = {
  "notes/garden/tomatoes.md":
    "# Tomatoes\n\n## Watering\n\nWater the tomato beds early on Tuesday, before the sun stands high.\n\n## Drying\n\n" +
    "Cut them in halves, salt them, and leave them in the oven at low heat for a night.\n",
  "notes/house/roof.txt": "The roofer comes in October and brings the slates himself.\nHis bill is paid by bank transfer.\n",
  "notes/house/a-very-long-name-without-any-place-to-break-because-somebody-was-in-a-hurry-that-day.txt":
    `Notes on slates. ${"x".repeat(200)}\n`,
};

let home;
let agent;

before(async () => {
  home = await Home.new();
  await home.write(NOTES);
  agent = await home.up("data");
  await home.settled("data", 3);
});
after(() => home?.end());

/** Opens the page as the printed address does, and fails when the page complained about anything. */
function signedIn(options, use) {
  return withPage(options, async (page) => {
    const said = complaints(page);
    await page.goto(agent.ready.token_url);
    await use(page);
    assert.deepEqual(said, [], "the page complained");
  });
}

/** Asks in the form, as a person does. */
async function ask(page, words) {
  await page.getByRole("searchbox").fill(words);
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.waitForURL(/[?&]q=/);
}

const address = (path) => new URL(path, agent.ready.page).href;

test("the address with the token signs in, and the token leaves the address", () =>
  signedIn({}, async (page) => {
    assert.equal(page.url(), agent.ready.page);
    await page.reload();
    assert.ok(await page.getByRole("searchbox").isVisible());
  }));

test("a wrong token or none sees nothing", () =>
  withPage({}, async (page) => {
    for (const path of [`/?token=${"0".repeat(64)}`, "/", "/?q=tomatoes", "/sessions"]) {
      const response = await page.goto(address(path));
      assert.equal(response.status(), 401, path);
      assert.match(await page.textContent("main"), /hearth status/, path);
      assert.doesNotMatch(await page.content(), /Tuesday|roofer/, path);
    }
  }));

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with JavaScript" : "without JavaScript";

  test(`a search shows the passage with the words marked, and leads to the item, ${how}`, () =>
    signedIn({ javaScriptEnabled }, async (page) => {
      await ask(page, "tomato beds Tuesday");
      const hit = page.locator(".hits li").first();
      assert.equal(await hit.getByRole("heading").textContent(), "Tomatoes");
      assert.match(await hit.locator(".snippet").textContent(), /early on Tuesday/);
      assert.ok((await hit.locator("mark").allTextContents()).includes("Tuesday"));
      await hit.getByRole("link").click();
      await page.waitForURL(/\/item\//);
      assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), "Tomatoes");
      assert.match(await page.getByLabel("Text of the item").textContent(), /leave them in the oven/);
    }));

  test(`what is filtered out is not shown, ${how}`, () =>
    signedIn({ javaScriptEnabled }, async (page) => {
      await page.getByText("Filters").click();
      await page.getByLabel("At or below").fill(home.at("notes/house"));
      await ask(page, "tomato slates");
      const places = await page.locator(".hits .path").allTextContents();
      assert.ok(places.length > 0 && places.every((place) => place.includes("/notes/house/")), `${places}`);
      assert.ok(!(await page.getByLabel("Format").isVisible()), "the fields stand above no hits");
      assert.match(await page.locator(".filters summary").textContent(), /notes\/house/);
      await page.getByText("Filters").click();
      await page.getByLabel("Format").fill("no-such-format");
      await page.getByRole("button", { name: "Search", exact: true }).click();
      await page.getByRole("heading", { name: "Nothing found" }).waitFor();
      assert.match(await page.textContent(".nothing"), /without the filters/);
      assert.ok(await page.getByLabel("Format").isVisible(), "with nothing found the fields are at hand");
    }));

  test(`on a telephone the first hit is in sight, with filters set, ${how}`, () =>
    signedIn({ javaScriptEnabled, viewport: { width: 390, height: 664 } }, async (page) => {
      await page.goto(address("/?q=slates&source=files&after=7d"));
      const hit = await page.locator(".hits h2").first().boundingBox();
      assert.ok(hit.y + hit.height < 400, `the first hit begins at ${hit.y}`);
    }));

  test(`words that are nowhere find nothing, and the page says what to try, ${how}`, () =>
    signedIn({ javaScriptEnabled }, async (page) => {
      await page.getByText("by word", { exact: true }).click();
      await ask(page, "zyzzyva");
      await page.getByRole("heading", { name: "Nothing found" }).waitFor();
      assert.match(await page.textContent(".nothing"), /Try other words/);
    }));

  test(`capture is paused and resumed from the page, ${how}`, () =>
    signedIn({ javaScriptEnabled }, async (page) => {
      const hold = page.locator("section", { has: page.locator("#hold") });
      await page.getByRole("link", { name: "Sessions" }).click();
      await hold.getByText("Capture is on").waitFor();
      await hold.getByRole("button", { name: "Pause" }).click();
      await hold.getByText("Capture is paused until").waitFor();
      assert.equal((await home.hearth("data", "status")).hold.state, "paused");
      await page.getByRole("link", { name: "Search" }).click();
      assert.match(await page.textContent("footer"), /paused until/);
      await page.getByRole("link", { name: "Sessions" }).click();
      await hold.getByRole("button", { name: "Resume" }).click();
      await hold.getByText("Capture is on").waitFor();
      assert.equal((await home.hearth("data", "status")).hold.state, "open");
    }));
}

test("a slash goes to the box, and arrows go through the hits", () =>
  signedIn({}, async (page) => {
    await ask(page, "slates");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "q");
    await page.keyboard.press("ArrowDown");
    const first = await page.locator(".hits h2 a").first().getAttribute("href");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), first);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/item\//);
  }));

test("with nothing captured the page says how to begin", async () => {
  const bare = await Home.new();
  try {
    await bare.write({ "notes/.ignore": "*\n" });
    const { ready } = await bare.up("data");
    await withPage({}, async (page) => {
      await page.goto(ready.token_url);
      await page.getByRole("heading", { name: "Nothing is captured yet" }).waitFor();
      await isAccessible(page, "nothing captured");
      await fitsTelephone(page, "nothing captured");
    });
  } finally {
    await bare.end();
  }
});

for (const [name, path] of [
  ["the search page", "/"],
  ["hits", "/?q=slates"],
  ["no hits", "/?q=zyzzyva&mode=keyword"],
  ["a wrong filter", "/?q=slates&after=soon"],
  ["the sessions", "/sessions"],
  ["an item", "first hit"],
]) {
  test(`${name} can be read by everybody, in light, in dark and on a telephone`, () =>
    signedIn({}, async (page) => {
      await page.goto(address(path === "first hit" ? "/?q=slates" : path));
      if (path === "first hit") {
        await page.locator(".hits h2 a").first().click();
        await page.waitForURL(/\/item\//);
      }
      await isAccessible(page, name);
      await fitsTelephone(page, name);
    }));
}
