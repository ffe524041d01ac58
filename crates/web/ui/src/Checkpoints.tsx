// What the worktree held after each turn: looked at, gone back to, and taken elsewhere.
import { useState } from "react";
import { call, words } from "./api";
import { sure } from "./Ask";
import { Badge } from "./Changes";
import { Diff } from "./Diff";
import { again, useComparison, useNow, useTurns } from "./queries";
import { toast } from "./Toasts";
import { ago } from "./words";
import type { Checkpoint } from "./generated/wire";

function Compared({ sessionId, turn }: { sessionId: string; turn: Checkpoint }) {
  const { data, error } = useComparison(sessionId, turn.before_tree ?? "base", turn.after_tree ?? turn.turn);
  if (error) return <p className="problem">{words(error)}</p>;
  return (
    <>
      {data?.files.length === 0 && <p className="muted">It changed no file.</p>}
      {data?.files.map((file) => (
        <div key={file.file_path}><h4>{file.operation} {file.file_path}</h4>{file.binary ? <p className="muted">not text</p> : <Diff text={file.diff.trimEnd()} />}</div>
      ))}
    </>
  );
}

export function Checkpoints({ sessionId, turn, asked }: { sessionId: string; turn: number; asked: (task: string) => string | undefined }) {
  const { data, error } = useTurns(sessionId, turn);
  const [open, setOpen] = useState<string>();
  const [branch, setBranch] = useState("");
  const now = useNow();
  const act = async (what: string, act: () => Promise<unknown>) => {
    try {
      await act();
      toast(what);
      await again(`/api/sessions/${sessionId}/`);
    } catch (failure) {
      toast(words(failure), "bad");
    }
  };
  const back = async (it: Checkpoint, number: number) => {
    const text = "Its worktree gets the files that it had then. What it holds now is kept as a checkpoint of its own; your project is not touched.";
    if (!(await sure(`Go back to after turn ${number}?`, text, "Go back"))) return;
    await act(`The worktree is as it was after turn ${number}.`, () => call(`/api/sessions/${sessionId}/restore`, { turn: it.turn }));
  };
  const save = async () => {
    const response = await fetch(`/api/sessions/${sessionId}/export`);
    if (!response.ok) return toast("There is no patch to save.", "bad");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = "session.patch";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <section className="card" aria-label="Checkpoints">
      <h3>Checkpoints</h3>
      {error && <p className="problem">{words(error)}</p>}
      {data?.length === 0 && <p className="muted">No turn has ended yet.</p>}
      <ol className="list-none p-0">
        {data?.map((it, index) => (
          <li key={it.turn} className="border-t border-line py-1">
            <div className="row mt-0">
              <span className="min-w-0 truncate" title={asked(it.turn)}>{index + 1}. {asked(it.turn)}</span><Badge agent={it.agent} />
            </div>
            <div className="row mt-0">
              <span className="muted mr-auto">{ago(it.started_at, now)}{it.state !== "completed" && `, ${it.state}`}</span>
              <button aria-expanded={open === it.turn} onClick={() => setOpen(open === it.turn ? undefined : it.turn)}>What it changed</button>
              <button aria-label={`Go back to after turn ${index + 1}`}
                onClick={() => void back(it, index + 1)}>Go back here</button>
            </div>
            {open === it.turn && <Compared sessionId={sessionId} turn={it} />}
          </li>
        ))}
      </ol>
      <form className="row" onSubmit={(event) => { event.preventDefault(); void act(`The branch ${branch} is made.`, () => call(`/api/sessions/${sessionId}/export`, { branch })); }}>
        <button type="button" onClick={() => void save()}>Save as a patch</button>
        <label className="inline">Branch <input value={branch} onChange={(event) => setBranch(event.target.value)} size={14} /></label>
        <button disabled={branch.trim() === ""}>Make it</button>
      </form>
    </section>
  );
}
