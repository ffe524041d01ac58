// The pure core of the page: frames in, what is shown out. It has no clock, no network and no browser.
import type { Chat, Command, ConfigOption, Content, Frame, Interaction, Message, Outcome, PlanEntry, Settlement, ToolCall } from "./generated/wire";

export type Part =
  | { kind: "text" | "reasoning" | "notice"; text: string }
  | { kind: "tool"; call: ToolCall }
  | { kind: "attachment"; content: Content };

export interface Entry {
  id: string;
  chatId: string;
  taskId: string | undefined;
  role: "user" | "assistant" | "notice";
  agent: string;
  parts: Part[];
  status: string;
  error: string | undefined;
  /** The entry was read over HTTP while it grew, so deltas may be in it already: they wait for the next reading. */
  settling: boolean;
}

export interface Asked {
  question: Interaction;
  settled: { outcome: Settlement; decidedBy: string } | undefined;
}

export interface Timeline {
  seq: number;
  entries: Entry[];
  tasks: Record<string, { state: string; outcome: Outcome | undefined; chatId: string | undefined }>;
  asked: Record<string, Asked>;
  plans: Record<string, PlanEntry[]>;
  usage: Record<string, { input: number; output: number; cost: number | null; currency: string | undefined }>;
  /** What the agent of a chat told last: its slash commands, and what can be set. */
  commands: Record<string, Command[]>;
  options: Record<string, ConfigOption[]>;
  /** Grows when the pending changes, the agents' sessions, the whole history or the titles have to be fetched again. */
  pending: number;
  agents: number;
  history: number;
  titles: number;
}

export const EMPTY: Timeline = {
  seq: 0, entries: [], tasks: {}, asked: {}, plans: {}, usage: {}, commands: {}, options: {},
  pending: 0, agents: 0, history: 0, titles: 0,
};

/** Applies frames in order. One that was applied before changes nothing, so a reconnect never doubles a line. */
export function reduce(before: Timeline, frames: readonly Frame[]): Timeline {
  const fresh = frames.filter((frame) => frame.seq > before.seq || frame.type === "resync");
  if (fresh.length === 0) return before;
  const state: Timeline = { ...before, entries: [...before.entries] };
  const known = new Map(state.entries.map((entry, index) => [entry.id, index]));
  for (const frame of fresh) {
    if (frame.seq <= state.seq && frame.type !== "resync") continue;
    apply(state, known, before, frame);
    state.seq = frame.seq;
  }
  return state;
}

/** A table that may be written to: a copy of what was there before these frames, made once for all of them. */
function own<K extends "tasks" | "asked">(state: Timeline, before: Timeline, key: K): Timeline[K] {
  if (state[key] === before[key]) state[key] = { ...before[key] };
  return state[key];
}

function apply(state: Timeline, known: Map<string, number>, before: Timeline, frame: Frame): void {
  const chat = frame.chat_id ?? "";
  const add = (entry: Entry) => {
    if (known.has(entry.id)) return;
    known.set(entry.id, state.entries.push(entry) - 1);
  };
  const edit = (change: (parts: Part[]) => Part[]) => {
    if (frame.message_id === undefined) return;
    if (!known.has(frame.message_id)) add(blank(frame, "assistant", ""));
    const index = known.get(frame.message_id);
    const entry = index === undefined ? undefined : state.entries[index];
    if (index === undefined || entry === undefined || entry.settling) return;
    state.entries[index] = { ...entry, parts: change(entry.parts) };
  };
  const note = (text: string) => {
    if (frame.message_id !== undefined) return edit((parts) => [...parts, { kind: "notice", text }]);
    add({ ...blank(frame, "notice", ""), id: `notice-${frame.seq}`, parts: [{ kind: "notice", text }], status: "complete" });
  };
  switch (frame.type) {
    case "message_started": {
      const role = frame.role === "user" ? "user" : "assistant";
      const parts = said(frame.content, frame.attachments);
      return add({ ...blank(frame, role, frame.agent), parts, status: role === "user" ? "complete" : "streaming" });
    }
    case "delta":
      return edit((parts) => append(parts, "text", frame.content));
    case "reasoning_delta":
      return edit((parts) => append(parts, "reasoning", frame.content));
    case "attachment":
    case "user_content":
      return edit((parts) => [...parts, { kind: "attachment", content: frame.content }]);
    case "tool_call":
      return edit((parts) => merge(parts, frame.tool_call));
    case "plan":
      state.plans = { ...state.plans, [chat]: frame.entries };
      return;
    case "usage": {
      const { input_tokens: input, output_tokens: output, cost, currency } = frame;
      state.usage = { ...state.usage, [chat]: { input, output, cost, currency } };
      return;
    }
    case "notice":
      return note(frame.message);
    case "compaction":
      return note(frame.summary ?? `The agent compacts its context${frame.status ? ` (${frame.status})` : ""}.`);
    case "unmapped":
      return note(`The agent sent something that this version does not know: ${frame.kind}`);
    case "interaction_requested":
      own(state, before, "asked")[frame.interaction.id] = { question: frame.interaction, settled: undefined };
      return;
    case "interaction_resolved": {
      const asked = state.asked[frame.id];
      const settled = { outcome: frame.outcome, decidedBy: frame.decided_by };
      if (asked === undefined) return;
      own(state, before, "asked")[frame.id] = { ...asked, settled };
      const option = asked.question.options?.find((it) => it.option_id === frame.outcome.option_id);
      add({
        ...blank(frame, "notice", ""), id: `answer-${frame.id}`, chatId: asked.question.chat_id ?? chat, status: "complete",
        parts: [{ kind: "notice", text: `${asked.question.title}: ${option?.name ?? frame.outcome.action}, decided by ${frame.decided_by}` }],
      });
      return;
    }
    case "message_complete": {
      const index = frame.message_id === undefined ? undefined : known.get(frame.message_id);
      const entry = index === undefined ? undefined : state.entries[index];
      if (index === undefined || entry === undefined) return;
      if (entry.settling) state.history += 1;
      state.entries[index] = { ...entry, status: frame.status, error: frame.error };
      return;
    }
    case "task_updated": {
      const task = frame.task_id;
      if (task === undefined) return;
      own(state, before, "tasks")[task] = { state: frame.state, outcome: frame.outcome, chatId: frame.chat_id };
      // A plan is one turn's.
      if (frame.state === "running" && state.plans[chat] !== undefined) state.plans = { ...state.plans, [chat]: [] };
      return;
    }
    case "pending_changed":
      state.pending += 1;
      return;
    case "agent_session_updated":
      state.agents += 1;
      return;
    case "resync": {
      const { pending, agents, history, titles } = state;
      known.clear();
      const again = { pending: pending + 1, agents: agents + 1, history: history + 1, titles: titles + 1 };
      Object.assign(state, EMPTY, { entries: [], tasks: {}, asked: {}, ...again });
      return;
    }
    case "agent_commands":
      state.commands = { ...state.commands, [chat]: frame.commands };
      return;
    case "config_options":
      state.options = { ...state.options, [chat]: frame.options };
      return;
    case "message_edited": {
      edit(() => said(frame.content, frame.attachments));
      const index = frame.message_id === undefined ? undefined : known.get(frame.message_id);
      const entry = index === undefined ? undefined : state.entries[index];
      if (index !== undefined && entry !== undefined && frame.agent !== undefined) state.entries[index] = { ...entry, agent: frame.agent };
      return;
    }
    case "renamed":
      state.titles += 1;
      return;
    case "mode_changed":
    case "agent_title":
      return;
    default:
      // A newer server may send a type that this page does not know; the contract says to pass over it.
      return ignore(frame);
  }
}

function ignore(_unknown: never): void {}

/**
 * Puts what was read over HTTP in place of what frames told, for a session whose log no longer reaches back. What no frame
 * told of stands before the rest, so pages may come one after the other, the latest first.
 */
export function withHistory(state: Timeline, messages: readonly Message[]): Timeline {
  const read = new Map(messages.map((message) => [message.id, fromMessage(message)]));
  const known = state.entries.map((entry) => {
    const again = read.get(entry.id);
    read.delete(entry.id);
    return again ?? entry;
  });
  return { ...state, entries: [...read.values(), ...known] };
}

function said(content: string | undefined, attachments: Content[] | undefined): Part[] {
  const parts: Part[] = content === undefined || content === "" ? [] : [{ kind: "text", text: content }];
  for (const attachment of attachments ?? []) parts.push({ kind: "attachment", content: attachment });
  return parts;
}

function fromMessage(message: Message): Entry {
  const parts: Part[] = [];
  if (message.reasoning) parts.push({ kind: "reasoning", text: message.reasoning });
  for (const call of message.tool_calls) parts.push({ kind: "tool", call });
  if (message.content) parts.push({ kind: "text", text: message.content });
  for (const content of message.attachments) parts.push({ kind: "attachment", content });
  return {
    id: message.id, chatId: message.chat_id ?? "", taskId: message.task_id,
    role: message.role === "user" ? "user" : "assistant", agent: message.agent, parts, status: message.status,
    error: message.error ?? undefined, settling: message.status === "streaming",
  };
}

function blank(frame: Frame, role: Entry["role"], agent: string): Entry {
  return {
    id: frame.message_id ?? `frame-${frame.seq}`, chatId: frame.chat_id ?? "", taskId: frame.task_id, role, agent, parts: [],
    status: "streaming", error: undefined, settling: false,
  };
}

function append(parts: Part[], kind: "text" | "reasoning", text: string): Part[] {
  const last = parts[parts.length - 1];
  if (last?.kind === kind) return [...parts.slice(0, -1), { kind, text: last.text + text }];
  return [...parts, { kind, text }];
}

function merge(parts: Part[], call: ToolCall): Part[] {
  const at = parts.findIndex((part) => part.kind === "tool" && part.call.id === call.id);
  if (at < 0) return [...parts, { kind: "tool", call }];
  return parts.map((part, index) => (index === at ? { kind: "tool", call } : part));
}

/** What a chat shows: what it was forked with, then what was said in it. What belongs to no chat is in all of them. */
export function inChat(entries: readonly Entry[], chats: readonly Chat[], chatId: string): Entry[] {
  const from = chats.find((it) => it.id === chatId)?.forked_from;
  const own = entries.filter((entry) => entry.chatId === chatId || (entry.chatId === "" && from === undefined));
  const last = from === undefined ? -1 : entries.findIndex((entry) => entry.id === from);
  const parent = entries[last]?.chatId;
  if (parent === undefined) return own;
  return [...inChat(entries.slice(0, last + 1), chats, parent), ...own];
}

/** What belongs to one task stands together, where its first entry is: messages that wait are said before what is answered meanwhile. */
export function byTask(entries: readonly Entry[]): Entry[] {
  const places = new Map<string, Entry[]>();
  const order: Entry[][] = [];
  for (const entry of entries) {
    const place = entry.taskId === undefined ? undefined : places.get(entry.taskId);
    if (place) {
      place.push(entry);
      continue;
    }
    const fresh = [entry];
    order.push(fresh);
    if (entry.taskId !== undefined) places.set(entry.taskId, fresh);
  }
  return order.flat();
}

/** What a human said to have a task done, as it was said. */
export function askedFor(state: Timeline, taskId: string | undefined): Entry | undefined {
  return taskId === undefined ? undefined : state.entries.find((entry) => entry.role === "user" && entry.taskId === taskId);
}

/** The text of an entry. */
export const textOf = (entry: Entry): string => entry.parts.map((part) => (part.kind === "text" ? part.text : "")).join("");

/** The task that runs in a chat, if one does. */
export function runningTask(state: Timeline, chatId: string): string | undefined {
  return Object.entries(state.tasks).find(([, task]) => task.chatId === chatId && task.state === "running")?.[0];
}
