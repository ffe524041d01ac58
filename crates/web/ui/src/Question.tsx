// A question that an agent asks, with every answer that it offers.
import { useRef, useState, type FormEvent } from "react";
import { ApiError, call, words } from "./api";
import { Tool } from "./Entry";
import { Fields, untouched, type Schema } from "./Fields";
import type { Interaction } from "./generated/wire";

interface Props {
  question: Interaction;
  answered?: () => void;
  /** Whether to show the tool call too, where it is not in view anyway. */
  whole?: boolean;
}

export function Question({ question, answered, whole = false }: Props) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const schema = (question.schema ?? {}) as Schema;
  const [values, setValues] = useState(() => untouched(schema));
  const box = useRef<HTMLElement>(null);
  const answer = async (body: unknown) => {
    const pane = box.current?.contains(document.activeElement) ? box.current.closest(".pane") : null;
    setBusy(true);
    setError(undefined);
    try {
      await call(`/api/interactions/${question.id}`, body);
      // The button that was pressed goes with the question.
      pane?.querySelector<HTMLElement>("[aria-label=Message]")?.focus();
      answered?.();
    } catch (failure) {
      // Somebody else was faster: the frame that says so is on its way and takes this question off the page.
      if (!(failure instanceof ApiError && failure.code === "already_settled")) setError(words(failure));
      answered?.();
      setBusy(false);
    }
  };
  const set = (name: string, value: unknown) => setValues((before) => ({ ...before, [name]: value }));
  const accept = (event: FormEvent) => {
    event.preventDefault();
    if (question.kind === "elicitation") void answer(question.url ? { action: "accept" } : { action: "accept", content: values });
  };
  return (
    <section ref={box} className="question" role="group" aria-label={`${question.agent} asks: ${question.title}`}>
      <p><strong>{question.agent}</strong> asks: {question.title}</p>
      {question.url && <p>{/^https?:/i.test(question.url) ? <a href={question.url} target="_blank" rel="noreferrer noopener">{question.url}</a> : question.url}</p>}
      {whole && question.tool_call && <Tool call={question.tool_call} />}
      <form onSubmit={accept}>
        <Fields schema={schema} values={values} set={set} />
        <div className="row">
          {question.options?.map((option) => (
            <button key={option.option_id} type="button" disabled={busy} className={option.kind === "allow_once" ? "primary" : ""}
              onClick={() => void answer({ option_id: option.option_id })}>{option.name}</button>
          ))}
          {question.kind === "elicitation" && (
            <>
              <button className="primary" disabled={busy}>Accept</button>
              <button type="button" disabled={busy} onClick={() => void answer({ action: "decline" })}>Decline</button>
            </>
          )}
          <button type="button" disabled={busy} onClick={() => void answer({ action: "cancel" })}>Cancel</button>
        </div>
      </form>
      {error && <p className="problem" role="alert">{error}</p>}
    </section>
  );
}
