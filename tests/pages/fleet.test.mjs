// The fleet page of a real coordinator with two real agents: one whose key is trusted, and one that nobody named.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { withPage } from "./browser.mjs";
import { complaints, fitsTelephone, isAccessible } from "./judge.mjs";
import { Home, until } from "./programs.mjs";

let home;
let coordinator;
let trusted;
let stranger;

before(async () => {
  home = await Home.new();
  await home.write({ "notes/one.md": "# One\n\nA note to hold.\n" });
  trusted = await home.hearth("trusted", "identity", "--make");
  stranger = await home.hearth("stranger", "identity", "--make");
  coordinator = await home.start("hearth-coordinator", [
    ...["serve", "--data", home.at("coordinator"), "--trust", trusted.device_key],
    ...["--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"],
  ]);
});
after(() => home?.end());

/** Starts an agent that reports each second. */
function reporting(data) {
  const { quic, key } = coordinator.ready;
  const args = ["--coordinator", quic, "--coordinator-key", key];
  return home.up(data, { args, env: { HEARTH_COORDINATOR_REPORT_EVERY: "1s" } });
}

async function nodes() {
  const response = await fetch(new URL("/v1/nodes", coordinator.ready.http));
  assert.equal(response.status, 200);
  return (await response.json()).nodes;
}

/** Opens the fleet page, and fails when it complained about anything. */
function fleet(options, use) {
  return withPage(options, async (page) => {
    const said = complaints(page);
    await page.goto(coordinator.ready.http);
    await use(page);
    assert.deepEqual(said, [], "the page complained");
  });
}

test("a trusted node that never reported is named, and nothing is made up", () =>
  fleet({}, async (page) => {
    assert.match(await page.locator("tbody tr").textContent(), /never seen[^]*It is shown here with its first report/);
    await isAccessible(page, "never seen");
    await fitsTelephone(page, "never seen");
  }));

test("a reporting node is shown with its processor, memory and disks, and a stranger never appears", async () => {
  await reporting("stranger");
  await until("the stranger to be turned away", () => coordinator.log.includes(stranger.device_key));
  await reporting("trusted");
  const [node, ...others] = await until("a report with a measured processor", async () => {
    const known = await nodes();
    const report = known.find(({ device }) => device === trusted.node)?.report;
    return typeof report?.cpu.used_percent === "number" && report.counters.items > 0 && known;
  });
  assert.deepEqual(others, []);
  assert.ok(node.report.cpu.cores > 0 && node.report.memory.total_bytes > 0 && node.report.disks.length > 0);

  for (const javaScriptEnabled of [true, false]) {
    await fleet({ javaScriptEnabled }, async (page) => {
      const row = page.locator("tbody tr");
      assert.equal(await row.count(), 1);
      assert.match(await row.locator("th").textContent(), new RegExp(node.name));
      for (const [label, said] of [
        ["State", /fresh/],
        ["Processor", /\d+\s?%.*load \d/s],
        ["Memory", /\d.* of .*B/],
        ["Storage", /\d.*B/],
        ["Holds", /1 item/],
      ]) {
        assert.match(await row.locator(`[data-label="${label}"]`).textContent(), said, label);
      }
      assert.ok(!(await page.content()).includes(stranger.node), "the stranger is shown");
    });
  }
  await fleet({}, async (page) => {
    await isAccessible(page, "a reporting node");
    await fitsTelephone(page, "a reporting node");
  });
});
