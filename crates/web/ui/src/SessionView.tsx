// A session: its chats as tabs, the timeline of the one that is open, and the changes beside it.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { call, useFetched, words } from "./api";
import { Changes } from "./Changes";
import { Composer } from "./Composer";
import { EntryView } from "./Entry";
import { Question } from "./Question";
import { useSession } from "./session";
import { runningTask } from "./timeline";
import { chip } from "./words";
import type { AgentSession, Provider, Session } from "./wire";

/** Messages shown at first, and how many more each time one asks for earlier ones. */
const PAGE = 100;

export function SessionView({ session, providers, reload }: { session: Session; providers: Provider[]; reload: () => void }) {
  const { timeline, link } = useSession(session.id);
  const [picked, setPicked] = useState<string>();
  const chat = session.chats.find((it) => it.id === picked) ?? session.chats[0];
  const [agent, setAgent] = useState(() => localStorage.getItem("agent") ?? "demo");
  const [shown, setShown] = useState(PAGE);
  const [error, setError] = useState<string>();
  const agents = useFetched<AgentSession[]>(`/api/sessions/${session.id}/agent-sessions`, timeline.agents);
  const chatId = chat?.id ?? "";
  const entries = useMemo(() => timeline.entries.filter((entry) => entry.chatId === chatId || entry.chatId === ""), [timeline.entries, chatId]);
  const open = Object.values(timeline.asked).filter((asked) => !asked.settled && (asked.question.chat_id ?? chatId) === chatId);
  const waiting = Object.values(timeline.asked).filter((asked) => !asked.settled).length;
  const plan = timeline.plans[chatId];
  const usage = timeline.usage[chatId];

  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${session.title ?? "BooCoder"}`;
  }, [waiting, session.title]);

  // The end stays in view unless the reader has scrolled away from it.
  const log = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  useLayoutEffect(() => {
    if (follow.current && log.current) log.current.scrollTop = log.current.scrollHeight;
  }, [entries, open.length, chatId]);

  const addChat = async () => {
    try {
      await call(`/api/sessions/${session.id}/chats`, {});
      reload();
    } catch (failure) {
      setError(words(failure));
    }
  };
  const choose = (name: string) => {
    setAgent(name);
    localStorage.setItem("agent", name);
  };
  const known = agents.data?.find((it) => it.chat_id === chatId && it.agent === agent);
  const first = Math.max(0, entries.length - shown);

  return (
    <div className="session">
      <main>
        <nav className="tabs" aria-label="Chats">
          {session.chats.map((it, index) => (
            <button key={it.id} aria-current={it.id === chatId} onClick={() => setPicked(it.id)}>{it.title ?? `Chat ${index + 1}`}</button>
          ))}
          <button onClick={() => void addChat()} aria-label="New chat">+</button>
          <span className={`push link ${link}`} role="status">
            {link === "offline" ? "offline, trying again" : link === "removed" ? "this session was removed" : link}
          </span>
        </nav>
        {error && <p className="problem" role="alert">{error}</p>}
        <div className="log" ref={log} role="log" aria-label="Conversation" tabIndex={0}
          onScroll={(event) => {
            const at = event.currentTarget;
            follow.current = at.scrollHeight - at.scrollTop - at.clientHeight < 60;
          }}>
          {first > 0 && <button onClick={() => { follow.current = false; setShown(shown + PAGE); }}>Show earlier messages ({first})</button>}
          {entries.length === 0 && (
            <div className="empty">
              <h2>Nothing said yet</h2>
              <p>Write a message below. The demo agent answers at once and needs no model: try <code>say hello</code>, or{" "}
                <code>write notes.txt hello</code> to see a question and a change.</p>
            </div>
          )}
          {entries.slice(first).map((entry) => {
            const task = entry.taskId === undefined ? undefined : timeline.tasks[entry.taskId];
            return <EntryView key={entry.id} entry={entry} state={task?.state} outcome={task?.outcome} />;
          })}
          {open.map((asked) => <Question key={asked.question.id} question={asked.question} />)}
        </div>
        {plan && plan.length > 0 && (
          <details className="card plan"><summary>Plan, {plan.filter((step) => step.status === "completed").length} of {plan.length} done</summary>
            <ol>{plan.map((step, index) => <li key={index} className={step.status}>{step.content} <span className="muted">{step.status.replace("_", " ")}</span></li>)}</ol>
          </details>
        )}
        {usage && (
          <p className="muted usage">{usage.input} tokens read, {usage.output} written
            {usage.cost === null ? ", cost not told" : `, ${usage.cost.toFixed(4)} ${usage.currency ?? "USD"}`}</p>
        )}
        <Composer key={chatId} sessionId={session.id} chatId={chatId} agent={agent} setAgent={choose} providers={providers}
          running={runningTask(timeline, chatId)} chip={chip(known, Date.now())} />
      </main>
      <Changes sessionId={session.id} turn={timeline.pending} />
    </div>
  );
}
