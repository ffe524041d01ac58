// The changes that are held back until somebody decides on them, hunk by hunk.
import { useEffect, useRef, useState } from "react";
import { Bot, History, SquareSplitHorizontal, User, X } from "lucide-react";
import { ApiError, call, words } from "./api";
import { Checkpoints } from "./Checkpoints";
import { Diff } from "./Diff";
import { change as changeLayout, useLayout } from "./layout";
import { usePending } from "./queries";
import { toast } from "./Toasts";
import { mixed, who } from "./words";
import type { FileConflict, Hunk, PendingChange } from "./generated/wire";

type Verdict = "apply" | "reject" | "revert" | "rebase";

const isOpen = (status: string) => status === "pending" || status === "stale";
const shownFirst = (change: PendingChange) => isOpen(change.status) || change.status === "applied";

/** What can be decided on a hunk, or on a change as a whole, in that state. */
const verdicts = (status: string): Verdict[] => (isOpen(status) ? ["apply", "reject"] : status === "applied" ? ["revert"] : []);

const label = (verdict: Verdict) => verdict[0]!.toUpperCase() + verdict.slice(1);

/** Who made something: an agent, or a human. */
export function Badge({ agent }: { agent: string | null }) {
  return <span className={`badge ${agent === null ? "" : "agent"}`}>{agent === null ? <User aria-hidden="true" /> : <Bot aria-hidden="true" />}<span>{who(agent)}</span></span>;
}

function Buttons({ of, what = "", status, busy, decide }: { of: string; what?: string; status: string; busy: boolean; decide: (verdict: Verdict) => void }) {
  return verdicts(status).map((verdict) => (
    <button key={verdict} className={verdict === "apply" ? "primary" : ""} disabled={busy} onClick={() => decide(verdict)} aria-label={`${label(verdict)} ${of}`}>
      {label(verdict)}{what}
    </button>
  ));
}

/** Both sides of what cannot be had together. */
function Conflicts({ conflicts }: { conflicts: FileConflict[] }) {
  return <>
    <p className="problem">Nothing was written. Make these fit in your project and try again, rebase them, or reject them:</p>
    {conflicts.map((conflict) => (
    <div key={conflict.file_path} className="problem">
      <code>{conflict.file_path}</code>: {conflict.reason}
      {conflict.ours !== null && <><h4>There now</h4><pre tabIndex={0}>{conflict.ours}</pre></>}
      {conflict.theirs !== null && <><h4>To be written</h4><pre tabIndex={0}>{conflict.theirs}</pre></>}
    </div>
    ))}
  </>;
}

function Problem({ error }: { error: unknown }) {
  if (error === undefined) return null;
  return (
    <div role="alert">
      {error instanceof ApiError && error.conflicts.length > 0 ? <Conflicts conflicts={error.conflicts} /> : <p className="problem">{words(error)}</p>}
    </div>
  );
}

function Change({ change, done }: { change: PendingChange; done: () => void }) {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<{ error: unknown; hunk: string | undefined }>();
  const card = useRef<HTMLDetailsElement>(null);
  const decide = async (verdict: Verdict, hunks: string[] = []) => {
    const focused = card.current?.contains(document.activeElement);
    setBusy(true);
    setFailed(undefined);
    try {
      await call(`/api/pending/${change.id}/${verdict}`, verdict === "rebase" ? {} : { hunks });
      // The button that was pressed goes with what it was for.
      if (focused) card.current?.querySelector("summary")?.focus();
    } catch (failure) {
      setFailed({ error: failure, hunk: hunks[0] });
    }
    setBusy(false);
    done();
  };
  const hunks = change.hunks.filter((hunk) => hunk.status !== "superseded");
  const one = (hunk: Hunk, index: number) => (
    <section key={hunk.id} className="hunk" aria-label={`Hunk ${index + 1} of ${change.file_path}`}>
      <header className="row">
        <Badge agent={hunk.agent} /> <span className="muted">{hunk.status}</span>
        <span className="ml-auto" />
        <Buttons of={`hunk ${index + 1} of ${change.file_path}`} status={hunk.status} busy={busy} decide={(verdict) => void decide(verdict, [hunk.id])} />
      </header>
      {failed?.hunk === hunk.id && <Problem error={failed.error} />}
      <Diff text={hunk.diff.trimEnd()} />
    </section>
  );
  return (
    <details ref={card} className="card" open={shownFirst(change)}>
      <summary>
        <code>{change.file_path}</code> <span className="badge">{change.operation}</span>{" "}
        {change.agents.map((agent) => <span key={who(agent)}><Badge agent={agent} />{" "}</span>)}
        <span className="muted"> {change.status}</span>
      </summary>
      {change.old_path && <p className="muted">was {change.old_path}</p>}
      {change.status === "stale" && <p className="muted">The project has moved on from what this started from. Apply it if it merges, or rebase it onto what is there now.</p>}
      {hunks.length > 1 ? hunks.map(one) : <Diff text={(hunks[0]?.diff ?? change.diff).trimEnd()} />}
      <div className="row">
        <Buttons of={change.file_path} what={hunks.length > 1 ? " the file" : ""} status={change.status} busy={busy} decide={(verdict) => void decide(verdict)} />
        {change.status === "stale" && <button disabled={busy} onClick={() => void decide("rebase")} aria-label={`Rebase ${change.file_path}`}>Rebase</button>}
      </div>
      {failed && failed.hunk === undefined && <Problem error={failed.error} />}
    </details>
  );
}

/** Decides on all that can be decided on so. */
function All({ sessionId, changes, done }: { sessionId: string; changes: PendingChange[]; done: () => void }) {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  // What was in the way may be gone once anything was decided.
  const state = changes.map((it) => [it.id, it.status, ...it.hunks.map((hunk) => hunk.status)].join(" ")).join("\n");
  useEffect(() => setError(undefined), [state]);
  const some = (verdict: Verdict) => changes.filter((change) => change.status !== "superseded" && [change.status, ...change.hunks.map((hunk) => hunk.status)].some((status) => verdicts(status).includes(verdict)));
  const decide = async (verdict: Verdict) => {
    setBusy(true);
    setError(undefined);
    try {
      const decided = await call<PendingChange[]>(`/api/sessions/${sessionId}/pending/${verdict}`, {});
      toast(`${label(verdict)}: ${decided.length} ${decided.length === 1 ? "file" : "files"}`);
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
    done();
  };
  const offered = (["apply", "reject", "revert"] as const).filter((verdict) => some(verdict).length > 1);
  return (
    <>
      {offered.length > 0 && (
        <div className="row">
          {offered.map((verdict) => <button key={verdict} disabled={busy} className={verdict === "apply" ? "primary" : ""} onClick={() => void decide(verdict)}>{label(verdict)} all</button>)}
        </div>
      )}
      <Problem error={error} />
    </>
  );
}

interface Props {
  sessionId: string;
  turn: number;
  agents: number;
  /** What a task was asked for, in short. */
  asked: (task: string) => string | undefined;
}

export function Changes({ sessionId, turn, agents, asked }: Props) {
  const { data, error, refetch } = usePending(sessionId, turn);
  const { sides } = useLayout();
  const [past, setPast] = useState(false);
  const shown = data?.filter((change) => change.status !== "superseded") ?? [];
  const note = mixed(shown.flatMap((change) => change.agents));
  const done = () => void refetch();
  const close = () => changeLayout((it) => ({ ...it, changes: false }));
  return (
    <aside className="changes" aria-label="Changes" onKeyDown={(event) => event.key === "Escape" && close()}>
      <header className="flex items-center gap-2">
        <h2>Changes</h2>
        <button className="icon ml-auto" aria-pressed={sides} aria-label="Both sides beside each other" title="Side by side" onClick={() => changeLayout((it) => ({ ...it, sides: !it.sides }))}><SquareSplitHorizontal /></button>
        <button className="icon" aria-pressed={past} aria-label="Checkpoints" title="Checkpoints" onClick={() => setPast(!past)}><History /></button>
        <button className="icon" aria-label="Close the changes" title="Close" onClick={close}><X /></button>
      </header>
      {past && <Checkpoints sessionId={sessionId} turn={turn + agents} asked={asked} />}
      {note && <p className="muted">{note}</p>}
      {error && <p className="problem" role="alert">{words(error)}</p>}
      {data && shown.length === 0 && <p className="muted">Nothing yet. What an agent edits is held here until you decide on it.</p>}
      <All sessionId={sessionId} changes={shown} done={done} />
      {shown.map((it) => <Change key={it.id} change={it} done={done} />)}
    </aside>
  );
}
