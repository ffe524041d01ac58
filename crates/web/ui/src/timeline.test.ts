import { describe, expect, it } from "vitest";
import { byTask, EMPTY, inChat, reduce, runningTask, withHistory, type Entry } from "./timeline";
import type { Frame, Message, ToolCall } from "./generated/wire";

const ids = { chat_id: "c", message_id: "m", task_id: "t" };
const call = (status: string): ToolCall => ({ id: "1", title: "x", kind: "edit", status, input: null, output: null, locations: [], content: [] });
const started: Frame = { seq: 1, type: "message_started", role: "assistant", agent: "demo", ...ids };
const delta = (seq: number, content: string): Frame => ({ seq, type: "delta", content, ...ids });
const resync: Frame = { seq: 9, type: "resync", reason: "compacted" };
const message: Message = {
  id: "m", chat_id: "c", task_id: "t", role: "assistant", agent: "demo", content: "so far", attachments: [], reasoning: "",
  tool_calls: [], status: "streaming", error: null, created_at: "2026-01-01T00:00:00Z", finished_at: null,
};

describe("the timeline", () => {
  it("joins deltas and parts them at a tool call", () => {
    const state = reduce(EMPTY, [started, delta(2, "a"), delta(3, "b"), { seq: 4, type: "tool_call", tool_call: call("pending"), ...ids }, delta(5, "c")]);
    expect(state.entries[0]?.parts.map((part) => (part.kind === "text" ? part.text : part.kind))).toEqual(["ab", "tool", "c"]);
  });

  it("merges a tool call by its id, in its first place", () => {
    const tool = (seq: number, status: string): Frame => ({ seq, type: "tool_call", tool_call: call(status), ...ids });
    const state = reduce(EMPTY, [started, tool(2, "pending"), delta(3, "x"), tool(4, "completed")]);
    expect(state.entries[0]?.parts).toEqual([{ kind: "tool", call: call("completed") }, { kind: "text", text: "x" }]);
  });

  it("takes no frame twice, within a batch or after a reconnect", () => {
    const once = reduce(EMPTY, [started, delta(2, "a"), delta(2, "a")]);
    expect(reduce(once, [started, delta(2, "a")])).toBe(once);
    expect(once.entries[0]?.parts).toEqual([{ kind: "text", text: "a" }]);
  });

  it("is the same however frames are batched", () => {
    const frames = [started, delta(2, "a"), delta(3, "b")];
    expect(frames.reduce((state, frame) => reduce(state, [frame]), EMPTY)).toEqual(reduce(EMPTY, frames));
  });

  it("shows no question as open once it is settled", () => {
    const interaction = { id: "i", session_id: "s", chat_id: "c", task_id: "t", agent: "demo", kind: "permission", title: "?", created_at: "" };
    const asked = reduce(EMPTY, [{ seq: 1, type: "interaction_requested", interaction }]);
    expect(asked.asked["i"]?.settled).toBeUndefined();
    const settled = reduce(asked, [{ seq: 2, type: "interaction_resolved", id: "i", outcome: { action: "cancelled" }, decided_by: "watchdog" }]);
    expect(settled.asked["i"]?.settled?.decidedBy).toBe("watchdog");
  });

  it("knows the running task of a chat until it ends", () => {
    const task = (seq: number, state: string): Frame => ({ seq, type: "task_updated", state, chat_id: "c", task_id: "t" });
    const running = reduce(EMPTY, [task(1, "running")]);
    expect(runningTask(running, "c")).toBe("t");
    expect(runningTask(running, "d")).toBeUndefined();
    expect(runningTask(reduce(running, [task(2, "failed")]), "c")).toBeUndefined();
  });

  it("throws everything away on a resync, and goes on from its number even if that is lower", () => {
    const state = reduce(reduce(EMPTY, [started, delta(20, "a")]), [resync]);
    expect([state.entries, state.seq, state.history]).toEqual([[], 9, 1]);
  });

  it("doubles nothing of a message that grew while it was read, and reads it again when it is over", () => {
    const read = withHistory(reduce(EMPTY, [resync]), [message]);
    const grown = reduce(read, [delta(10, " far")]);
    expect(grown.entries[0]?.parts).toEqual([{ kind: "text", text: "so far" }]);
    const over = reduce(grown, [{ seq: 11, type: "message_complete", status: "complete", ...ids }]);
    expect(over.history).toBe(2);
    const whole = withHistory(over, [{ ...message, content: "so far far", status: "complete" }]);
    expect(whole.entries.map((entry) => entry.parts)).toEqual([[{ kind: "text", text: "so far far" }]]);
  });

  it("passes over what it does not know", () => {
    const later = { seq: 1, type: "from_the_future" } as unknown as Frame;
    expect(reduce(EMPTY, [later])).toEqual({ ...EMPTY, seq: 1 });
  });
});

it("a forked chat shows what it began with, and then its own", () => {
  const entry = (id: string, chatId: string) => ({ id, chatId, taskId: "t", role: "user" as const, agent: "demo", parts: [], status: "complete", error: undefined, settling: false });
  const chat = (id: string, from?: string) => ({ id, session_id: "s", title: id, created_at: "2026-01-01T00:00:00Z", ...(from === undefined ? {} : { forked_from: from }) });
  const chats = [chat("a"), chat("b", "a2"), chat("c", "b1")];
  const entries = [entry("a1", "a"), entry("note", ""), entry("a2", "a"), entry("b1", "b"), entry("a3", "a"), entry("b2", "b"), entry("c1", "c")];
  const shown = (id: string) => inChat(entries, chats, id).map((it) => it.id);
  expect(shown("a")).toEqual(["a1", "note", "a2", "a3"]);
  expect(shown("b")).toEqual(["a1", "note", "a2", "b1", "b2"]);
  expect(shown("c")).toEqual(["a1", "note", "a2", "b1", "c1"]);
  expect(inChat(entries.slice(4), chats, "b").map((it) => it.id)).toEqual(["b2"]);
});

it("says how a question was settled, and by whom, where it was settled", () => {
  const interaction = {
    id: "i", session_id: "s", chat_id: "c", task_id: "t", agent: "demo", kind: "permission", title: "Edit a.txt", created_at: "2026-01-01T00:00:00Z",
    options: [{ option_id: "yes", name: "Allow this edit", kind: "allow_once" }],
  };
  const asked = reduce(EMPTY, [{ seq: 1, type: "interaction_requested", interaction, chat_id: "c" }]);
  expect(asked.asked.i?.settled).toBeUndefined();
  const settled = reduce(asked, [{ seq: 2, type: "interaction_resolved", id: "i", outcome: { action: "selected", option_id: "yes" }, decided_by: "user" }]);
  expect(settled.asked.i?.settled?.decidedBy).toBe("user");
  expect(settled.entries).toMatchObject([{ chatId: "c", role: "notice", parts: [{ text: "Edit a.txt: Allow this edit, decided by user" }] }]);
});

it("puts what belongs to one task together, where it was asked for", () => {
  const said = (id: string, taskId?: string): Entry => ({ id, chatId: "c", taskId, role: "user", agent: "demo", parts: [], status: "complete", error: undefined, settling: false });
  const entries = [said("q1", "1"), said("a1", "1"), said("q2", "2"), said("q3", "3"), said("note"), said("a2", "2"), said("a3", "3")];
  expect(byTask(entries).map((it) => it.id)).toEqual(["q1", "a1", "q2", "a2", "q3", "a3", "note"]);
});

it("forgets a plan when the next turn begins", () => {
  const planned = reduce(EMPTY, [{ seq: 1, type: "plan", chat_id: "c", entries: [{ content: "x", status: "pending", priority: "high" }] }]);
  expect(planned.plans.c).toHaveLength(1);
  expect(reduce(planned, [{ seq: 2, type: "task_updated", chat_id: "c", task_id: "t", state: "running" } as Frame]).plans.c).toEqual([]);
});
