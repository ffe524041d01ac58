// Sessions as they go: one socket each, however many panes show it, which resumes where it broke off, and one update of the
// page a picture.
import { useCallback, useSyncExternalStore } from "react";
import { call } from "./api";
import { EMPTY, reduce, type Timeline, withHistory } from "./timeline";
import type { Frame, Message } from "./generated/wire";

/** The first and the longest pause before the socket is opened again. */
const RETRY_MS = 250;
const RETRY_MOST_MS = 4000;
/** How long a session that nobody shows is kept, so that going back to it shows it at once. */
const KEEP_MS = 30_000;
/** Messages of one request, for a session whose log no longer reaches back. */
const PAGE = 500;
/** The shortest time between two updates of the page: more often is more than one reads. */
const UPDATE_MS = 50;
/** How often a hidden tab, which is drawn no pictures, takes in what came. */
const HIDDEN_MS = 500;

export type Link = "connecting" | "online" | "offline" | "removed";

export interface View {
  timeline: Timeline;
  link: Link;
}

class Live {
  view: View = { timeline: EMPTY, link: "connecting" };
  private readonly listeners = new Set<() => void>();
  private frames: Frame[] = [];
  private socket: WebSocket | undefined;
  private pause = RETRY_MS;
  private retry: number | undefined;
  private leaving: number | undefined;
  private planned = false;
  private taken = 0;
  private over = false;
  /** The history that was read, or is being read; -1 if that failed. */
  private fetched = 0;

  constructor(private readonly id: string, private readonly ended: () => void) {
    this.open();
  }

  subscribe(listener: () => void): () => void {
    window.clearTimeout(this.leaving);
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.leaving = window.setTimeout(() => this.end(), KEEP_MS);
    };
  }

  private end(): void {
    this.over = true;
    window.clearTimeout(this.retry);
    this.socket?.close();
    this.ended();
  }

  private show(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    for (const listener of this.listeners) listener();
  }

  private plan(): void {
    if (this.planned) return;
    this.planned = true;
    const take = () => this.take();
    if (document.hidden) window.setTimeout(take, HIDDEN_MS);
    else window.setTimeout(() => requestAnimationFrame(take), Math.max(0, this.taken + UPDATE_MS - performance.now()));
  }

  private take(): void {
    this.planned = false;
    this.taken = performance.now();
    if (this.over) return;
    const timeline = reduce(this.view.timeline, this.frames);
    this.frames = [];
    this.show({ timeline });
    if (timeline.history !== this.fetched) void this.read(timeline.history);
  }

  /** Reads the messages over HTTP, the latest first, until there are no earlier ones. */
  private async read(wanted: number): Promise<void> {
    this.fetched = wanted;
    let before = "";
    try {
      for (;;) {
        const page = await call<Message[]>(`/api/sessions/${this.id}/messages?limit=${PAGE}${before}`);
        if (this.over || this.fetched !== wanted) return;
        this.show({ timeline: withHistory(this.view.timeline, page) });
        const first = page[0];
        if (first === undefined || page.length < PAGE) return;
        before = `&before=${first.id}`;
      }
    } catch {
      // The socket breaks with the server, and its next opening asks again.
      this.fetched = -1;
    }
  }

  private open(): void {
    const { timeline } = this.view;
    const after = Math.max(timeline.seq, ...this.frames.slice(-1).map((frame) => frame.seq));
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/sessions/${this.id}/ws?after=${after}`);
    this.socket = socket;
    socket.onopen = () => {
      this.pause = RETRY_MS;
      this.show({ link: "online" });
      if (this.fetched === -1) void this.read(this.view.timeline.history);
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      const told = JSON.parse(event.data) as Frame | Frame[];
      if (Array.isArray(told)) for (const frame of told) this.frames.push(frame);
      else this.frames.push(told);
      this.plan();
    };
    socket.onclose = (event) => {
      if (this.over) return;
      if (event.code === 1000) return this.show({ link: "removed" });
      this.show({ link: "offline" });
      this.retry = window.setTimeout(() => this.open(), this.pause);
      this.pause = Math.min(this.pause * 2, RETRY_MOST_MS);
    };
  }
}

const sessions = new Map<string, Live>();

function obtain(id: string): Live {
  let live = sessions.get(id);
  if (live === undefined) {
    live = new Live(id, () => sessions.delete(id));
    sessions.set(id, live);
  }
  return live;
}

export function useSession(id: string): View {
  const subscribe = useCallback((listener: () => void) => obtain(id).subscribe(listener), [id]);
  return useSyncExternalStore(subscribe, () => obtain(id).view);
}
