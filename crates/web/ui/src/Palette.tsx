// Everything by name: sessions, and what can be done.
import { Command } from "cmdk";
import { change, close as closePane, MOST_PANES, show, split, useLayout, type Theme } from "./layout";
import { Modal } from "./Modal";
import { newSession } from "./Sidebar";
import { ago } from "./words";
import type { Project, Session } from "./generated/wire";

interface Props {
  projects: Project[];
  sessions: Session[];
  opened: (session: Session) => void;
  ask: () => void;
  agents: () => void;
  close: () => void;
}

const THEMES: Theme[] = ["system", "light", "dark"];

export function Palette({ projects, sessions, opened, ask, agents, close }: Props) {
  const layout = useLayout();
  const item = (name: string, act: () => void) => (
    <Command.Item key={name} value={name} onSelect={() => { close(); act(); }}>{name}</Command.Item>
  );
  const open = layout.panes[layout.active];
  return (
    <Modal label="Commands" className="palette" close={close}>
      <Command label="Commands">
        <Command.Input placeholder="Find a session or a command" />
        <Command.List>
          <Command.Empty>Nothing of that name</Command.Empty>
          <Command.Group heading="Sessions">
            {sessions.map((it) => {
              const project = projects.find((other) => other.id === it.project_id)?.name ?? "";
              return (
                <Command.Item key={it.id} value={`${it.title ?? ""} ${project} ${it.id}`} onSelect={() => { close(); opened(it); }}>
                  <span className="title">{it.title ?? `Session ${it.id.slice(-4)}`}</span> <span className="muted">{project}, {ago(it.created_at, Date.now())}</span>
                </Command.Item>
              );
            })}
          </Command.Group>
          <Command.Group heading="Commands">
            {projects.map((project) => item(`New session in ${project.name}`, () => void newSession(project).then((it) => it && opened(it))))}
            {item("Show questions", ask)}
            {item("Show agents", agents)}
            {open && item("Write a message", () => document.querySelectorAll<HTMLElement>("[aria-label=Message]")[layout.active]?.focus())}
            {open && layout.panes.length < MOST_PANES && item("Split the pane", () => change((it) => split(it)))}
            {open && item("Close the pane", () => change((it) => closePane(it, it.active)))}
            {layout.panes.length > 1 && item("Go to the next pane", () => change((it) => ({ ...it, active: (it.active + 1) % it.panes.length })))}
            {item(layout.changes ? "Hide changes" : "Show changes", () => change((it) => ({ ...it, changes: !it.changes })))}
            {item(layout.sides ? "Show differences in one column" : "Show differences side by side", () => change((it) => ({ ...it, sides: !it.sides })))}
            {THEMES.filter((theme) => theme !== layout.theme).map((theme) => item(`Use ${theme} colours`, () => change((it) => ({ ...it, theme }))))}
            {open && item("Close all panes", () => change((it) => ({ ...it, panes: [], active: 0 })))}
            {sessions[0] && item("Go to the newest session", () => change((it) => show(it, sessions[0]?.id ?? "")))}
          </Command.Group>
        </Command.List>
      </Command>
    </Modal>
  );
}
