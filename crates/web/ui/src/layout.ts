// What stands where on the page, kept over reloads: the panes, and how they look. The functions on layouts are pure.
import { useSyncExternalStore } from "react";

export interface Pane {
  session: string;
  chat?: string;
}

export type Theme = "system" | "light" | "dark";

export interface Layout {
  panes: Pane[];
  active: number;
  /** Whether the changes stand beside the conversation, and both sides of a difference side by side. */
  changes: boolean;
  sides: boolean;
  theme: Theme;
}

/** More would be too narrow to read. */
export const MOST_PANES = 4;

export const INITIAL: Layout = { panes: [], active: 0, changes: true, sides: false, theme: "system" };

/** Shows a session in the active pane; one that a pane shows already becomes active. */
export function show(layout: Layout, session: string): Layout {
  const at = layout.panes.findIndex((pane) => pane.session === session);
  if (at >= 0) return { ...layout, active: at };
  if (layout.panes.length === 0) return { ...layout, panes: [{ session }], active: 0 };
  return { ...layout, panes: layout.panes.map((pane, index) => (index === layout.active ? { session } : pane)) };
}

/** Puts a pane beside the active one, with the same session unless another is given. Two leave no room for changes unless one asks for them. */
export function split(layout: Layout, pane?: Pane): Layout {
  const beside = pane ?? layout.panes[layout.active];
  if (beside === undefined || layout.panes.length >= MOST_PANES) return layout;
  const at = layout.active + 1;
  return { ...layout, panes: [...layout.panes.slice(0, at), beside, ...layout.panes.slice(at)], active: at, changes: false };
}

export function close(layout: Layout, at: number): Layout {
  const panes = layout.panes.filter((_, index) => index !== at);
  const active = layout.active > at || layout.active >= panes.length ? layout.active - 1 : layout.active;
  return { ...layout, panes, active: Math.max(0, active) };
}

export function pick(layout: Layout, at: number, chat: string): Layout {
  return { ...layout, active: at, panes: layout.panes.map((pane, index) => (index === at ? { ...pane, chat } : pane)) };
}

/** What was kept, as far as it can be read: a later version may have written it. On a small screen changes are shown when asked for. */
export function restore(text: string | null, roomy = true): Layout {
  try {
    const kept = JSON.parse(text ?? "{}") as Partial<Layout>;
    const panes = (kept.panes ?? []).filter((pane) => typeof pane?.session === "string").slice(0, MOST_PANES);
    const active = Math.min(Math.max(0, Number(kept.active) || 0), Math.max(0, panes.length - 1));
    const theme = kept.theme === "light" || kept.theme === "dark" ? kept.theme : "system";
    return { panes, active, changes: kept.changes ?? roomy, sides: kept.sides === true, theme };
  } catch {
    return { ...INITIAL, changes: roomy };
  }
}

const KEY = "layout";
let current = INITIAL;
const listeners = new Set<() => void>();

/** Reads what was kept; the address names the session of the active pane. */
export function begin(): void {
  current = restore(localStorage.getItem(KEY), matchMedia("(min-width: 64rem)").matches);
  const named = () => {
    const id = location.hash.slice(1);
    if (id !== "") change((layout) => (layout.panes[layout.active]?.session === id ? layout : show(layout, id)));
  };
  named();
  settle();
  addEventListener("hashchange", named);
  addEventListener("popstate", named);
}

export function change(next: (layout: Layout) => Layout): void {
  const after = next(current);
  if (after === current) return;
  current = after;
  settle();
  for (const listener of listeners) listener();
}

function settle(): void {
  localStorage.setItem(KEY, JSON.stringify(current));
  document.documentElement.style.colorScheme = current.theme === "system" ? "light dark" : current.theme;
  const session = current.panes[current.active]?.session ?? "";
  const before = location.hash.slice(1);
  // Another session is another page to go back from.
  if (before !== session) history[before === "" ? "replaceState" : "pushState"](null, "", session === "" ? location.pathname : `#${session}`);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useLayout = (): Layout => useSyncExternalStore(subscribe, () => current);
