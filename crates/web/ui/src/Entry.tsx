// One message of a conversation, and what belongs to it.
import { memo, useEffect, useRef, useState } from "react";
import { ArrowDown, ArrowUp, Pencil, RotateCcw, Trash2 } from "lucide-react";
import { call, words } from "./api";
import { Diff } from "./Diff";
import { Markdown } from "./Markdown";
import { textOf, type Entry, type Part, type Timeline } from "./timeline";
import { toast } from "./Toasts";
import { plain } from "./words";
import type { Content, Outcome, PlanEntry, ToolCall } from "./generated/wire";

export function Attachment({ content }: { content: Content }) {
  switch (content.type) {
    case "text":
      return <p className="whitespace-pre-wrap">{plain(content.text)}</p>;
    case "image":
      return <img className="picture" alt="attached" src={`data:${content.mime_type};base64,${content.data}`} />;
    case "audio":
      return <p className="muted">Audio, {content.mime_type}</p>;
    case "resource_link":
      return <p className="muted">{content.name} ({content.uri})</p>;
    case "resource":
      return <details><summary>{content.uri}</summary><pre tabIndex={0}>{content.text ?? "not text"}</pre></details>;
    case "unknown":
      return <pre tabIndex={0}>{pretty(content.raw)}</pre>;
    default:
      return <pre tabIndex={0}>{pretty(content)}</pre>;
  }
}

const pretty = (value: unknown): string => (typeof value === "string" ? plain(value) : JSON.stringify(value, null, 2));

/** What a terminal said: its end is in view unless somebody looks at what is above. */
function Terminal({ text }: { text: string }) {
  const box = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  const look = (it: HTMLPreElement) => (isAtEnd.current = it.scrollTop + it.clientHeight >= it.scrollHeight - 4);
  return <pre ref={box} className="terminal" tabIndex={0} onScroll={(event) => look(event.currentTarget)}>{text}</pre>;
}

export function Tool({ call: tool }: { call: ToolCall }) {
  return (
    <details className="card">
      <summary>
        <span className={`dot ${tool.status}`} aria-hidden="true" /> {tool.title || tool.kind}
        <span className="muted"> {tool.status.replace("_", " ")}</span>
      </summary>
      {tool.locations.length > 0 && <p className="muted">{tool.locations.map((at) => at.path).join(", ")}</p>}
      {tool.input !== null && tool.input !== undefined && <><h4>Input</h4><pre tabIndex={0}>{pretty(tool.input)}</pre></>}
      {tool.content.map((part, index) => {
        if (part.type === "diff") {
          const old = part.old_text ? part.old_text.replace(/\n$/, "").replace(/^/gm, "-") + "\n" : "";
          return <div key={index}><h4>{part.path}</h4><Diff text={old + part.new_text.replace(/\n$/, "").replace(/^/gm, "+")} /></div>;
        }
        if (part.type === "terminal") return <h4 key={index}>Terminal</h4>;
        // What a terminal said stands behind it.
        const said = part.type === "content" && part.content.type === "text" && tool.content[index - 1]?.type === "terminal";
        if (said) return <Terminal key={index} text={plain((part.content as { text: string }).text)} />;
        if (part.type === "content") return <Attachment key={index} content={part.content} />;
        return <pre key={index} tabIndex={0}>{pretty(part)}</pre>;
      })}
      {tool.output !== null && tool.output !== undefined && <><h4>Output</h4><pre tabIndex={0}>{pretty(tool.output)}</pre></>}
    </details>
  );
}

function Piece({ part, streaming }: { part: Part; streaming: boolean }) {
  switch (part.kind) {
    case "text":
      return <Markdown text={part.text} streaming={streaming} />;
    case "reasoning":
      return <details className="reasoning"><summary>Reasoning</summary><Markdown text={part.text} streaming={streaming} /></details>;
    case "notice":
      return <p className="notice">{part.text}</p>;
    case "tool":
      return <Tool call={part.call} />;
    case "attachment":
      return <Attachment content={part.content} />;
  }
}

/** The messages that wait before and after one, in its chat. */
export interface Neighbours {
  above?: string | undefined;
  below?: string | undefined;
}

/** A message that waits for its turn can still be changed, moved or dropped. */
function Waiting({ entry, above, below }: { entry: Entry } & Neighbours) {
  const [text, setText] = useState<string>();
  const act = async (method: string, body?: unknown, path = "") => {
    try {
      await call(`/api/messages/${entry.id}${path}`, body, method);
      setText(undefined);
    } catch (failure) {
      toast(words(failure), "bad");
    }
  };
  if (text !== undefined) {
    return (
      <form className="my-2" onSubmit={(event) => { event.preventDefault(); void act("PATCH", { content: text }); }}>
        <textarea className="w-full" aria-label="The waiting message" value={text} rows={3} autoFocus onChange={(event) => setText(event.target.value)} />
        <div className="row"><button className="primary" disabled={text.trim() === ""}>Save</button><button type="button" onClick={() => setText(undefined)}>Leave it</button></div>
      </form>
    );
  }
  return (
    <span className="row">
      <span className="badge">queued</span>
      <button className="icon" aria-label="Edit the waiting message" title="Edit" onClick={() => setText(textOf(entry))}><Pencil /></button>
      {above !== undefined && <button className="icon" aria-label="Move the waiting message up" title="Earlier" onClick={() => void act("POST", { with: above }, "/swap")}><ArrowUp /></button>}
      {below !== undefined && <button className="icon" aria-label="Move the waiting message down" title="Later" onClick={() => void act("POST", { with: below }, "/swap")}><ArrowDown /></button>}
      <button className="icon" aria-label="Drop the waiting message" title="Drop" onClick={() => void act("DELETE")}><Trash2 /></button>
    </span>
  );
}

/** Says once more what a turn that did not come to its end was asked for. */
function Retry({ asked, sessionId }: { asked: Entry; sessionId: string }) {
  const retry = async () => {
    const content = asked.parts.flatMap((part): Content[] =>
      part.kind === "text" ? [{ type: "text", text: part.text }] : part.kind === "attachment" ? [part.content] : []);
    try {
      await call(`/api/sessions/${sessionId}/messages`, { content, agent: asked.agent, chat_id: asked.chatId });
    } catch (failure) {
      toast(words(failure), "bad");
    }
  };
  return <button onClick={() => void retry()}><RotateCcw className="inline" /> Retry</button>;
}

export interface EntryProps {
  entry: Entry;
  state: string | undefined;
  outcome: Outcome | undefined;
  sessionId: string;
  /** What the turn was asked for, if it did not come to its end. */
  asked: Entry | undefined;
  /** It was taken back before its turn. */
  dropped: boolean;
  /** Its turn waits for an answer to a question. */
  asks: boolean;
}

export const EntryView = memo(({ entry, state, outcome, sessionId, asked, dropped, asks, above, below }: EntryProps & Neighbours) => {
  const streaming = entry.status === "streaming";
  if (entry.role === "notice") return <div className="notice">{entry.parts.map((part, i) => <Piece key={i} part={part} streaming={false} />)}</div>;
  const mine = entry.role === "user";
  return (
    <article className={mine ? "entry mine" : "entry"} aria-busy={streaming} aria-label={mine ? "You" : entry.agent}>
      <header>{mine ? `You to ${entry.agent}` : entry.agent}</header>
      {entry.parts.map((part, i) => (mine && part.kind === "text"
        ? <p key={i} className="said">{part.text}</p>
        : <Piece key={i} part={part} streaming={streaming && i === entry.parts.length - 1} />))}
      {mine && state === "queued" && <Waiting entry={entry} above={above} below={below} />}
      {!mine && streaming && (asks || entry.parts.length === 0) && <p className="muted">{asks ? "waits for your answer" : "thinking…"}</p>}
      {entry.error && entry.error !== outcome?.reason && <p className="problem">{entry.error}</p>}
      {dropped && <p className="muted">dropped</p>}
      {!mine && outcome && (state === "failed" || state === "cancelled") && (
        <p className="muted row">{state}, decided by {outcome.decided_by}: {outcome.reason} {asked && <Retry asked={asked} sessionId={sessionId} />}</p>
      )}
    </article>
  );
});

export function Plan({ entries }: { entries: PlanEntry[] | undefined }) {
  if (entries === undefined || entries.length === 0) return null;
  return (
    <details className="card mx-3"><summary>Plan, {entries.filter((step) => step.status === "completed").length} of {entries.length} done</summary>
      <ol>{entries.map((step, index) => <li key={index} className={step.status === "completed" ? "muted" : ""}>{step.content} <span className="muted">{step.status.replace("_", " ")}</span></li>)}</ol>
    </details>
  );
}

export function Usage({ usage }: { usage: Timeline["usage"][string] | undefined }) {
  if (usage === undefined) return null;
  const cost = usage.cost === null ? "cost not told" : `${usage.cost.toFixed(4)} ${usage.currency ?? "USD"}`;
  return <p className="muted m-0 px-3 text-right">{usage.input} tokens read, {usage.output} written, {cost}</p>;
}
