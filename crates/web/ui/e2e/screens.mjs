// Pictures of the page's main states, for docs/screens and for whoever looks whether they are well: `npm run screens FOLDER`.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { box, launch, open, say, Server, session } from "./server.mjs";

const folder = process.argv[2] ?? "screens";
mkdirSync(folder, { recursive: true });
const server = new Server();
await server.start();
const browser = await launch();
process.exitCode = 1;
try {
  const size = { viewport: { width: 1280, height: 800 } };
  const shot = (page, name) => page.screenshot({ path: join(folder, `${name}.png`) });
  const allow = async (page) => {
    const question = page.getByRole("log").getByRole("group", { name: /asks/ });
    await question.getByRole("button", { name: /allow/i }).first().click();
    await question.waitFor({ state: "detached" });
  };
  const idle = (page) => page.getByRole("button", { name: "Send", exact: true }).waitFor();
  const agent = (page, name) => page.getByLabel("Agent").selectOption(name);

  const page = await open(browser, server, { ...size, colorScheme: "light" });
  await page.getByLabel("Folder of a git repository").waitFor();
  await shot(page, "first-run");
  await page.getByLabel("Folder of a git repository").fill(server.project);
  await page.keyboard.press("Enter");
  await page.getByText("Nothing said yet").waitFor();
  await shot(page, "empty-session");

  await say(page, "say Here is **what I found**:\nsay \nsay \nsay 1. a list\nsay 2. and `code`\nplan\nthink about it for a while\nshell ls");
  await idle(page);
  await say(page, "edit lines.txt line 5 => five");
  await page.getByRole("log").getByRole("group", { name: /asks/ }).waitFor();
  await shot(page, "question");
  await page.getByRole("button", { name: /Questions/ }).click();
  await shot(page, "inbox");
  await page.getByRole("button", { name: "Close questions" }).click();
  await allow(page);
  await idle(page);
  await agent(page, "other");
  await say(page, "edit lines.txt line 30 => thirty");
  await allow(page);
  await page.getByText("Changes from demo, other").waitFor();
  await idle(page);
  await shot(page, "change");
  await page.getByRole("button", { name: "Both sides beside each other" }).click();
  await page.getByRole("button", { name: "Checkpoints" }).click();
  await page.getByRole("button", { name: "What it changed" }).last().click();
  await page.getByText(/thirty/).last().waitFor();
  await shot(page, "checkpoints");
  await page.getByRole("button", { name: "Checkpoints" }).click();
  await page.getByRole("button", { name: "Both sides beside each other" }).click();
  await agent(page, "demo");
  await say(page, "sleep 600000");
  await page.getByRole("button", { name: "Stop", exact: true }).waitFor();
  await say(page, "say this one waits");
  await page.getByText("queued", { exact: true }).waitFor();
  await shot(page, "queue");
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.getByRole("button", { name: "Retry" }).waitFor();
  await idle(page);
  await shot(page, "cancelled");
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Find a session or a command").waitFor();
  await shot(page, "palette");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Changes", exact: true }).click();
  await page.getByRole("button", { name: "Split the pane" }).click();
  await page.getByRole("log").last().getByText("this one waits").last().waitFor();
  await page.emulateMedia({ colorScheme: "dark" });
  await shot(page, "panes-dark");
  await page.getByRole("button", { name: "Close the pane" }).last().click();
  await server.stop("SIGKILL");
  await page.getByText("offline, trying again").waitFor();
  await shot(page, "offline-dark");
  await server.start();
  await page.getByText("online", { exact: true }).waitFor();

  await page.setViewportSize({ width: 390, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });
  await box(page).waitFor();
  await shot(page, "small");
  await page.getByRole("button", { name: "Changes", exact: true }).click();
  await shot(page, "small-changes");
  await page.getByRole("button", { name: "Changes", exact: true }).click();
  await page.getByRole("button", { name: "Projects and sessions" }).click();
  await shot(page, "small-sessions");
  process.exitCode = 0;
} finally {
  await browser.close();
  await server.close();
}
