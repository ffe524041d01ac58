// What was said in a chat, however much it is: only what is in view is in the document. The end stays in view unless one
// scrolled away from it.
import { useCallback, useEffect, useMemo, useState } from "react";
import { ArrowDown } from "lucide-react";
import { Virtuoso } from "react-virtuoso";
import { isReady, Missing } from "./Agents";
import { EntryView } from "./Entry";
import { Question } from "./Question";
import { askedFor, type Entry, type Timeline } from "./timeline";
import type { Interaction, Provider } from "./generated/wire";

interface Props {
  entries: Entry[];
  timeline: Timeline;
  questions: Interaction[];
  sessionId: string;
  providers: Provider[];
}

interface Context {
  questions: Interaction[];
}

/** Within how many pixels of the end it is followed. */
const AT_END = 60;

const Questions = ({ context }: { context?: Context }) => (
  <div className="column pb-4">{context?.questions.map((question) => <Question key={question.id} question={question} />)}</div>
);
const COMPONENTS = { Footer: Questions };

/**
 * Keeps the end of a list in view while it grows or its place shrinks, until one scrolls up, and again once one is back at the
 * end. What tells is only where the list stands, so it is the same by wheel, key, touch or scroll bar.
 */
function useFollowed(): { followed: (scroller: HTMLElement | Window | null) => void; away: boolean; toEnd: () => void } {
  const [scroller, setScroller] = useState<HTMLElement>();
  const [away, setAway] = useState(false);
  useEffect(() => {
    if (scroller === undefined) return;
    let follow = true;
    let { scrollTop: top, clientHeight: height, scrollHeight: whole } = scroller;
    const scrolled = () => {
      const isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < AT_END;
      // A list that gets more room, or less to show, stands higher by itself.
      const isPushed = scroller.clientHeight > height || scroller.scrollHeight < whole;
      if (isAtEnd) follow = true;
      else if (scroller.scrollTop < top && !isPushed) follow = false;
      ({ scrollTop: top, clientHeight: height, scrollHeight: whole } = scroller);
      setAway(!follow);
    };
    const sizes = new ResizeObserver(() => {
      if (follow) scroller.scrollTop = scroller.scrollHeight;
    });
    sizes.observe(scroller);
    for (const child of scroller.querySelectorAll("[data-testid=virtuoso-item-list], [data-viewport-type] > *")) sizes.observe(child);
    scroller.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      sizes.disconnect();
      scroller.removeEventListener("scroll", scrolled);
    };
  }, [scroller]);
  const followed = useCallback((found: HTMLElement | Window | null) => setScroller(found instanceof HTMLElement ? found : undefined), []);
  const toEnd = () => scroller?.scrollTo({ top: scroller.scrollHeight });
  return { followed, away, toEnd };
}

function Empty({ providers }: { providers: Provider[] }) {
  const absent = providers.filter((provider) => !isReady(provider));
  return (
    <div className="welcome">
      <h2>Nothing said yet</h2>
      <p>Write a message below. The demo agent answers at once and needs no model: try <code>say hello</code>, or{" "}
        <code>write notes.txt hello</code> to see a question and a change.</p>
      {absent.length > 0 && (
        <details className="mt-4"><summary>Agents that are not installed</summary>
          <Missing providers={absent} />
        </details>
      )}
    </div>
  );
}

export function Conversation({ entries, timeline, questions, sessionId, providers }: Props) {
  const { tasks } = timeline;
  const { followed, away, toEnd } = useFollowed();
  const context = useMemo(() => ({ questions }), [questions]);
  const answered = useMemo(() => new Set(entries.filter((entry) => entry.role === "assistant").map((entry) => entry.taskId)), [entries]);
  const queued = useMemo(
    () => entries.filter((entry) => entry.role === "user" && entry.taskId !== undefined && tasks[entry.taskId]?.state === "queued").map((entry) => entry.id),
    [entries, tasks],
  );
  const asking = useMemo(() => new Set(questions.map((question) => question.task_id)), [questions]);
  const place = useMemo(() => new Map(queued.map((id, index) => [id, index])), [queued]);
  const again = useCallback((taskId: string | undefined) => askedFor(timeline, taskId), [timeline]);
  return (
    <div className="relative min-h-0 flex-1" role="log" aria-label="Conversation">
      {away && <button className="newest" onClick={toEnd}><ArrowDown /> Newest</button>}
      {entries.length === 0 && questions.length === 0 ? <Empty providers={providers} /> : (
        <Virtuoso data={entries} context={context} components={COMPONENTS} computeItemKey={(_, entry) => entry.id}
          scrollerRef={followed} increaseViewportBy={400}
          initialTopMostItemIndex={{ index: "LAST", align: "end" }}
          itemContent={(_, entry) => {
            const task = entry.taskId === undefined ? undefined : tasks[entry.taskId];
            const failed = entry.role === "assistant" && (task?.state === "failed" || task?.state === "cancelled");
            const at = place.get(entry.id);
            const beside = at === undefined ? {} : { above: queued[at - 1], below: queued[at + 1] };
            return (
              <div className="column">
                <EntryView {...beside} entry={entry} state={task?.state} outcome={task?.outcome} sessionId={sessionId} dropped={entry.role === "user" && task?.state === "cancelled" && !answered.has(entry.taskId)} asked={failed ? again(entry.taskId) : undefined} asks={entry.taskId !== undefined && asking.has(entry.taskId)} />
              </div>
            );
          }} />
      )}
    </div>
  );
}
