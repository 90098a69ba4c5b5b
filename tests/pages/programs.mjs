// Runs the real programs for page tests: in a temporary folder, on free ports of loopback, and ended on every way out.
//
// `HEARTH_BIN_DIR` says where the programs are. Nothing here sleeps for a fixed time: waiting asks again until a limit.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BIN = process.env.HEARTH_BIN_DIR || fileURLToPath(new URL("../../target/release", import.meta.url));

/** Far beyond what anything here takes; a wait that reaches it has failed. */
const PATIENCE_MS = 60_000;

/** Asks until the answer is truthy, and returns it. */
export async function until(what, ask) {
  const limit = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < limit, `waited in vain for ${what}`);
    await pause(50);
  }
}

/** A temporary home with what runs in it; `end` kills that and removes the folder. */
export class Home {
  #children = [];

  static async new() {
    const home = new Home();
    home.dir = await mkdtemp(join(tmpdir(), "hearth-pages-"));
    return home;
  }

  /** Writes files, given as `{ "notes/a.md": "text" }`. */
  async write(files) {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(this.dir, path)), { recursive: true });
      await writeFile(join(this.dir, path), text);
    }
  }

  at(path) {
    return join(this.dir, path);
  }

  /** Starts a program and waits for the JSON line that says it is ready. */
  async start(program, args, env = {}) {
    const child = spawn(join(BIN, program), args, { env: this.#env(env), stdio: ["ignore", "pipe", "pipe"] });
    const running = { child, log: "" };
    this.#children.push(running);
    running.ended = new Promise((ended) => {
      child.once("exit", ended);
      child.once("error", (error) => {
        running.log += `${error}`;
        ended();
      });
    });
    let line;
    createInterface({ input: child.stdout }).on("line", (said) => (line ??= said));
    child.stderr.on("data", (bytes) => (running.log += bytes));
    running.ready = JSON.parse(
      await until(`${program} to be ready`, () => {
        assert.ok(child.exitCode === null && child.pid, `${program} ended: ${running.log}`);
        return line;
      }),
    );
    return running;
  }

  /** Runs the command on a data folder of this home and returns the JSON it writes. */
  async hearth(data, ...args) {
    const { stdout } = await promisify(execFile)(join(BIN, "hearth"), ["--data", this.at(data), "--json", ...args], {
      env: this.#env({}),
      timeout: PATIENCE_MS,
    });
    return JSON.parse(stdout);
  }

  /** Starts an agent that captures the folder `notes`. */
  up(data, { args = [], env = {} } = {}) {
    const own = ["--data", this.at(data), "--folder", this.at("notes"), "--listen", "127.0.0.1:0"];
    return this.start("hearth", ["up", "--yes", ...own, ...args], env);
  }

  /** Waits until so many items can be found by meaning. */
  settled(data, items) {
    return until(`${items} items`, async () => {
      const status = await this.hearth(data, "status");
      return status.items >= items && status.pending === 0 && status.activity === "idle" && status;
    });
  }

  async end() {
    for (const { child } of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map(({ ended }) => ended));
    await rm(this.dir, { recursive: true, force: true });
  }

  // Nothing of the person who runs the tests: neither settings nor folders.
  #env(env) {
    return { PATH: "/usr/bin:/bin", HOME: this.dir, ...env };
  }
}
