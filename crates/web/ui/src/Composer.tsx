// Where a message is written. One button sends, stops or queues, whichever makes sense.
import { useState } from "react";
import { call, words } from "./api";
import type { Provider } from "./wire";

interface Props {
  sessionId: string;
  chatId: string;
  agent: string;
  setAgent: (agent: string) => void;
  providers: Provider[];
  running: string | undefined;
  chip: string | undefined;
}

export function Composer({ sessionId, chatId, agent, setAgent, providers, running, chip }: Props) {
  const key = `draft:${chatId}`;
  const [text, setText] = useState(() => localStorage.getItem(key) ?? "");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const write = (next: string) => {
    setText(next);
    if (next === "") localStorage.removeItem(key);
    else localStorage.setItem(key, next);
  };
  const does = running === undefined ? "Send" : text.trim() === "" ? "Stop" : "Queue";
  const act = async () => {
    if (busy || (does === "Send" && text.trim() === "")) return;
    setBusy(true);
    setError(undefined);
    try {
      if (does === "Stop") {
        await call(`/api/tasks/${running}/cancel`, undefined, "POST");
      } else {
        await call(`/api/sessions/${sessionId}/messages`, { content: text, agent, chat_id: chatId });
        write("");
      }
    } catch (failure) {
      setError(words(failure));
    }
    setBusy(false);
  };
  const chosen = providers.find((provider) => provider.name === agent);
  return (
    <form className="composer" onSubmit={(event) => { event.preventDefault(); void act(); }}>
      {error && <p className="problem" role="alert">{error}</p>}
      <textarea aria-label="Message" value={text} rows={3} autoFocus placeholder={agent === "demo" ? "Try: say hello, or: write notes.txt hello" : "Ask for something"}
        onChange={(event) => write(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            if (does !== "Stop") void act();
          }
        }} />
      <div className="row">
        <label className="inline">Agent{" "}
          <select value={agent} onChange={(event) => setAgent(event.target.value)}>
            {providers.map((provider) => (
              <option key={provider.name} value={provider.name} disabled={!provider.enabled || provider.status !== "ready"}>
                {provider.label}{!provider.enabled ? " (disabled)" : provider.status === "ready" ? "" : " (not installed)"}
              </option>
            ))}
          </select>
        </label>
        {chip && <span className="badge">{chip}</span>}
        {chosen?.reason && <span className="muted">{chosen.reason}</span>}
        <button type="submit" className="primary push" disabled={busy || (does === "Send" && text.trim() === "")}>{does}</button>
      </div>
    </form>
  );
}
