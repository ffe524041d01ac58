// Requests to the server. The cookie that the printed address gave shows who we are.
import type { FileConflict } from "./generated/wire";

/** An answer that was not what was asked for, in the server's words. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly conflicts: FileConflict[] = []) {
    super(message);
  }
}

/** How long an answer may take, in milliseconds: a decision may have thousands of files to write, a message is only kept. */
const LONGEST = 300_000;
export const LONGEST_MESSAGE = 30_000;

/** @throws ApiError with status 0 when the server cannot be reached, or does not answer. */
export async function call<T>(path: string, body?: unknown, method = body === undefined ? "GET" : "POST", longest = LONGEST): Promise<T> {
  const init: RequestInit = { method, signal: AbortSignal.timeout(longest) };
  if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, init);
    text = await response.text();
  } catch {
    throw init.signal?.aborted ? new ApiError(0, "silent", "The server does not answer.") : new ApiError(0, "offline", "The server cannot be reached.");
  }
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
