// Short words on what was done or went wrong, said to screen readers too.
import { useSyncExternalStore, type ReactNode } from "react";
import * as Toast from "@radix-ui/react-toast";
import { X } from "lucide-react";

type Mood = "good" | "bad";

interface Said {
  id: number;
  text: string;
  mood: Mood;
}

let said: Said[] = [];
let last = 0;
const listeners = new Set<() => void>();

function set(next: Said[]): void {
  said = next;
  for (const listener of listeners) listener();
}

export function toast(text: string, mood: Mood = "good"): void {
  last += 1;
  set([...said, { id: last, text, mood }]);
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

export function Toasts({ children }: { children: ReactNode }) {
  const shown = useSyncExternalStore(subscribe, () => said);
  return (
    <Toast.Provider swipeDirection="right">
      {children}
      {shown.map(({ id, text, mood }) => (
        <Toast.Root key={id} className={`toast ${mood}`} duration={mood === "bad" ? 12_000 : 4000} onOpenChange={(open) => open || set(said.filter((it) => it.id !== id))}>
          <Toast.Description>{text}</Toast.Description>
          <Toast.Close className="icon" aria-label="Dismiss"><X /></Toast.Close>
        </Toast.Root>
      ))}
      <Toast.Viewport className="toasts" />
    </Toast.Provider>
  );
}
