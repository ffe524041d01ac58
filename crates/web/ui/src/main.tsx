// The page: projects and their sessions at the side, and the panes beside them.
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { QueryClientProvider } from "@tanstack/react-query";
import { Bell, Command as CommandIcon, Menu } from "lucide-react";
import { words } from "./api";
import { Agents } from "./Agents";
import { Asks } from "./Ask";
import { Inbox, useNotified } from "./Inbox";
import { begin, change, show, useLayout } from "./layout";
import { OpenProject } from "./OpenProject";
import { Palette } from "./Palette";
import { PaneView } from "./Pane";
import { again, client, useInbox, useProjects, useProviders, useSessions } from "./queries";
import { Sidebar } from "./Sidebar";
import { Toasts } from "./Toasts";
import type { Session } from "./generated/wire";
import "./styles.css";

function App() {
  const layout = useLayout();
  const projects = useProjects();
  const sessions = useSessions();
  const providers = useProviders();
  const inbox = useInbox();
  const [palette, setPalette] = useState(false);
  const [drawer, setDrawer] = useState(false);
  const [asking, setAsking] = useState(false);
  const [agents, setAgents] = useState(false);
  const waiting = inbox.data?.length ?? 0;
  const active = sessions.data?.find((it) => it.id === layout.panes[layout.active]?.session);
  useNotified(inbox.data ?? []);

  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${active?.title ?? "BooCoder"}`;
  }, [waiting, active?.title]);

  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "k") {
        event.preventDefault();
        setPalette(true);
      } else if (event.key === "Escape" && !event.defaultPrevented) {
        setDrawer(false);
        setAsking(false);
      } else if (event.altKey && /^[1-9]$/.test(event.key)) {
        const at = Number(event.key) - 1;
        change((it) => (at < it.panes.length ? { ...it, active: at } : it));
      }
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);

  const opened = (session: Session) => {
    void again("/api/projects", "/api/sessions");
    setDrawer(false);
    change((it) => show(it, session.id));
  };
  const failure = projects.error ?? sessions.error ?? providers.error;
  return (
    <div className="flex h-dvh flex-col">
      <header className="flex items-center gap-2 border-b border-line bg-side px-3 py-1.5">
        <button className="icon md:hidden" aria-label="Projects and sessions" aria-expanded={drawer} onClick={() => setDrawer(!drawer)}><Menu /></button>
        <h1 className="text-base font-semibold">BooCoder</h1>
        {failure && (
          <p className="problem m-0 truncate" role="alert">{words(failure)} <button onClick={() => void again("/api")}>Try again</button></p>
        )}
        <span className="ml-auto" />
        <button className="icon" aria-label="Commands" title="Commands (Ctrl K)" onClick={() => setPalette(true)}><CommandIcon /></button>
        <button className="icon relative" aria-label={waiting === 0 ? "Questions: none wait" : `Questions: ${waiting} wait`} aria-expanded={asking} onClick={() => setAsking(!asking)}>
          <Bell />{waiting > 0 && <span className="count" aria-hidden="true">{waiting}</span>}
        </button>
      </header>
      <div className="relative flex min-h-0 flex-1">
        {drawer && <div className="absolute inset-0 z-10 bg-black/30 md:hidden" aria-hidden="true" onClick={() => setDrawer(false)} />}
        <Sidebar className={drawer ? "absolute inset-y-0 left-0 z-20 flex shadow-lg" : "hidden md:flex"} projects={projects.data ?? []}
          sessions={sessions.data ?? []} current={active?.id} opened={opened} waiting={inbox.data ?? []} />
        <div className="flex min-w-0 flex-1 overflow-x-auto">
          {layout.panes.map((pane, index) => (
            <PaneView key={`${index}:${pane.session}`} pane={pane} index={index} session={sessions.data?.find((it) => it.id === pane.session)}
              loaded={sessions.data !== undefined} providers={providers.data ?? []} opened={opened} agents={() => setAgents(true)} />
          ))}
          {layout.panes.length === 0 && (
            <main className="welcome">
              {projects.data?.length === 0 ? (
                <><h2>Open a project to begin</h2>
                  <p>Agents work in a copy of it. Your own files change only when you apply what they did.</p>
                  <OpenProject opened={opened} /></>
              ) : (
                projects.data && sessions.data && <><h2>Choose a session</h2><p className="muted">They are listed with their projects; Ctrl K finds everything.</p></>
              )}
            </main>
          )}
        </div>
        {asking && <Inbox open={inbox.data ?? []} sessions={sessions.data ?? []} close={() => setAsking(false)} />}
      </div>
      {palette && <Palette close={() => setPalette(false)} projects={projects.data ?? []} sessions={sessions.data ?? []} opened={opened} ask={() => setAsking(true)} agents={() => setAgents(true)} />}
      {agents && <Agents providers={providers.data ?? []} close={() => setAgents(false)} />}
      <Asks />
    </div>
  );
}

begin();
const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode><QueryClientProvider client={client}><Toasts><App /></Toasts></QueryClientProvider></StrictMode>,
  );
}
