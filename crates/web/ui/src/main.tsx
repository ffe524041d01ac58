// The page: projects and their sessions at the side, one session beside them. The address after `#` is the session's id.
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { call, useFetched, words } from "./api";
import { SessionView } from "./SessionView";
import type { Project, Provider, Session } from "./wire";
import "./styles.css";

function useHash(): string {
  const [hash, setHash] = useState(() => location.hash.slice(1));
  useEffect(() => {
    const listen = () => setHash(location.hash.slice(1));
    addEventListener("hashchange", listen);
    return () => removeEventListener("hashchange", listen);
  }, []);
  return hash;
}

function OpenProject({ opened }: { opened: (session: Session) => void }) {
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

function App() {
  const hash = useHash();
  const projects = useFetched<Project[]>("/api/projects");
  const sessions = useFetched<Session[]>("/api/sessions");
  const providers = useFetched<Provider[]>("/api/providers");
  const [error, setError] = useState<string>();
  const session = sessions.data?.find((it) => it.id === hash);
  const reload = () => { projects.reload(); sessions.reload(); };
  const opened = (it: Session) => { reload(); location.hash = it.id; };
  const add = async (project: Project) => {
    try {
      opened(await call<Session>("/api/sessions", { project_id: project.id }));
    } catch (failure) {
      setError(words(failure));
    }
  };
  const failure = error ?? projects.error ?? sessions.error ?? providers.error;
  return (
    <div className="app">
      <nav className="side" aria-label="Projects and sessions">
        <h1>BooCoder</h1>
        {failure && <p className="problem" role="alert">{failure} <button onClick={() => { setError(undefined); reload(); providers.reload(); }}>Try again</button></p>}
        {projects.data?.map((project) => (
          <section key={project.id}>
            <h2 title={project.path}>{project.name}</h2>
            <ul>
              {sessions.data?.filter((it) => it.project_id === project.id).map((it) => (
                <li key={it.id}><a href={`#${it.id}`} aria-current={it.id === hash ? "page" : undefined}>{it.title || `Session ${it.id.slice(-4)}`}</a></li>
              ))}
            </ul>
            <button onClick={() => void add(project)} aria-label={`New session in ${project.name}`}>New session</button>
          </section>
        ))}
        {projects.data && projects.data.length > 0 && <details><summary>Open another project</summary><OpenProject opened={opened} /></details>}
      </nav>
      {session ? (
        <SessionView key={session.id} session={session} providers={providers.data ?? []} reload={reload} />
      ) : (
        <main className="welcome">
          {projects.data?.length === 0 ? (
            <><h2>Open a project to begin</h2>
              <p>Agents work in a copy of it. Your own files change only when you apply what they did.</p>
              <OpenProject opened={opened} /></>
          ) : (
            projects.data && sessions.data && <><h2>{hash ? "There is no such session" : "Choose a session"}</h2><p className="muted">They are listed with their projects.</p></>
          )}
        </main>
      )}
    </div>
  );
}

const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
