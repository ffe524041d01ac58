// What is fetched, and when it is fetched again. Frames say when what they tell of has changed; the rest is asked for now and then.
import { keepPreviousData, QueryClient, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { call } from "./api";
import type { AgentSession, Checkpoint, Comparison, Interaction, PendingChange, Project, Provider, Session } from "./generated/wire";

/** How often the questions of all sessions are looked at. */
const INBOX_MS = 3000;
/** How often is looked which agents are there. */
const PROVIDERS_MS = 15_000;

export const client = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: 0, refetchOnWindowFocus: true } } });

/** Reads a path: again whenever `turn` changes, and every `every` milliseconds. What was read stays while the next is on its way. */
function useRead<T>(path: string, turn = 0, every: number | false = false, hidden = false): UseQueryResult<T> {
  return useQuery<T>({
    queryKey: [path, turn], queryFn: () => call<T>(path), refetchInterval: every, refetchIntervalInBackground: hidden, placeholderData: keepPreviousData,
  });
}

export const useProjects = () => useRead<Project[]>("/api/projects", 0, PROVIDERS_MS);
export const useSessions = (turn = 0) => useRead<Session[]>("/api/sessions", turn, PROVIDERS_MS);
export const useProviders = (turn = 0) => useRead<Provider[]>("/api/providers", turn, PROVIDERS_MS);
/** Also while the tab is hidden: that is when notifications matter. */
export const useInbox = () => useRead<Interaction[]>("/api/interactions", 0, INBOX_MS, true);
export const usePending = (session: string, turn: number) => useRead<PendingChange[]>(`/api/sessions/${session}/pending`, turn);
export const useAgentSessions = (session: string, turn: number) => useRead<AgentSession[]>(`/api/sessions/${session}/agent-sessions`, turn);
export const useTurns = (session: string, turn: number) => useRead<Checkpoint[]>(`/api/sessions/${session}/turns`, turn);
export const useComparison = (session: string, from: string, to: string) =>
  useRead<Comparison>(`/api/sessions/${session}/diff?from=${from}&to=${to}`);

/** Has everything below these paths fetched again. */
export const again = (...paths: string[]) =>
  client.invalidateQueries({ predicate: ({ queryKey }) => paths.some((path) => String(queryKey[0]).startsWith(path)) });

/** The time, as often as words like "3m ago" may change. */
export function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 15_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
