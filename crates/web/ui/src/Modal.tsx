// A dialog of the browser's own over the page: closed by Escape, by its own buttons, and by a click beside it.
import { useEffect, useRef, type ReactNode } from "react";

export function Modal({ label, className, close, children }: { label: string; className: string; close: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
    // What is to be typed is typed at once.
    dialog.current?.querySelector("input")?.focus();
  }, []);
  return (
    <dialog ref={dialog} className={className} aria-label={label} onClose={close} onClick={(event) => event.target === dialog.current && close()}>
      {children}
    </dialog>
  );
}
