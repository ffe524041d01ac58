// One message of the timeline.
import { memo } from "react";
import Markdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import type { Entry, Part } from "./timeline";
import { blocks } from "./words";
import type { Content, Outcome, ToolCall } from "./wire";

const PLUGINS = [remarkGfm];

/** A picture from elsewhere would tell its owner that it was looked at, so it stays a link. */
const PARTS: Components = {
  img: ({ src, alt }) => <a href={String(src ?? "")}>{alt || "picture"}</a>,
  a: ({ href, children }) => <a href={href} target="_blank" rel="noreferrer noopener">{children}</a>,
};

const Block = memo(({ text }: { text: string }) => (
  <Markdown remarkPlugins={PLUGINS} components={PARTS}>{text}</Markdown>
));

function Text({ text, streaming }: { text: string; streaming: boolean }) {
  const pieces = streaming ? blocks(text) : [text];
  return <div className="prose">{pieces.map((piece, index) => <Block key={index} text={piece} />)}</div>;
}

function Attachment({ content }: { content: Content }) {
  switch (content.type) {
    case "text":
      return <p>{content.text}</p>;
    case "image":
      return <img className="picture" alt="attached" src={`data:${content.mime_type};base64,${content.data}`} />;
    case "audio":
      return <p className="muted">Audio, {content.mime_type}</p>;
    case "resource_link":
      return <p className="muted">{content.name} ({content.uri})</p>;
    case "resource":
      return <details><summary>{content.uri}</summary><pre>{content.text ?? "not text"}</pre></details>;
    case "unknown":
      return <pre>{pretty(content.raw)}</pre>;
    default:
      return <pre>{pretty(content)}</pre>;
  }
}

const pretty = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

export function Diff({ text }: { text: string }) {
  const kind = (line: string) => (/^(\+\+\+ |--- |@@)/.test(line) ? "at" : line.startsWith("+") ? "add" : line.startsWith("-") ? "del" : "");
  return (
    <pre className="diff" tabIndex={0} role="group" aria-label="difference">
      {text.split("\n").map((line, index) => <span key={index} className={kind(line)}>{line}{"\n"}</span>)}
    </pre>
  );
}

function Tool({ call }: { call: ToolCall }) {
  return (
    <details className="card">
      <summary>
        <span className={`dot ${call.status}`} aria-hidden="true" /> {call.title || call.kind}
        <span className="muted"> {call.status.replace("_", " ")}</span>
      </summary>
      {call.locations.length > 0 && <p className="muted">{call.locations.map((at) => at.path).join(", ")}</p>}
      {call.input !== null && call.input !== undefined && <><h4>Input</h4><pre tabIndex={0}>{pretty(call.input)}</pre></>}
      {call.content.map((part, index) => {
        if (part.type === "diff") {
          const old = part.old_text ? part.old_text.replace(/^/gm, "-") + "\n" : "";
          return <div key={index}><h4>{part.path}</h4><Diff text={old + part.new_text.replace(/^/gm, "+")} /></div>;
        }
        if (part.type === "content") return <Attachment key={index} content={part.content} />;
        if (part.type === "terminal") return <p key={index} className="muted">Terminal {part.terminal_id}</p>;
        return <pre key={index}>{pretty(part)}</pre>;
      })}
      {call.output !== null && call.output !== undefined && <><h4>Output</h4><pre tabIndex={0}>{pretty(call.output)}</pre></>}
    </details>
  );
}

function Piece({ part, streaming }: { part: Part; streaming: boolean }) {
  switch (part.kind) {
    case "text":
      return <Text text={part.text} streaming={streaming} />;
    case "reasoning":
      return <details className="reasoning"><summary>Reasoning</summary><Text text={part.text} streaming={streaming} /></details>;
    case "notice":
      return <p className="notice">{part.text}</p>;
    case "tool":
      return <Tool call={part.call} />;
    case "attachment":
      return <Attachment content={part.content} />;
  }
}

export interface EntryProps {
  entry: Entry;
  state: string | undefined;
  outcome: Outcome | undefined;
}

export const EntryView = memo(({ entry, state, outcome }: EntryProps) => {
  const streaming = entry.status === "streaming";
  if (entry.role === "notice") return <div className="notice">{entry.parts.map((part, i) => <Piece key={i} part={part} streaming={false} />)}</div>;
  const mine = entry.role === "user";
  return (
    <article className={mine ? "entry mine" : "entry"} aria-busy={streaming} aria-label={mine ? "You" : entry.agent}>
      <header>{mine ? `You to ${entry.agent}` : entry.agent}{mine && state === "queued" && <span className="badge">queued</span>}</header>
      {entry.parts.map((part, i) => (mine && part.kind === "text"
        ? <p key={i} className="said">{part.text}</p>
        : <Piece key={i} part={part} streaming={streaming && i === entry.parts.length - 1} />))}
      {!mine && streaming && entry.parts.length === 0 && <p className="muted">thinking…</p>}
      {entry.error && <p className="problem">{entry.error}</p>}
      {!mine && outcome && (state === "failed" || state === "cancelled") && (
        <p className="muted">{state}, decided by {outcome.decided_by}: {outcome.reason}</p>
      )}
    </article>
  );
});
