// The changes that are held back until somebody decides on them.
import { useState } from "react";
import { call, useFetched, words } from "./api";
import { Diff } from "./Entry";
import { mixed, who } from "./words";
import type { PendingChange } from "./wire";

function Change({ change, done }: { change: PendingChange; done: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const decide = async (what: "apply" | "reject" | "revert") => {
    setBusy(true);
    setError(undefined);
    try {
      await call(`/api/pending/${change.id}/${what}`, {});
    } catch (failure) {
      setError(words(failure));
    }
    setBusy(false);
    done();
  };
  return (
    <details className="card" open={change.status === "pending" || change.status === "applied"}>
      <summary>
        <code>{change.file_path}</code> <span className="badge">{change.operation}</span>
        {(change.agents ?? [change.agent]).map((agent) => <span key={who(agent)} className="badge agent">{who(agent)}</span>)}
        <span className="muted"> {change.status}</span>
      </summary>
      <Diff text={change.diff} />
      <div className="row">
        {change.status === "pending" && (
          <>
            <button className="primary" disabled={busy} onClick={() => void decide("apply")} aria-label={`Apply ${change.file_path}`}>Apply</button>
            <button disabled={busy} onClick={() => void decide("reject")} aria-label={`Reject ${change.file_path}`}>Reject</button>
          </>
        )}
        {change.status === "applied" && (
          <button disabled={busy} onClick={() => void decide("revert")} aria-label={`Revert ${change.file_path}`}>Revert</button>
        )}
      </div>
      {error && <p className="problem" role="alert">{error}</p>}
    </details>
  );
}

export function Changes({ sessionId, turn }: { sessionId: string; turn: number }) {
  const { data, error, reload } = useFetched<PendingChange[]>(`/api/sessions/${sessionId}/pending`, turn);
  const shown = data?.filter((change) => change.status !== "superseded") ?? [];
  const note = mixed(shown.flatMap((change) => change.agents ?? [change.agent]));
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
