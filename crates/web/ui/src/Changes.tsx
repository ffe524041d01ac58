// The changes that are held back until somebody decides on them, hunk by hunk.
import { useState } from "react";
import { ApiError, call, useFetched, words } from "./api";
import { Diff } from "./Entry";
import { mixed, who } from "./words";
import type { FileConflict, Hunk, PendingChange } from "./wire";

type Verdict = "apply" | "reject" | "revert" | "rebase";

const isOpen = (status: string) => status === "pending" || status === "stale";
const shownFirst = (change: PendingChange) => isOpen(change.status) || change.status === "applied";

/** What can be decided on a hunk, or on a change as a whole, in that state. */
const verdicts = (status: string): Verdict[] => (isOpen(status) ? ["apply", "reject"] : status === "applied" ? ["revert"] : []);

const label = (verdict: Verdict) => verdict[0]!.toUpperCase() + verdict.slice(1);

function Buttons({ of, status, busy, decide }: { of: string; status: string; busy: boolean; decide: (verdict: Verdict) => void }) {
  return verdicts(status).map((verdict) => (
    <button key={verdict} className={verdict === "apply" ? "primary" : ""} disabled={busy} onClick={() => decide(verdict)} aria-label={`${label(verdict)} ${of}`}>
      {label(verdict)}
    </button>
  ));
}

/** Both sides of what cannot be had together. */
function Conflicts({ conflicts }: { conflicts: FileConflict[] }) {
  return conflicts.map((conflict) => (
    <div key={conflict.file_path} className="problem">
      <code>{conflict.file_path}</code>: {conflict.reason}
      {conflict.ours !== null && <><h4>There now</h4><pre tabIndex={0}>{conflict.ours}</pre></>}
      {conflict.theirs !== null && <><h4>To be written</h4><pre tabIndex={0}>{conflict.theirs}</pre></>}
    </div>
  ));
}

function Change({ change, done }: { change: PendingChange; done: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const decide = async (verdict: Verdict, hunks: string[] = []) => {
    setBusy(true);
    setError(undefined);
    try {
      await call(`/api/pending/${change.id}/${verdict}`, verdict === "rebase" ? {} : { hunks });
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
    done();
  };
  const hunks = change.hunks.filter((hunk) => hunk.status !== "superseded");
  const one = (hunk: Hunk, index: number) => (
    <section key={hunk.id} className="hunk" aria-label={`Hunk ${index + 1} of ${change.file_path}`}>
      <header className="row">
        <span className="badge agent">{who(hunk.agent)}</span> <span className="muted">{hunk.status}</span>
        <span className="push" />
        <Buttons of={`hunk ${index + 1} of ${change.file_path}`} status={hunk.status} busy={busy} decide={(verdict) => void decide(verdict, [hunk.id])} />
      </header>
      <Diff text={hunk.diff.trimEnd()} />
    </section>
  );
  return (
    <details className="card" open={shownFirst(change)}>
      <summary>
        <code>{change.file_path}</code> <span className="badge">{change.operation}</span>
        {change.agents.map((agent) => <span key={who(agent)} className="badge agent">{who(agent)}</span>)}
        <span className="muted"> {change.status}</span>
      </summary>
      {change.old_path && <p className="muted">was {change.old_path}</p>}
      {change.status === "stale" && <p className="muted">The project has moved on from what this started from. Apply it if it merges, or rebase it onto what is there now.</p>}
      {hunks.length > 1 ? hunks.map(one) : <Diff text={(hunks[0]?.diff ?? change.diff).trimEnd()} />}
      <div className="row">
        <Buttons of={change.file_path} status={change.status} busy={busy} decide={(verdict) => void decide(verdict)} />
        {change.status === "stale" && <button disabled={busy} onClick={() => void decide("rebase")} aria-label={`Rebase ${change.file_path}`}>Rebase</button>}
      </div>
      {error !== undefined && (
        <div role="alert">
          {error instanceof ApiError && error.conflicts.length > 0 ? <Conflicts conflicts={error.conflicts} /> : <p className="problem">{words(error)}</p>}
        </div>
      )}
    </details>
  );
}

export function Changes({ sessionId, turn }: { sessionId: string; turn: number }) {
  const { data, error, reload } = useFetched<PendingChange[]>(`/api/sessions/${sessionId}/pending`, turn);
  const shown = data?.filter((change) => change.status !== "superseded") ?? [];
  const note = mixed(shown.flatMap((change) => change.agents));
  return (
    <aside className="changes" aria-label="Changes">
      <h2>Changes</h2>
      {note && <p className="muted">{note}</p>}
      {error && <p className="problem" role="alert">{error}</p>}
      {data && shown.length === 0 && <p className="muted">Nothing yet. What an agent edits is held here until you decide on it.</p>}
      {shown.map((change) => <Change key={change.id} change={change} done={reload} />)}
    </aside>
  );
}
