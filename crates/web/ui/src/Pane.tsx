// A pane: one session, its chats as tabs, the conversation of the one that is open, and the changes beside it.
import { useEffect, useMemo, useRef, useState } from "react";
import { Columns2, FileDiff, MoreVertical, Plus, X } from "lucide-react";
import * as Menu from "@radix-ui/react-dropdown-menu";
import { ApiError, call, words } from "./api";
import { sure, wordFor } from "./Ask";
import { Changes } from "./Changes";
import { Composer } from "./Composer";
import { Conversation } from "./Conversation";
import { Plan, Usage } from "./Entry";
import { change, close, MOST_PANES, pick, split, useLayout, type Pane } from "./layout";
import { useSession } from "./live";
import { again, useAgentSessions, useNow } from "./queries";
import { askedFor, byTask, inChat, runningTask, textOf } from "./timeline";
import { toast } from "./Toasts";
import { chip, titleFrom, UNTITLED } from "./words";
import type { Chat, Provider, Session } from "./generated/wire";

interface Props {
  pane: Pane;
  index: number;
  session: Session | undefined;
  loaded: boolean;
  providers: Provider[];
  opened: (session: Session) => void;
  agents: () => void;
}

const ask = async (act: () => Promise<unknown>) => {
  try {
    await act();
    await again("/api/sessions");
  } catch (failure) {
    toast(words(failure), "bad");
  }
};

const rename = async (path: string, title: string) => {
  const wanted = await wordFor("A new title", title, "Rename");
  if (wanted !== undefined) await ask(() => call(path, { title: wanted }, "PATCH"));
};

const closeChat = async (chat: Chat) => {
  const text = "What was said in it can be looked at no more. The changes that wait, and the session's other chats, stay.";
  if (await sure(`Close ${chat.title ?? "the chat"}?`, text, "Close it")) await ask(() => call(`/api/chats/${chat.id}`, undefined, "DELETE"));
};

const remove = async (session: Session) => {
  const text = "Its chats can be looked at no more. If it holds work that is nowhere else, you are asked again.";
  if (!(await sure(`Delete ${session.title ?? "the session"}?`, text, "Delete it"))) return;
  const path = `/api/sessions/${session.id}`;
  try {
    await call(path, undefined, "DELETE");
  } catch (failure) {
    if (!(failure instanceof ApiError && failure.code === "at_risk")) return toast(words(failure), "bad");
    if (!(await sure("Delete it all the same?", `${failure.message}. The work is kept under a private ref of the project.`, "Delete it"))) return;
    try {
      await call(`${path}?force=true`, undefined, "DELETE");
    } catch (other) {
      return toast(words(other), "bad");
    }
  }
  change((layout) => ({ ...layout, panes: layout.panes.filter((pane) => pane.session !== session.id), active: 0 }));
  await again("/api/sessions");
};

function More({ label, items }: { label: string; items: [string, () => void][] }) {
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="icon" aria-label={label}><MoreVertical /></Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu" align="end">
          {items.map(([name, act]) => <Menu.Item key={name} onSelect={act}>{name}</Menu.Item>)}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

export function PaneView({ pane, index, session, loaded, providers, opened, agents }: Props) {
  if (session === undefined) {
    return (
      <main className="welcome">
        {loaded && <><h2>There is no such session</h2><button onClick={() => change((it) => close(it, index))}>Close</button></>}
      </main>
    );
  }
  return <Shown pane={pane} index={index} session={session} providers={providers} opened={opened} agents={agents} />;
}

function Shown({ pane, index, session, providers, opened, agents: showAgents }: Omit<Props, "session" | "loaded"> & { session: Session }) {
  const layout = useLayout();
  const { timeline, link } = useSession(session.id);
  const now = useNow();
  const chat = session.chats.find((it) => it.id === pane.chat) ?? session.chats[0];
  const chatId = chat?.id ?? "";
  const [chosen, setAgent] = useState<Record<string, string>>({});
  const agents = useAgentSessions(session.id, timeline.agents);
  const entries = useMemo(() => byTask(inChat(timeline.entries, session.chats, chatId)), [timeline.entries, session.chats, chatId]);
  const spoken = useMemo(() => entries.filter((entry) => entry.role === "user").at(-1)?.agent, [entries]);
  // Whom one chose here, or spoke to last, or, in a new chat, chose anywhere last.
  const agent = chosen[chatId] ?? localStorage.getItem(`agent:${chatId}`) ?? spoken ?? localStorage.getItem("agent") ?? "demo";
  const titled = useRef(new Set<string>());
  const open = useMemo(
    () => Object.values(timeline.asked).filter((asked) => !asked.settled && (asked.question.chat_id ?? chatId) === chatId).map((asked) => asked.question),
    [timeline.asked, chatId],
  );
  useEffect(() => void again("/api/providers"), [timeline.agents]);
  useEffect(() => void again("/api/interactions"), [timeline.asked]);
  useEffect(() => {
    if (timeline.titles > 0) void again("/api/sessions");
  }, [timeline.titles]);

  const choose = (name: string) => {
    setAgent((before) => ({ ...before, [chatId]: name }));
    localStorage.setItem(`agent:${chatId}`, name);
    // The next new chat begins with it.
    localStorage.setItem("agent", name);
  };
  /** What was given no title is called by what is said first. */
  const sent = (text: string) => {
    const title = titleFrom(text);
    if (title === undefined || entries.length > 0 || titled.current.has(chatId)) return;
    titled.current.add(chatId);
    if (chat?.title === UNTITLED) void ask(() => call(`/api/chats/${chatId}`, { title }, "PATCH"));
    if (session.title === UNTITLED) void ask(() => call(`/api/sessions/${session.id}`, { title }, "PATCH"));
  };
  const asked = (task: string) => {
    const entry = askedFor(timeline, task);
    return entry && titleFrom(textOf(entry));
  };
  const activate = () => change((it) => (it.active === index ? it : { ...it, active: index }));
  const addChat = () => ask(async () => {
    const added = await call<Chat>(`/api/sessions/${session.id}/chats`, {});
    change((it) => pick(it, index, added.id));
  });
  const fork = (it: Chat) => ask(async () => {
    const forked = await call<Chat>(`/api/chats/${it.id}/fork`, { title: `${it.title ?? "chat"} (fork)` });
    change((at) => pick(at, index, forked.id));
  });
  const known = agents.data?.find((it) => it.chat_id === chatId && it.agent === agent);
  const title = session.title ?? "session";
  const items: [string, () => void][] = [
    ["Rename the session", () => void rename(`/api/sessions/${session.id}`, title)],
    ["New session here", () => void call<Session>("/api/sessions", { project_id: session.project_id }).then(opened, (failure: unknown) => toast(words(failure), "bad"))],
    ["Delete the session", () => void remove(session)],
  ];
  const chatItems = (it: Chat): [string, () => void][] => [
    ["Rename the chat", () => void rename(`/api/chats/${it.id}`, it.title ?? "")],
    ["Fork the chat", () => void fork(it)],
    ["Close the chat", () => void closeChat(it)],
  ];
  return (
    <section className={`pane ${layout.active === index && layout.panes.length > 1 ? "active" : ""}`} aria-label={title} onFocusCapture={activate} onClickCapture={activate}>
      <header className="flex items-center gap-1 border-b border-line px-2 py-1">
        <nav className="flex min-w-0 items-center gap-1 overflow-x-auto" aria-label="Chats">
          {session.chats.map((it, number) => (
            <span key={it.id} className={`tab ${it.id === chatId ? "current" : ""}`}>
              <button aria-current={it.id === chatId} onClick={() => change((at) => pick(at, index, it.id))}><span className="title">{it.title ?? `Chat ${number + 1}`}</span></button>
              {it.id === chatId && <More label={`Chat ${it.title ?? number + 1}: more`} items={chatItems(it)} />}
            </span>
          ))}
          <button className="icon" onClick={() => void addChat()} aria-label="New chat" title="New chat"><Plus /></button>
        </nav>
        <span className={`link ml-auto ${link}`} role="status">
          {link === "offline" ? "offline, trying again" : link === "removed" ? "this session was removed" : link}
        </span>
        <button className="icon" aria-pressed={layout.changes && layout.active === index} aria-label="Changes" title="Changes"
          onClick={() => change((it) => ({ ...it, active: index, changes: !(layout.changes && layout.active === index) }))}><FileDiff /></button>
        {layout.panes.length < MOST_PANES && <button className="icon max-md:hidden" aria-label="Split the pane" title="Split" onClick={() => change((it) => split({ ...it, active: index }))}><Columns2 /></button>}
        <More label="Session: more" items={items} />
        <button className="icon" aria-label="Close the pane" title="Close the pane" onClick={() => change((it) => close(it, index))}><X /></button>
      </header>
      <div className="relative flex min-h-0 flex-1">
        {chat === undefined ? (
          <main className="welcome"><h2>No chat is left here</h2><button className="primary" onClick={() => void addChat()}>New chat</button></main>
        ) : <main className="flex min-h-0 min-w-0 flex-1 flex-col">
          <Conversation key={chatId} entries={entries} timeline={timeline} questions={open} sessionId={session.id} providers={providers} />
          <Plan entries={timeline.plans[chatId]} />
          <Usage usage={timeline.usage[chatId]} />
          <Composer key={`composer:${chatId}`} sessionId={session.id} chatId={chatId} agent={agent} setAgent={choose} providers={providers}
            running={runningTask(timeline, chatId)} chip={chip(known, now)} commands={timeline.commands[chatId]} options={timeline.options[chatId]}
            online={link === "online"} gone={link === "removed"} sent={sent} showAgents={showAgents} />
        </main>}
        {layout.changes && layout.active === index && <Changes sessionId={session.id} turn={timeline.pending} agents={timeline.agents} asked={asked} />}
      </div>
    </section>
  );
}
