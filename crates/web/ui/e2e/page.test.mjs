// The page in a real Chromium, on a real server with an empty data directory and the demo agent. Nothing here sleeps:
// each step waits for what it relies on.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { box, launch, open as openIn, say, Server, session } from "./server.mjs";

const server = new Server();
let browser;

const open = (options) => openIn(browser, server, options);
const answer = (page, text) => page.getByRole("article", { name: "demo" }).filter({ hasText: text });
const button = (page, name) => page.getByRole("button", { name, exact: true });

before(async () => {
  await server.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server.close();
});

test("from the first opening to the first answer, by keyboard alone", async () => {
  const page = await open();
  await page.getByLabel("Folder of a git repository").focus();
  await page.keyboard.type(server.project);
  await page.keyboard.press("Enter");
  await page.getByText("Nothing said yet").waitFor();
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
  await page.keyboard.type("say **hello** you");
  await page.keyboard.press("Enter");
  await answer(page, "hello you").waitFor();
  assert.equal(await page.locator("article strong").textContent(), "hello");
  assert.ok(!page.url().includes("token"), "the token leaves the address");
  assert.deepEqual(page.elsewhere, [], "no request leaves the machine");
  await page.context().close();
});

test("a permission is allowed, and two browsers agree; the change is applied and reverted", async () => {
  const page = await open();
  await session(page);
  await say(page, "write allowed.txt some text");
  const other = await open();
  await other.goto(page.url());
  const question = (it) => it.getByRole("group", { name: /demo asks/ });
  await question(page).waitFor();
  await question(other).waitFor();
  await question(other).getByRole("button", { name: /allow/i }).first().click();
  await question(page).waitFor({ state: "detached" });
  await question(other).waitFor({ state: "detached" });
  await button(page, "Apply allowed.txt").click();
  await button(page, "Revert allowed.txt").waitFor();
  assert.match(await readFile(join(server.project, "allowed.txt"), "utf8"), /some text/);
  await button(page, "Revert allowed.txt").click();
  await page.getByRole("complementary").getByText("reverted", { exact: true }).waitFor();
  await assert.rejects(readFile(join(server.project, "allowed.txt")));
  await page.context().close();
  await other.context().close();
});

test("a permission is rejected, and nothing is written", async () => {
  const page = await open();
  await session(page);
  await say(page, "write rejected.txt some text");
  await page.getByRole("group", { name: /demo asks/ }).getByRole("button", { name: /reject|deny/i }).first().click();
  await page.getByRole("group", { name: /demo asks/ }).waitFor({ state: "detached" });
  await button(page, "Send").waitFor();
  await page.getByText("Nothing yet.").waitFor();
  await page.context().close();
});

test("the one button sends, queues and stops", async () => {
  const page = await open();
  await session(page);
  await say(page, "sleep 600000");
  await button(page, "Stop").waitFor();
  await box(page).fill("say the second");
  await button(page, "Queue").click();
  await page.getByText("queued", { exact: true }).waitFor();
  await button(page, "Stop").click();
  await answer(page, "the second").waitFor();
  await page.getByText(/cancelled, decided by user/).waitFor();
  await page.context().close();
});

test("a draft survives a reload", async () => {
  const page = await open();
  await session(page);
  await box(page).fill("not sent yet");
  await page.reload();
  await page.waitForFunction(() => document.querySelector("textarea")?.value === "not sent yet");
  await page.context().close();
});

test("a server that is killed under an open question is resumed without a doubled line", async () => {
  const page = await open();
  await session(page);
  await say(page, "say before the end\nwrite late.txt x\nsay after the end");
  const question = page.getByRole("group", { name: /demo asks/ });
  await question.waitFor();
  await server.stop("SIGKILL");
  await page.getByText("offline, trying again").waitFor();
  await answer(page, "before the end").waitFor();
  await server.start();
  await page.getByText("online", { exact: true }).waitFor();
  await question.getByRole("button", { name: /allow/i }).first().click();
  await answer(page, "after the end").waitFor();
  await button(page, "Send").waitFor();
  const text = await page.getByRole("log").textContent();
  assert.equal(text.split("before the end").length - 1, 2, `once as asked and once as answered: ${text}`);
  await page.context().close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds no serious fault in ${colorScheme}`, async () => {
    const page = await open({ colorScheme });
    await session(page);
    await say(page, "say `code` and [a link](https://example.org)\nwrite axe.txt x");
    await page.getByRole("group", { name: /demo asks/ }).waitFor();
    const check = async () => {
      const { violations } = await new AxeBuilder({ page }).analyze();
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`), []);
    };
    await check();
    await page.getByRole("group", { name: /demo asks/ }).getByRole("button", { name: /allow/i }).first().click();
    await button(page, "Apply axe.txt").waitFor();
    await check();
    await page.context().close();
  });
}

test("two agents on one file have a badge each, and each hunk is decided on its own", async () => {
  const page = await open();
  await session(page);
  const edit = async (agent, text) => {
    await page.getByLabel("Agent").selectOption(agent);
    await say(page, text);
    await page.getByRole("group", { name: `${agent} asks` }).getByRole("button", { name: /allow/i }).first().click();
    await button(page, "Send").waitFor();
  };
  await edit("demo", "edit lines.txt line 5 => five");
  await edit("other", "edit lines.txt line 30 => thirty");
  await page.getByText("Changes from demo, other").waitFor();
  const hunk = (number) => page.getByRole("region", { name: `Hunk ${number} of lines.txt` });
  await hunk(1).getByText("demo", { exact: true }).waitFor();
  await hunk(2).getByText("other", { exact: true }).waitFor();
  await button(page, "Apply hunk 2 of lines.txt").click();
  await hunk(2).getByText("applied", { exact: true }).waitFor();
  await button(page, "Reject hunk 1 of lines.txt").click();
  await hunk(1).getByText("rejected", { exact: true }).waitFor();
  const text = await readFile(join(server.project, "lines.txt"), "utf8");
  assert.ok(text.includes("thirty") && text.includes("line 5\n"), text);
  await button(page, "Revert hunk 2 of lines.txt").click();
  await page.getByRole("complementary").getByText("reverted", { exact: true }).first().waitFor();
  assert.ok((await readFile(join(server.project, "lines.txt"), "utf8")).includes("line 30\n"));
  await page.context().close();
});
