// What the page itself asks before it does something: whether one is sure, or for a word.
import { useEffect, useState } from "react";
import { Modal } from "./Modal";

interface Asking {
  title: string;
  text: string;
  /** What the button says that goes on. */
  action: string;
  /** The word to begin with; none if only a yes is asked for. */
  word?: string;
  done: (word: string | undefined) => void;
}

let ask: ((asking: Asking) => void) | undefined;

/** Whether one is sure. */
export const sure = (title: string, text: string, action: string): Promise<boolean> =>
  new Promise((done) => ask?.({ title, text, action, done: (word) => done(word !== undefined) }));

/** A word that is not empty, or none. */
export const wordFor = (title: string, word: string, action: string): Promise<string | undefined> =>
  new Promise((done) => ask?.({ title, text: "", action, word, done: (given) => done(given?.trim() || undefined) }));

function Dialog({ asking, close }: { asking: Asking; close: (word: string | undefined) => void }) {
  const [word, setWord] = useState(asking.word ?? "");
  return (
    <Modal label={asking.title} className="ask" close={() => close(undefined)}>
      <form onSubmit={(event) => { event.preventDefault(); close(word); }}>
        <h2>{asking.title}</h2>
        {asking.text !== "" && <p>{asking.text}</p>}
        {asking.word !== undefined && <input className="w-full" aria-label={asking.title} value={word} onFocus={(event) => event.target.select()} onChange={(event) => setWord(event.target.value)} />}
        <div className="row justify-end">
          <button type="button" onClick={() => close(undefined)}>Leave it</button>
          <button className="primary" disabled={asking.word !== undefined && word.trim() === ""}>{asking.action}</button>
        </div>
      </form>
    </Modal>
  );
}

/** Where these questions appear. */
export function Asks() {
  const [asking, setAsking] = useState<Asking>();
  useEffect(() => {
    ask = setAsking;
    return () => { ask = undefined; };
  }, []);
  if (asking === undefined) return null;
  return <Dialog asking={asking} close={(word) => { setAsking(undefined); asking.done(word); }} />;
}
