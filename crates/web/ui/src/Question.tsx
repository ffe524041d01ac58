// A question that an agent asks, with every answer that it offers.
import { useState } from "react";
import { ApiError, call, words } from "./api";
import type { Interaction } from "./generated/wire";

interface Field {
  type?: string;
  title?: string;
  description?: string;
  enum?: string[];
}

export function Question({ question, answered }: { question: Interaction; answered?: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const [values, setValues] = useState<Record<string, unknown>>({});
  const fields = Object.entries((question.schema as { properties?: Record<string, Field> } | undefined)?.properties ?? {});
  const answer = async (body: unknown) => {
    setBusy(true);
    setError(undefined);
    try {
      await call(`/api/interactions/${question.id}`, body);
      answered?.();
    } catch (failure) {
      // Somebody else was faster: the frame that says so is on its way and takes this question off the page.
      if (!(failure instanceof ApiError && failure.code === "already_settled")) setError(words(failure));
      answered?.();
      setBusy(false);
    }
  };
  const set = (name: string, value: unknown) => setValues((before) => ({ ...before, [name]: value }));
  return (
    <section className="question" role="group" aria-label={`${question.agent} asks: ${question.title}`}>
      <p><strong>{question.agent}</strong> asks: {question.title}</p>
      {question.url && <p><a href={question.url} target="_blank" rel="noreferrer noopener">{question.url}</a></p>}
      {fields.map(([name, field]) => (
        <label key={name}>
          {field.title ?? name}
          {field.description && <span className="muted"> {field.description}</span>}
          {field.enum ? (
            <select onChange={(event) => set(name, event.target.value)} defaultValue="">
              <option value="" disabled>choose…</option>
              {field.enum.map((word) => <option key={word}>{word}</option>)}
            </select>
          ) : field.type === "boolean" ? (
            <input type="checkbox" onChange={(event) => set(name, event.target.checked)} />
          ) : field.type === "number" || field.type === "integer" ? (
            <input type="number" onChange={(event) => set(name, event.target.valueAsNumber)} />
          ) : (
            <input onChange={(event) => set(name, event.target.value)} />
          )}
        </label>
      ))}
      <div className="row">
        {question.options?.map((option) => (
          <button key={option.option_id} disabled={busy} className={option.kind.startsWith("allow") ? "primary" : ""}
            onClick={() => void answer({ option_id: option.option_id })}>{option.name}</button>
        ))}
        {question.kind === "elicitation" && (
          <>
            <button className="primary" disabled={busy}
              onClick={() => void answer(question.url ? { action: "accept" } : { action: "accept", content: values })}>Accept</button>
            <button disabled={busy} onClick={() => void answer({ action: "decline" })}>Decline</button>
          </>
        )}
        <button disabled={busy} onClick={() => void answer({ action: "cancel" })}>Cancel</button>
      </div>
      {error && <p className="problem" role="alert">{error}</p>}
    </section>
  );
}
