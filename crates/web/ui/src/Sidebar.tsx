// Projects and their sessions.
import { Columns2, Plus } from "lucide-react";
import { call, words } from "./api";
import { change, split } from "./layout";
import { OpenProject } from "./OpenProject";
import { useNow } from "./queries";
import { toast } from "./Toasts";
import { ago } from "./words";
import type { Interaction, Project, Session } from "./generated/wire";

interface Props {
  className: string;
  projects: Project[];
  sessions: Session[];
  current: string | undefined;
  waiting: Interaction[];
  opened: (session: Session) => void;
}

export const newSession = async (project: Project): Promise<Session | undefined> => {
  try {
    return await call<Session>("/api/sessions", { project_id: project.id });
  } catch (failure) {
    toast(words(failure), "bad");
    return undefined;
  }
};

export function Sidebar({ className, projects, sessions, current, waiting, opened }: Props) {
  const now = useNow();
  const add = async (project: Project) => {
    const session = await newSession(project);
    if (session) opened(session);
  };
  return (
    <nav className={`side w-60 shrink-0 flex-col overflow-auto border-r border-line bg-side p-3 ${className}`} aria-label="Projects and sessions">
      {projects.map((project) => (
        <section key={project.id}>
          <header className="flex items-center gap-2">
            <h2 className="truncate" title={project.path}>{project.name}</h2>
            <button className="icon ml-auto" onClick={() => void add(project)} aria-label={`New session in ${project.name}`} title="New session"><Plus /></button>
          </header>
          <ul>
            {sessions.filter((it) => it.project_id === project.id).map((it) => {
              const asks = waiting.filter((question) => question.session_id === it.id).length;
              return (
                <li key={it.id} className="group flex items-center">
                  <a className="min-w-0 flex-1" href={`#${it.id}`} aria-current={it.id === current ? "page" : undefined}
                    onClick={(event) => { event.preventDefault(); opened(it); }}>
                    <span className="title">{it.title ?? `Session ${it.id.slice(-4)}`}</span> <span className="muted text-xs">{ago(it.created_at, now)}</span>{asks > 0 && <span className="count static ml-2" title={`${asks} questions wait`}>{asks}</span>}
                  </a>
                  <button className="icon opacity-0 group-hover:opacity-100 focus-visible:opacity-100" aria-label={`Open ${it.title ?? "session"} beside`} title="Open beside"
                    onClick={() => change((layout) => split(layout, { session: it.id }))}><Columns2 /></button>
                </li>
              );
            })}
          </ul>
        </section>
      ))}
      {projects.length > 0 && <details className="mt-6"><summary>Open another project</summary><OpenProject opened={opened} /></details>}
    </nav>
  );
}
