// Opens a folder as a project, and begins a session in it.
import { useState } from "react";
import { call, words } from "./api";
import type { Project, Session } from "./generated/wire";

export function OpenProject({ opened }: { opened: (session: Session) => void }) {
  const [path, setPath] = useState("");
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const open = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const project = await call<Project>("/api/projects", { path });
      opened(await call<Session>("/api/sessions", { project_id: project.id }));
    } catch (failure) {
      setError(words(failure));
    }
    setBusy(false);
  };
  return (
    <form className="opener" onSubmit={(event) => { event.preventDefault(); void open(); }}>
      <label>Folder of a git repository<input value={path} placeholder="/home/you/project" onChange={(event) => setPath(event.target.value)} /></label>
      <button className="primary" disabled={busy || path === ""}>Open project</button>
      {error && <p className="problem" role="alert">{error}</p>}
    </form>
  );
}
