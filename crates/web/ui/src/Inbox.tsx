// What agents ask, across all sessions.
import { useEffect, useRef, useState } from "react";
import { X } from "lucide-react";
import { change, show } from "./layout";
import { Question } from "./Question";
import { again } from "./queries";
import type { Interaction, Session } from "./generated/wire";

const KEY = "notify";

/** Tells the browser's own notifications of each new question, if one asked for that and looks elsewhere. */
export function useNotified(open: Interaction[]): void {
  const known = useRef<Set<string>>(undefined);
  useEffect(() => {
    const before = known.current;
    known.current = new Set(open.map((it) => it.id));
    if (before === undefined || !document.hidden || localStorage.getItem(KEY) !== "on" || Notification.permission !== "granted") return;
    for (const asked of open.filter((it) => !before.has(it.id))) {
      const notification = new Notification(`${asked.agent} asks`, { body: asked.title, tag: asked.id });
      notification.onclick = () => {
        window.focus();
        if (asked.session_id !== null) change((layout) => show(layout, asked.session_id ?? ""));
      };
    }
  }, [open]);
}

function Notify() {
  const [on, setOn] = useState(() => localStorage.getItem(KEY) === "on" && Notification.permission === "granted");
  const [refused, setRefused] = useState(false);
  const turn = async (wanted: boolean) => {
    const granted = wanted && (await Notification.requestPermission()) === "granted";
    localStorage.setItem(KEY, granted ? "on" : "off");
    setOn(granted);
    setRefused(wanted && !granted);
  };
  return (
    <label className="block">
      <input type="checkbox" checked={on} onChange={(event) => void turn(event.target.checked)} /> Notify me when I look elsewhere
      {refused && <span className="problem block">The browser does not allow it for this address.</span>}
    </label>
  );
}

export function Inbox({ open, sessions, close }: { open: Interaction[]; sessions: Session[]; close: () => void }) {
  return (
    <section className="absolute inset-y-0 right-0 z-30 w-full overflow-auto border-l border-line bg-bg p-4 shadow-lg sm:w-[26rem]" aria-label="Questions">
      <header className="flex items-center gap-2"><h2>Questions</h2><button className="icon ml-auto" aria-label="Close questions" onClick={close}><X /></button></header>
      <Notify />
      {open.length === 0 && <p className="muted">Nothing waits for you. When an agent asks, it is here and in its chat.</p>}
      {open.map((asked) => {
        const session = sessions.find((it) => it.id === asked.session_id);
        return (
          <div key={asked.id}>
            {session && (
              <p className="muted mb-0 mt-4">in <a className="title" href={`#${session.id}`} onClick={(event) => { event.preventDefault(); change((layout) => show(layout, session.id)); close(); }}>{session.title ?? "a session"}</a></p>
            )}
            <Question whole question={asked} answered={() => void again("/api/interactions")} />
          </div>
        );
      })}
    </section>
  );
}
