// A real server with an empty data directory and one project, and a browser: what the tests stand on.
// BOOCODER names the program, CHROMIUM the browser.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const program = process.env.BOOCODER;
assert.ok(program, "BOOCODER has to name the program under test");
// The server gets a database of its own, whatever the caller uses.
const { DATABASE_URL: _, ...env } = process.env;

/** The server under test. `url` is the address that it printed, with its token. */
export class Server {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "boocoder-page-"));
    // Where the tests run as root, the database runs as an account of its own that has to get in.
    chmodSync(this.folder, 0o711);
    this.project = join(this.folder, "project");
    const git = (...args) => execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args]);
    git("init", "-q", this.project);
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index + 1}\n`);
    writeFileSync(join(this.project, "lines.txt"), lines.join(""));
    git("-C", this.project, "add", "--all");
    git("-C", this.project, "commit", "-q", "-m", "start");
    // A second agent, which is the same program under another name.
    this.config = join(this.folder, "config.toml");
    writeFileSync(this.config, `[agents.other]\ncommand = ${JSON.stringify(program)}\nargs = ["demo-agent"]\nprotocol = "acp"\n`);
  }

  /** Starts it, on its former port if it had one, and waits until it has printed its address. */
  async start() {
    const port = this.url === undefined ? 0 : new URL(this.url).port;
    this.process = spawn(program, ["--data-dir", join(this.folder, "data"), "--config", this.config, "serve", "--listen", `127.0.0.1:${port}`], {
      stdio: ["ignore", "pipe", "inherit"],
      env,
    });
    for await (const line of createInterface({ input: this.process.stdout })) {
      if (line.startsWith("http")) {
        this.url = line.trim();
        return;
      }
    }
    throw new Error("the server ended without an address");
  }

  /** Asks it without a page. */
  async call(path, body) {
    const { origin, searchParams } = new URL(this.url);
    const headers = { authorization: `Bearer ${searchParams.get("token")}` };
    const init = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
    const response = await fetch(origin + path, init);
    assert.ok(response.ok, `${path}: ${response.status}`);
    return response.json();
  }

  /** Ends it by this signal, and waits until it has gone. */
  async stop(signal) {
    const { process } = this;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const gone = once(process, "exit");
    process.kill(signal);
    await gone;
  }

  /** Ends it for good. */
  async close() {
    await this.stop("SIGTERM");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// The driver does not look on PATH.
const found = () => execFileSync("sh", ["-c", 'command -v "$0"', process.env.CHROMIUM ?? "chromium"], { encoding: "utf8" }).trim();

export const launch = () => chromium.launch({ executablePath: found(), args: ["--no-sandbox"] });

/** Opens the page in a browser context of its own. */
export async function open(browser, server, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  // A step that does not come about says which one it was, long before the whole run is cut off.
  page.setDefaultTimeout(20_000);
  page.elsewhere = [];
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== "data:" && host !== new URL(server.url).host) page.elsewhere.push(request.url());
  });
  await page.goto(server.url);
  return page;
}

/** Where messages are written, in the pane that is open. */
export const box = (page) => page.getByRole("textbox", { name: "Message", exact: true });

export async function say(page, text) {
  await box(page).fill(text);
  await box(page).press("Enter");
}

/** A new session in the project, which has to be open already. */
export async function session(page) {
  await page.getByRole("button", { name: "New session in project", exact: true }).click();
  await page.getByText("Nothing said yet").waitFor();
}
