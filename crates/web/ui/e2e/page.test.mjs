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
  const { y, height } = await question(page).getByRole("button", { name: "Cancel" }).boundingBox();
  assert.ok(y + height <= (await box(page).boundingBox()).y, "all of the question is in view");
  await question(other).getByRole("button", { name: /allow/i }).first().click();
  await question(page).waitFor({ state: "detached" });
  await question(other).waitFor({ state: "detached" });
  await page.getByRole("log").getByText(/allowed.txt: .*, decided by user/).waitFor();
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

test("a chat is closed only by one who is sure, and the last one makes room for a new one", async () => {
  const page = await open();
  await session(page);
  await say(page, "say a title of its own");
  await page.getByRole("navigation", { name: "Chats" }).getByRole("button", { name: "say a title of its own", exact: true }).waitFor();
  const ask = async () => {
    await page.getByRole("button", { name: /^Chat .*: more$/ }).click();
    await page.getByRole("menuitem", { name: "Close the chat" }).click();
  };
  await ask();
  await page.keyboard.press("Escape");
  await answer(page, "a title of its own").waitFor();
  await ask();
  await page.getByRole("dialog").getByRole("button", { name: "Close it" }).click();
  await page.getByText("No chat is left here").waitFor();
  await page.getByRole("main").getByRole("button", { name: "New chat" }).click();
  await say(page, "say in a new one");
  await answer(page, "in a new one").waitFor();
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

test("a message whose answer was lost is sent again, and said once; a command shows what it says while it runs", async () => {
  const page = await open();
  await session(page);
  await page.route("**/messages", async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await say(page, "shell echo begun; sleep 600");
  await page.getByText("The server cannot be reached.").waitFor();
  await page.waitForFunction(() => document.querySelector("textarea")?.value.startsWith("shell echo begun"));
  await box(page).press("Enter");
  const tool = page.getByRole("log").locator("details.card");
  await tool.locator("summary").click();
  await tool.locator("pre.terminal").getByText("begun").waitFor();
  assert.equal(await page.getByRole("article", { name: "you" }).count(), 1);
  assert.equal(await page.getByText("queued", { exact: true }).count(), 0);
  await button(page, "Stop").click();
  await page.getByText(/cancelled, decided by user/).waitFor();
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
    await page.getByRole("button", { name: /^Questions/ }).click();
    await page.getByRole("region", { name: "Questions" }).getByRole("group", { name: /demo asks/ }).waitFor();
    await check();
    await page.getByRole("button", { name: "Close questions" }).click();
    await page.getByRole("group", { name: /demo asks/ }).getByRole("button", { name: /allow/i }).first().click();
    await button(page, "Apply axe.txt").waitFor();
    await button(page, "Checkpoints").click();
    await button(page, "Go back to after turn 1").waitFor();
    await button(page, "Both sides beside each other").click();
    await check();
    await page.keyboard.press("Control+k");
    await page.getByPlaceholder("Find a session or a command").waitFor();
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

test("a message that waits is changed, and another one dropped", async () => {
  const page = await open();
  await session(page);
  await say(page, "sleep 600000");
  await button(page, "Stop").waitFor();
  await say(page, "say as first written");
  await button(page, "Edit the waiting message").click();
  await page.getByRole("textbox", { name: "The waiting message" }).fill("say as it is now");
  await button(page, "Save").click();
  await page.getByRole("article", { name: "You" }).getByText("say as it is now").waitFor();
  await say(page, "say nothing of this");
  await page.getByRole("button", { name: "Move the waiting message up" }).click();
  await page.waitForFunction(() => /nothing of this[^]*as it is now/.test(document.querySelector("[role=log]").textContent));
  await page.getByRole("article", { name: "You" }).filter({ hasText: "nothing of this" }).getByRole("button", { name: "Drop the waiting message" }).click();
  await page.getByText("dropped", { exact: true }).waitFor();
  await button(page, "Stop").click();
  await answer(page, "as it is now").waitFor();
  await button(page, "Send").waitFor();
  assert.equal(await answer(page, "nothing of this").count(), 0);
  await button(page, "Retry").click();
  await button(page, "Stop").click();
  await page.getByText(/cancelled, decided by user/).nth(1).waitFor();
  await page.context().close();
});

test("questions of all sessions are in one place, and settle everywhere", async () => {
  const page = await open();
  await session(page);
  await say(page, "write one.txt x");
  await page.getByRole("log").getByRole("group", { name: /demo asks/ }).waitFor();
  await session(page);
  await page.getByRole("button", { name: /Questions: 1 wait/ }).click();
  const inbox = page.getByRole("region", { name: "Questions" });
  await page.waitForFunction(() => document.title.startsWith("(1) "));
  await inbox.getByRole("button", { name: /allow/i }).first().click();
  await inbox.getByText("Nothing waits for you").waitFor();
  await page.waitForFunction(() => !document.title.startsWith("("));
  await page.context().close();
});

test("panes are opened from the palette by keyboard, and stand after a reload", async () => {
  const page = await open();
  await session(page);
  await say(page, "say in the first pane");
  await answer(page, "in the first pane").waitFor();
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Find a session or a command").waitFor();
  await page.keyboard.type("split the");
  await page.keyboard.press("Enter");
  await answer(page, "in the first pane").nth(1).waitFor();
  await page.getByRole("button", { name: /^Chat .*: more$/ }).last().click();
  await page.getByRole("menuitem", { name: "Fork the chat" }).click();
  await page.locator(".pane").last().getByRole("navigation", { name: "Chats" }).locator(".tab").nth(1).waitFor();
  await answer(page, "in the first pane").nth(1).waitFor();
  await page.getByRole("button", { name: "New chat" }).last().click();
  await page.getByText("Nothing said yet").waitFor();
  assert.equal(await page.getByRole("log").count(), 2);
  await page.reload();
  await answer(page, "in the first pane").waitFor();
  await page.getByText("Nothing said yet").waitFor();
  await page.keyboard.press("Alt+1");
  await page.locator(".pane.active").getByText("in the first pane").last().waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("dark colours");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.documentElement.style.colorScheme === "dark");
  await page.context().close();
});

test("modes, commands and pictures are offered as the agent offers them", async () => {
  const page = await open();
  await session(page);
  await say(page, "commands");
  await button(page, "Send").waitFor();
  await page.getByRole("combobox", { name: "Mode", exact: true }).waitFor();
  await box(page).fill("/");
  const commands = page.getByRole("listbox", { name: "Commands" });
  await commands.getByRole("option").first().waitFor();
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => /^\/\S+ $/.test(document.querySelector("textarea").value));
  await box(page).fill("say with a picture");
  await box(page).evaluate(async (element) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const data = new DataTransfer();
    data.items.add(new File([blob], "dot.png", { type: "image/png" }));
    element.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await page.getByRole("img", { name: "picture 1" }).waitFor();
  await button(page, "Send").click();
  await page.getByRole("article", { name: "You" }).getByRole("img", { name: "attached" }).waitFor();
  await button(page, "Send").waitFor();
  await page.context().close();
});

test("one goes back to an earlier turn, and takes the work elsewhere", async () => {
  const page = await open();
  await session(page);
  await page.getByLabel("Act without asking").check();
  for (const text of ["write turn.txt first", "write turn.txt second"]) {
    await say(page, text);
    await answer(page, "turn.txt").last().waitFor();
    await button(page, "Send").waitFor();
  }
  await button(page, "Checkpoints").click();
  await button(page, "What it changed").nth(1).click();
  await page.getByRole("region", { name: "Checkpoints" }).getByText("+second").waitFor();
  await button(page, "Go back to after turn 1").click();
  await page.getByRole("dialog").getByRole("button", { name: "Go back", exact: true }).click();
  await page.getByRole("group", { name: "difference" }).getByText("+first").last().waitFor();
  await page.getByLabel("Branch").fill("agents/page");
  await button(page, "Make it").click();
  await page.getByText("The branch agents/page is made.").first().waitFor();
  await button(page, "Reject turn.txt").click();
  await page.getByRole("complementary").getByText("rejected", { exact: true }).first().waitFor();
  await page.context().close();
});

test("on a small screen nothing is cut off, and the changes are a tap away", async () => {
  const page = await open({ viewport: { width: 390, height: 760 } });
  await button(page, "Projects and sessions").click();
  await session(page);
  await say(page, "write small.txt x");
  await page.getByRole("log").getByRole("group", { name: /demo asks/ }).getByRole("button", { name: /allow/i }).first().click();
  await button(page, "Send").waitFor();
  if (!(await button(page, "Apply small.txt").isVisible())) await button(page, "Changes").click();
  await button(page, "Apply small.txt").waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
  await button(page, "Changes").click();
  await box(page).click();
  await page.context().close();
});

test("ten thousand messages are shown at once and scrolled through", async () => {
  const COUNT = 10_000;
  const page = await open();
  await session(page);
  const id = new URL(page.url()).hash.slice(1);
  // They wait for a turn that does not end, so that no time goes by on their answers.
  await say(page, "sleep 600000");
  await button(page, "Stop").waitFor();
  let sent = 0;
  const send = async () => {
    while (sent < COUNT) {
      sent += 1;
      await server.call(`/api/sessions/${id}/messages`, { content: `say message ${sent}`, agent: "demo" });
    }
  };
  await Promise.all(Array.from({ length: 8 }, send));
  await page.reload();
  const shown = page.getByRole("article", { name: "You" });
  // Those that were sent side by side may stand in another order.
  const last = Array.from({ length: 50 }, (_, index) => `message ${COUNT - index}queued`);
  await page.waitForFunction((last) => last.some((text) => document.querySelector("[role=log]")?.textContent.includes(text)), last);
  assert.ok((await shown.count()) < 100, "only what is in view is in the document");
  await page.evaluate(() => {
    globalThis.tasks = [];
    new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" });
  });
  const log = page.locator("[data-virtuoso-scroller]");
  await log.hover();
  for (let step = 0; step < 40; step += 1) await page.mouse.wheel(0, -2000);
  // The wheel may go on for a moment.
  await page.waitForFunction(() => {
    document.querySelector("[data-virtuoso-scroller]").scrollTop = 0;
    return document.querySelector("[role=log]").textContent.includes("sleep 600000");
  });
  await box(page).fill("typed all the same");
  const tasks = await page.evaluate(() => globalThis.tasks);
  console.log(`scrolling through ${COUNT} messages: longest task ${Math.max(0, ...tasks).toFixed(0)} ms`);
  await page.context().close();
});
