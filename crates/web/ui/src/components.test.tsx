// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { Badge } from "./Changes";
import { Composer } from "./Composer";
import { EntryView, Tool } from "./Entry";
import { Markdown } from "./Markdown";
import { Missing } from "./Agents";
import { Question } from "./Question";
import { EMPTY, reduce, type Entry } from "./timeline";
import type { Frame, Interaction, Provider, ToolCall } from "./generated/wire";

afterEach(() => {
  cleanup();
  localStorage.clear();
  vi.unstubAllGlobals();
});

const provider = (name: string, more: Partial<Provider> = {}): Provider => ({
  name, label: name, enabled: true, status: "ready", models: [], modes: [], thinking_options: [], commands: [], ...more,
});

const composer = (more: Partial<Parameters<typeof Composer>[0]> = {}) =>
  render(<Composer sessionId="s" chatId="c" agent="demo" setAgent={() => {}} providers={[provider("demo")]} running={undefined} chip={undefined} commands={undefined} options={undefined} online gone={false} sent={() => {}} showAgents={() => {}} {...more} />);

it.each(["history", "new session", "resumed", "resumed, last active 3m ago"])("the chip says %s", (chip) => {
  composer({ chip });
  expect(screen.getByText(chip).className).toBe("badge");
});

it("there is no chip on a fresh chat", () => {
  const { container } = composer();
  expect(container.querySelector(".badge")).toBeNull();
});

it("the one button is what makes sense", () => {
  const { rerender } = composer();
  const again = (running: string | undefined) =>
    rerender(
      <Composer sessionId="s" chatId="c" agent="demo" setAgent={() => {}} providers={[]} running={running} chip={undefined} commands={undefined} options={undefined}
        online gone={false} sent={() => {}} showAgents={() => {}} />,
    );
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Send" }).disabled).toBe(true);
  again("task");
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Stop" }).disabled).toBe(false);
  fireEvent.change(screen.getByRole("textbox"), { target: { value: "more" } });
  screen.getByRole("button", { name: "Queue" });
  again(undefined);
  screen.getByRole("button", { name: "Send" });
});

it("an agent that cannot be had is shown with the reason and the way to mend it", () => {
  composer({ agent: "goose", providers: [provider("demo"), provider("goose", { status: "unavailable", reason: "goose was not found", hint: "get it" }), provider("off", { enabled: false })] });
  const option = (name: RegExp) => screen.getByRole<HTMLOptionElement>("option", { name });
  expect(option(/goose \(not installed\)/).disabled && option(/off \(disabled\)/).disabled).toBe(true);
  screen.getByText("goose was not found", { exact: false });
  screen.getByText("get it");
});

it("what was picked goes with the message, as long as the agent offers it", async () => {
  const sent: unknown[] = [];
  vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
    sent.push(JSON.parse(String(init.body)));
    return Promise.resolve(new Response("{}"));
  });
  localStorage.setItem("mode:demo", "gone");
  composer({ providers: [provider("demo", { modes: [{ id: "plan", name: "Plan" }], models: [{ id: "big", name: "Big" }] })] });
  fireEvent.change(screen.getByRole("combobox", { name: "Model" }), { target: { value: "big" } });
  fireEvent.change(screen.getByRole("textbox"), { target: { value: "hello" } });
  fireEvent.keyDown(screen.getByRole("textbox"), { key: "Enter" });
  await vi.waitFor(() => expect(sent).toHaveLength(1));
  expect(sent[0]).toMatchObject({ content: "hello", agent: "demo", chat_id: "c", model: "big", approval: "ask" });
  expect(sent[0]).not.toHaveProperty("mode_id");
});

it("badges name an agent, or that it was a human", () => {
  const { container } = render(<><Badge agent="qwen" /><Badge agent={null} /></>);
  expect([...container.querySelectorAll(".badge")].map((badge) => [badge.textContent, badge.classList.contains("agent")])).toEqual([["qwen", true], ["manual", false]]);
});

it("a tool call is one card whose state is its last", () => {
  const call = (status: string, output: unknown): ToolCall => ({
    id: "1", title: "Edit a.txt", kind: "edit", status, input: { path: "a.txt" }, output, locations: [{ path: "a.txt" }],
    content: [{ type: "diff", path: "a.txt", old_text: "old\n", new_text: "new\n" }],
  });
  const frame = (seq: number, it: ToolCall): Frame => ({ seq, type: "tool_call", tool_call: it, chat_id: "c", message_id: "m", task_id: "t" });
  const { entries } = reduce(EMPTY, [frame(1, call("pending", null)), frame(2, call("in_progress", null)), frame(3, call("completed", "\u001b[32mdone\u001b[0m"))]);
  const parts = (entries[0] as Entry).parts;
  expect(parts).toHaveLength(1);
  const { container } = render(<>{parts.map((part, index) => part.kind === "tool" && <Tool key={index} call={part.call} />)}</>);
  expect(container.querySelector("summary")?.textContent).toContain("Edit a.txt completed");
  expect(container.textContent).toContain("Output" + "done");
  expect([...container.querySelectorAll(".diff span")].map((line) => [line.className, line.textContent])).toEqual([["del", "-old\n"], ["add", "+new\n"]]);
});

it("a tool call shows what its terminal said", () => {
  const call: ToolCall = {
    id: "1", title: "ls", kind: "execute", status: "completed", input: null, output: null, locations: [],
    content: [{ type: "terminal", terminal_id: "t" }, { type: "content", content: { type: "text", text: "\u001b[1ma.txt\u001b[0m\n" } }],
  };
  const { container } = render(<Tool call={call} />);
  expect(container.querySelector("pre.terminal")?.textContent).toBe("a.txt\n");
});

it("a turn that did not come to its end says who decided that, and can be asked for again", () => {
  const entry: Entry = { id: "m", chatId: "c", taskId: "t", role: "assistant", agent: "demo", parts: [], status: "failed", error: "it broke", settling: false };
  const asked: Entry = { ...entry, id: "q", role: "user", parts: [{ kind: "text", text: "do it" }] };
  render(<EntryView entry={entry} state="failed" outcome={{ decided_by: "watchdog", reason: "it took too long" }} sessionId="s" asked={asked} dropped={false} asks={false} />);
  screen.getByText(/failed, decided by watchdog: it took too long/);
  screen.getByRole("button", { name: "Retry" });
});

it("what is typed while a message is on its way stays, and what cannot be sent comes back", async () => {
  let answer: ((response: Response) => void) | undefined;
  vi.stubGlobal("fetch", () => new Promise<Response>((done) => { answer = done; }));
  composer();
  const box = screen.getByRole<HTMLTextAreaElement>("textbox");
  fireEvent.change(box, { target: { value: "first" } });
  fireEvent.keyDown(box, { key: "Enter" });
  expect(box.value).toBe("");
  fireEvent.change(box, { target: { value: "second" } });
  await vi.waitFor(() => expect(answer).toBeDefined());
  answer?.(new Response('{"error":"the database is away","code":"database_unreachable"}', { status: 503 }));
  await screen.findByText("the database is away");
  expect(box.value).toBe("first\nsecond");
});

it("messages go one after the other", async () => {
  const sent: string[] = [];
  const answers: (() => void)[] = [];
  vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
    sent.push((JSON.parse(String(init.body)) as { content: string }).content);
    return new Promise<Response>((done) => answers.push(() => done(new Response("{}"))));
  });
  composer();
  const box = screen.getByRole<HTMLTextAreaElement>("textbox");
  for (const text of ["first", "second"]) {
    fireEvent.change(box, { target: { value: text } });
    fireEvent.keyDown(box, { key: "Enter" });
  }
  await vi.waitFor(() => expect(sent).toEqual(["first"]));
  answers[0]?.();
  await vi.waitFor(() => expect(sent).toEqual(["first", "second"]));
});

it("a form has what its schema asks for, and is not sent without what is needed", async () => {
  const sent: unknown[] = [];
  const fetched = vi.spyOn(globalThis, "fetch").mockImplementation((_, init) => {
    sent.push(JSON.parse(init?.body as string));
    return Promise.resolve(new Response("{}"));
  });
  const schema = {
    type: "object",
    required: ["name", "count"],
    properties: {
      name: { type: "string", title: "Name" },
      count: { type: "integer", default: 3, minimum: 1 },
      colour: { type: "string", oneOf: [{ const: "r", title: "Red" }, { const: "g", title: "Green" }] },
      sure: { type: "boolean" },
      parts: { type: "array", items: { enum: ["a", "b"] } },
    },
  };
  const asked: Interaction = { id: "i", session_id: "s", chat_id: "c", task_id: "t", agent: "demo", kind: "elicitation", title: "Which?", schema, created_at: "2026-01-01T00:00:00Z" };
  const { getByLabelText, getByRole } = render(<Question question={asked} />);
  const accept = getByRole("button", { name: "Accept" });
  fireEvent.click(accept);
  expect(sent).toEqual([]);
  fireEvent.change(getByLabelText(/Name/), { target: { value: "x" } });
  fireEvent.change(getByLabelText("colour"), { target: { value: "g" } });
  fireEvent.click(getByLabelText("b"));
  fireEvent.click(accept);
  await vi.waitFor(() => expect(sent).toEqual([{ action: "accept", content: { name: "x", count: 3, colour: "g", sure: false, parts: ["b"] } }]));
  fetched.mockRestore();
});

it("an address is a link only if a browser may open it", () => {
  const asked: Interaction = { id: "i", session_id: "s", chat_id: "c", task_id: "t", agent: "demo", kind: "elicitation", title: "Go", url: "javascript:alert(1)", created_at: "2026-01-01T00:00:00Z" };
  const { container, rerender } = render(<Question question={asked} />);
  expect(container.querySelector("a")).toBeNull();
  rerender(<Question question={{ ...asked, url: "https://example.org/" }} />);
  expect(container.querySelector("a")?.getAttribute("href")).toBe("https://example.org/");
});

it("what a picker leaves as it is, is named; what was picked is the chat's own", () => {
  const modes = [{ id: "ask", name: "Ask" }, { id: "auto", name: "Auto" }];
  const options = [{ id: "mode", name: "Mode", category: "mode", value: "auto", choices: modes }];
  composer({ options });
  screen.getByRole("option", { name: "as it is (Auto)" });
  fireEvent.change(screen.getByLabelText("Mode"), { target: { value: "ask" } });
  cleanup();
  composer({ options, chatId: "other" });
  expect(screen.getByLabelText<HTMLSelectElement>("Mode").value).toBe("");
});

it("completions are sent away by Escape until one types on", () => {
  composer({ commands: [{ name: "compact", description: "less", hint: "[how]" }] });
  const box = screen.getByLabelText("Message");
  fireEvent.change(box, { target: { value: "/c" } });
  expect(screen.getByRole("option", { name: /compact/ }).textContent).toBe("/compact [how] less");
  fireEvent.keyDown(box, { key: "Escape" });
  expect(screen.queryByRole("option", { name: /compact/ })).toBeNull();
  fireEvent.change(box, { target: { value: "/co" } });
  screen.getByRole("option", { name: /compact/ });
});

it("only what a browser may open elsewhere is a link", () => {
  const { container } = render(<Markdown text={"![logo](https://example.org/a.png) [run](javascript:alert(1)) ![x](data:image/png;base64,AA==) [here](#x)"} streaming={false} />);
  expect([...container.querySelectorAll("a")].map((it) => [it.getAttribute("href"), it.target, it.rel])).toEqual([["https://example.org/a.png", "_blank", "noreferrer noopener"]]);
});

it("agents that cannot be chosen say why, and how to have them", () => {
  const { container } = render(<Missing providers={[provider("demo"), provider("off", { enabled: false }), provider("goose", { status: "not_found", reason: "not found on PATH", hint: "npm i goose" })]} />);
  expect([...container.querySelectorAll("dd")].map((it) => it.textContent)).toEqual(["disabled in the configuration", "not found on PATHnpm i goose"]);
});
