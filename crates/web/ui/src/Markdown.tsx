// Text as agents write it. A growing text is divided into blocks, of which only the last is parsed again.
import { memo, useRef, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeHighlight from "rehype-highlight";
import remarkGfm from "remark-gfm";
import { blocks } from "./words";

const REMARK = [remarkGfm];
const NONE: [] = [];

/** Made once, with the first code that is shown: its grammars take longer to set up than most texts to show. */
let transform: ReturnType<typeof rehypeHighlight> | undefined;
const highlight = () => (transform ??= rehypeHighlight());
const REHYPE = [highlight];

const hasCode = (text: string): boolean => /^ {0,3}(```|~~~)/m.test(text);

/** Characters of one block that are parsed. More of them without a blank line is no prose, and parsing it would take too long. */
const PARSED = 20_000;

/** What no browser may open, or what would open this page once more, is text. */
function Elsewhere({ href, children }: { href: string; children: ReactNode }) {
  return /^(https?|mailto):/i.test(href) ? <a href={href} target="_blank" rel="noreferrer noopener">{children}</a> : <>{children}</>;
}

/** A picture from elsewhere would tell its owner that it was looked at, so it stays a link. */
const PARTS: Components = {
  img: ({ src, alt }) => <Elsewhere href={String(src ?? "")}>{alt || "picture"}</Elsewhere>,
  a: ({ href, children }) => <Elsewhere href={href ?? ""}>{children}</Elsewhere>,
  pre: ({ children }) => <pre tabIndex={0}>{children}</pre>,
};

const Block = memo(({ text, grows }: { text: string; grows: boolean }) =>
  text.length > PARSED ? (
    <p className="whitespace-pre-wrap">{text}</p>
  ) : (
    <ReactMarkdown remarkPlugins={REMARK} rehypePlugins={!grows && hasCode(text) ? REHYPE : NONE} components={PARTS}>{text}</ReactMarkdown>
  ),
);

/** The blocks of a text that mostly grows: what is before the last one is not divided again. */
function useBlocks(text: string): string[] {
  const kept = useRef<{ text: string; done: string[]; length: number }>({ text: "", done: [], length: 0 });
  const before = kept.current;
  const grew = text.length >= before.text.length && text.startsWith(before.text.slice(0, before.length));
  const done = grew ? before.done : [];
  const length = grew ? before.length : 0;
  const fresh = blocks(text.slice(length));
  const all = [...done, ...fresh];
  const settled = fresh.slice(0, -1);
  kept.current = {
    text, done: settled.length > 0 ? [...done, ...settled] : done,
    length: settled.reduce((sum, block) => sum + block.length, length),
  };
  return all;
}

export function Markdown({ text, streaming }: { text: string; streaming: boolean }) {
  const all = useBlocks(text);
  return <div className="prose">{all.map((block, index) => <Block key={index} text={block} grows={streaming && index === all.length - 1} />)}</div>;
}
