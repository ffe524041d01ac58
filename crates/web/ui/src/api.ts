// Requests to the server. The cookie that the printed address gave shows who we are.
import type { FileConflict } from "./generated/wire";

/** An answer that was not what was asked for, in the server's words. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly conflicts: FileConflict[] = []) {
    super(message);
  }
}

/** @throws ApiError with status 0 when the server cannot be reached. */
export async function call<T>(path: string, body?: unknown, method = body === undefined ? "GET" : "POST"): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(0, "offline", "The server cannot be reached.");
  }
  const text = await response.text();
  if (response.ok) return (text === "" ? undefined : JSON.parse(text)) as T;
  let problem: { error?: string; code?: string; conflicts?: FileConflict[] } = {};
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch {
    // What is in the way may answer with a page of its own; the status is all there is to say then.
  }
  throw new ApiError(response.status, problem.code ?? "unknown", problem.error ?? `The server answered ${response.status}.`, problem.conflicts);
}

export const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));
