// A session's frames as state: one socket that resumes where it broke off, and one update of the page a picture.
import { useEffect, useState } from "react";
import { call } from "./api";
import { EMPTY, reduce, type Timeline, withHistory } from "./timeline";
import type { Frame, Message } from "./wire";

/** The first and the longest pause before the socket is opened again. */
const RETRY_MS = 250;
const RETRY_MOST_MS = 4000;

export type Link = "connecting" | "online" | "offline" | "removed";

export function useSession(id: string): { timeline: Timeline; link: Link } {
  const [timeline, setTimeline] = useState<Timeline>(EMPTY);
  const [link, setLink] = useState<Link>("connecting");

  useEffect(() => {
    let state = EMPTY;
    let frames: Frame[] = [];
    let over = false;
    let socket: WebSocket | undefined;
    let pause = RETRY_MS;
    let retry: number | undefined;
    let flush: number | undefined;
    let fetched = 0;

    // A hidden tab is drawn no pictures, so a timer takes their place there.
    const plan = () => {
      flush ??= document.hidden ? window.setTimeout(take, 500) : requestAnimationFrame(take);
    };
    const take = () => {
      flush = undefined;
      if (over) return;
      state = reduce(state, frames);
      frames = [];
      setTimeline(state);
      if (state.history !== fetched) void read(state.history);
    };
    const read = async (wanted: number) => {
      fetched = wanted;
      try {
        const messages = await call<Message[]>(`/api/sessions/${id}/messages`);
        if (over) return;
        state = withHistory(state, messages);
        setTimeline(state);
      } catch {
        // The socket breaks with the server, and its next opening asks again.
        fetched = -1;
      }
    };
    const open = () => {
      const after = Math.max(state.seq, ...frames.slice(-1).map((frame) => frame.seq));
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      socket = new WebSocket(`${scheme}://${location.host}/api/sessions/${id}/ws?after=${after}`);
      socket.onopen = () => {
        pause = RETRY_MS;
        setLink("online");
        if (fetched === -1) void read(state.history);
      };
      socket.onmessage = (event: MessageEvent<string>) => {
        const told = JSON.parse(event.data) as Frame | Frame[];
        if (Array.isArray(told)) frames.push(...told);
        else frames.push(told);
        plan();
      };
      socket.onclose = (event) => {
        if (over) return;
        if (event.code === 1000) return setLink("removed");
        setLink("offline");
        retry = window.setTimeout(open, pause);
        pause = Math.min(pause * 2, RETRY_MOST_MS);
      };
    };
    setTimeline(EMPTY);
    setLink("connecting");
    open();
    return () => {
      over = true;
      window.clearTimeout(retry);
      socket?.close();
    };
  }, [id]);

  return { timeline, link };
}
