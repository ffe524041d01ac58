// Where a message is written. One button sends, stops or queues, whichever makes sense.
import { useEffect, useRef, useState, type ClipboardEvent, type DragEvent, type KeyboardEvent } from "react";
import { Info, X } from "lucide-react";
import { LONGEST_MESSAGE, call, words } from "./api";
import { slash } from "./words";
import type { Choice, Command, ConfigOption, Content, Provider } from "./generated/wire";

interface Props {
  sessionId: string;
  chatId: string;
  agent: string;
  setAgent: (agent: string) => void;
  providers: Provider[];
  running: string | undefined;
  chip: string | undefined;
  /** What the agent of this chat told that it offers; else what its provider is known to. */
  commands: Command[] | undefined;
  options: ConfigOption[] | undefined;
  /** Whether the server is reached, and whether the session was removed. */
  online: boolean;
  gone: boolean;
  /** Called with each text that was sent. */
  sent: (text: string) => void;
  showAgents: () => void;
}

type Image = Extract<Content, { type: "image" }>;

/** The most that a picture may weigh, in bytes. */
const MOST_BYTES = 5 << 20;

const read = (file: File): Promise<Image> =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done({ type: "image", mime_type: file.type, data: String(reader.result).replace(/^[^,]*,/, "") });
    reader.onerror = () => failed(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });

function useKept(key: string): [string, (next: string) => void] {
  const read = () => localStorage.getItem(key) ?? "";
  const [kept, set] = useState(() => ({ key, value: read() }));
  const value = kept.key === key ? kept.value : read();
  const keep = (next: string) => {
    set({ key, value: next });
    if (next === "") localStorage.removeItem(key);
    else localStorage.setItem(key, next);
  };
  return [value, keep];
}

interface Pick {
  label: string;
  choices: Choice[];
  /** What the agent says that it is set to. */
  current: unknown;
  value: string;
  choose: (id: string) => void;
}

function Picker({ label, choices, current, value, choose }: Pick) {
  if (choices.length === 0) return null;
  const now = choices.find((choice) => choice.id === current)?.name;
  const known = choices.some((choice) => choice.id === value) ? value : "";
  return (
    <label className="inline">{label}{" "}
      <select value={known} onChange={(event) => choose(event.target.value)}>
        <option value="">{now === undefined ? "as it is" : `as it is (${now})`}</option>
        {choices.map((choice) => <option key={choice.id} value={choice.id} title={choice.description}>{choice.name}</option>)}
      </select>
    </label>
  );
}

export function Composer({ sessionId, chatId, agent, setAgent, providers, running, chip, commands, options, online, gone, sent, showAgents }: Props) {
  const [text, write] = useKept(`draft:${chatId}`);
  const [model, setModel] = useKept(`model:${chatId}:${agent}`);
  const [mode, setMode] = useKept(`mode:${chatId}:${agent}`);
  const [thinking, setThinking] = useKept(`thinking:${chatId}:${agent}`);
  const [auto, setAuto] = useState(false);
  const [images, setImages] = useState<Image[]>([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const [at, setAt] = useState(0);
  /** The text whose completions were sent away. */
  const [closed, close] = useState<string>();
  const box = useRef<HTMLTextAreaElement>(null);
  const sending = useRef(Promise.resolve());
  const unsure = useRef<{ said: string; id: string | undefined }>(undefined);
  const chosen = providers.find((provider) => provider.name === agent);
  const set = (category: string) => options?.find((it) => it.category === category)?.value;
  const offered = (category: string, known: Choice[] | undefined) => options?.find((it) => it.category === category)?.choices ?? known ?? [];
  const models = offered("model", chosen?.models);
  const modes = offered("mode", chosen?.modes);
  const levels = offered("thought_level", chosen?.thinking_options);
  const empty = text.trim() === "" && images.length === 0;
  const does = running === undefined ? "Send" : empty ? "Stop" : "Queue";
  const begun = slash(text);
  const fitting = begun === undefined || closed === text ? [] : (commands ?? chosen?.commands ?? []).filter((it) => it.name.startsWith(begun) && it.name !== begun);
  const highlighted = fitting[Math.min(at, fitting.length - 1)];
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => void list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [highlighted]);
  useEffect(() => {
    if (online) setError(undefined);
  }, [online]);

  const stop = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await call(`/api/tasks/${running}/cancel`, undefined, "POST");
    } catch (failure) {
      setError(words(failure));
    }
    setBusy(false);
  };
  // The box is free for the next message at once; what cannot be sent comes back into it. Messages go one after the other.
  const send = () => {
    const content: string | Content[] = images.length === 0 ? text : [...(text === "" ? [] : [{ type: "text" as const, text }]), ...images];
    const picked = (choices: Choice[], value: string) => (choices.some((choice) => choice.id === value) ? value : undefined);
    const message = {
      content, agent, chat_id: chatId, approval: auto ? "auto" : "ask",
      model: picked(models, model), mode_id: picked(modes, mode), thinking_option_id: picked(levels, thinking),
    };
    // The same once more may have been kept the first time; under the same id it is one message.
    const said = JSON.stringify(message);
    const id = unsure.current?.said === said ? unsure.current.id : crypto.randomUUID?.();
    write("");
    setImages([]);
    setError(undefined);
    sending.current = sending.current.then(async () => {
      try {
        await call(`/api/sessions/${sessionId}/messages`, { ...message, request_id: id }, "POST", LONGEST_MESSAGE);
        unsure.current = undefined;
        sent(text);
      } catch (failure) {
        unsure.current = { said, id };
        setError(words(failure));
        const since = localStorage.getItem(`draft:${chatId}`) ?? "";
        write(since === "" ? text : `${text}\n${since}`);
        setImages((before) => [...images, ...before]);
      }
    });
  };
  const act = () => {
    if (does === "Stop") void stop();
    else if (!empty) send();
    box.current?.focus();
  };
  const attach = async (files: File[]) => {
    try {
      for (const file of files) {
        if (file.size > MOST_BYTES) throw new Error(`${file.name} is larger than ${MOST_BYTES >> 20} MB`);
        const image = await read(file);
        setImages((before) => [...before, image]);
      }
    } catch (failure) {
      setError(words(failure));
    }
  };
  const pictures = (data: DataTransfer) => [...data.files].filter((file) => file.type.startsWith("image/"));
  const paste = (event: ClipboardEvent | DragEvent, data: DataTransfer) => {
    const files = pictures(data);
    if (data.files.length > files.length) setError("Only pictures can be attached.");
    if (data.files.length > 0) event.preventDefault();
    if (files.length === 0) return;
    void attach(files);
  };
  const complete = (command: Command) => write(`/${command.name} `);
  const key = (event: KeyboardEvent) => {
    if (highlighted && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : fitting.length - 1;
      setAt((Math.min(at, fitting.length - 1) + step) % fitting.length);
    } else if (highlighted && (event.key === "Tab" || event.key === "Enter") && !event.shiftKey) {
      event.preventDefault();
      complete(highlighted);
    } else if (highlighted && event.key === "Escape") {
      event.preventDefault();
      close(text);
    } else if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      if (does !== "Stop") act();
    }
  };
  return (
    <form className="composer" onSubmit={(event) => { event.preventDefault(); act(); }}
      onDragOver={(event) => event.preventDefault()} onDrop={(event) => paste(event, event.dataTransfer)}>
      {error && <p className="problem" role="alert">{error}</p>}
      {fitting.length > 0 && (
        <ul ref={list} className="completion" role="listbox" id={`slash-${chatId}`} aria-label="Commands">
          {fitting.map((command) => (
            <li key={command.name} id={`slash-${chatId}-${command.name}`} role="option" aria-selected={command === highlighted} onMouseDown={(event) => { event.preventDefault(); complete(command); }}>
              <code>/{command.name}</code> <span className="muted">{command.hint && <code>{command.hint}</code>} {command.description}</span>
            </li>
          ))}
        </ul>
      )}
      {images.length > 0 && (
        <ul className="row list-none p-0" aria-label="Pictures">
          {images.map((image, index) => (
            <li key={index} className="relative">
              <img className="h-16 rounded" alt={`picture ${index + 1}`} src={`data:${image.mime_type};base64,${image.data}`} />
              <button type="button" className="icon absolute right-0 top-0" aria-label={`Take picture ${index + 1} out`} onClick={() => setImages(images.filter((it) => it !== image))}><X /></button>
            </li>
          ))}
        </ul>
      )}
      <textarea ref={box} aria-label="Message" value={text} rows={3} autoFocus placeholder={agent === "demo" ? "Try: say hello, or: write notes.txt hello" : "Ask for something"}
        aria-autocomplete="list" aria-controls={fitting.length > 0 ? `slash-${chatId}` : undefined} aria-activedescendant={highlighted && `slash-${chatId}-${highlighted.name}`}
        onChange={(event) => { write(event.target.value); setAt(0); setError(undefined); }} onKeyDown={key} onPaste={(event) => paste(event, event.clipboardData)} />
      <div className="row">
        <label className="inline">Agent{" "}
          <select value={agent} onChange={(event) => setAgent(event.target.value)}>
            {providers.map((provider) => (
              <option key={provider.name} value={provider.name} disabled={!provider.enabled || provider.status !== "ready"} title={provider.hint ?? provider.reason}>
                {provider.label}{!provider.enabled ? " (disabled)" : provider.status === "ready" ? "" : " (not installed)"}
              </option>
            ))}
          </select>
        </label>
        <button type="button" className="icon" aria-label="Others, and how to get them" title="Others, and how to get them" onClick={showAgents}><Info /></button>
        <Picker label="Model" current={set("model")} choices={models} value={model} choose={setModel} />
        <Picker label="Mode" current={set("mode")} choices={modes} value={mode} choose={setMode} />
        <Picker label="Thinking" current={set("thought_level")} choices={levels} value={thinking} choose={setThinking} />
        <label className="inline" title="The agent's questions for permission are answered with yes"><input type="checkbox" checked={auto} onChange={(event) => setAuto(event.target.checked)} /> Act without asking</label>
        {chip && <span className="badge">{chip}</span>}
        {chosen?.reason && <span className="muted">{chosen.reason}{chosen.hint && <> To mend it: <code>{chosen.hint}</code></>}</span>}
        <button type="submit" className="primary ml-auto" disabled={gone || (does === "Stop" && busy) || (does === "Send" && empty)}>{does}</button>
      </div>
    </form>
  );
}
