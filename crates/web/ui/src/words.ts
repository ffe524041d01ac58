// Words of the page that are more than a constant.
import type { AgentSession } from "./generated/wire";

/** How long ago, in the shortest words; never in the future. */
export function ago(then: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(then)) / 1000));
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ago`;
  return `${Math.floor(seconds / 86400)}d ago`;
}

/** What the chip says of an agent in a chat; nothing on a chat in which it has not spoken. */
export function chip(session: AgentSession | undefined, now: number): string | undefined {
  if (session === undefined || session.resumed === null || session.resumed === undefined) return undefined;
  switch (session.resumed) {
    case "native":
      return session.last_active_at ? `resumed, last active ${ago(session.last_active_at, now)}` : "resumed";
    case "history":
      return "history";
    case "new":
      return "new session";
    default:
      return session.resumed;
  }
}

/** What the server calls what was given no title. */
export const UNTITLED = "New session";

/** Characters of a title that is taken from what was said. */
const TITLE = 60;

/** A title from the first line that was said; none if there is no word in it. Marks that turn text around stay out. */
export function titleFrom(said: string): string | undefined {
  const line = said.split("\n").find((it) => it.trim() !== "")?.replace(/[\u202a-\u202e\u2066-\u2069]/g, "").trim();
  if (line === undefined || line === "") return undefined;
  const letters = [...line];
  return letters.length > TITLE ? `${letters.slice(0, TITLE).join("").trimEnd()}…` : line;
}

/** Who made a change. */
export const who = (agent: string | null): string => agent ?? "manual";

/** Over a list of changes: said only when more than one made them. */
export function mixed(agents: readonly (string | null)[]): string | undefined {
  const names = [...new Set(agents.map(who))].sort();
  return names.length > 1 ? `Changes from ${names.join(", ")}` : undefined;
}

/** Characters of a block that are laid out at once: more of them without a blank line is no prose. */
const LONG = 4000;

/**
 * Divides markdown at blank lines outside fences, so that only the last block of a growing text is parsed and laid out again.
 * What has no blank line for long is divided at the end of a line, or between words.
 */
export function blocks(text: string): string[] {
  const found: string[] = [];
  let block = "";
  let fence: string | undefined;
  const end = () => {
    found.push(block);
    block = "";
  };
  for (let line of text.split(/(?<=\n)/)) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence === undefined) fence = mark;
    else if (mark?.startsWith(fence)) fence = undefined;
    if (fence === undefined) {
      while (line.length > LONG) {
        const space = line.lastIndexOf(" ", LONG) + 1;
        const cut = space > LONG / 2 ? space : LONG;
        block += line.slice(0, cut);
        line = line.slice(cut);
        end();
      }
    }
    block += line;
    if (fence === undefined && block.trim() !== "" && line.endsWith("\n") && (line.trim() === "" || block.length > LONG)) end();
  }
  if (block !== "") end();
  return found;
}

/** Output of a terminal without the sequences that only a terminal knows: colours, titles, moves of the cursor. */
export const plain = (text: string): string =>
  text.replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g, "").replace(/[^\n]*\r(?!\n)/g, "");

/** A difference without what git writes above its first hunk: the files, their blobs and modes. */
export const withoutHeader = (diff: string): string => (diff.startsWith("diff --git ") && diff.includes("\n@@ ") ? diff.slice(diff.indexOf("\n@@ ") + 1) : diff);

/** A row of a difference whose sides stand beside each other; or a line that belongs to neither. */
export interface Row {
  left?: string;
  right?: string;
  changed?: boolean;
  whole?: string;
}

/** Puts lines that went beside those that came in their place. */
export function sides(diff: string): Row[] {
  const rows: Row[] = [];
  let gone: string[] = [];
  let come: string[] = [];
  const flush = () => {
    for (let at = 0; at < Math.max(gone.length, come.length); at += 1) {
      const row: Row = { changed: true };
      const [left, right] = [gone[at], come[at]];
      if (left !== undefined) row.left = left;
      if (right !== undefined) row.right = right;
      rows.push(row);
    }
    gone = [];
    come = [];
  };
  for (const line of diff.split("\n")) {
    if (/^(\+\+\+ |--- |@@|diff |\\ )/.test(line)) {
      flush();
      rows.push({ whole: line });
    } else if (line.startsWith("-")) {
      if (come.length > 0) flush();
      gone.push(line.slice(1));
    } else if (line.startsWith("+")) {
      come.push(line.slice(1));
    } else {
      flush();
      rows.push({ left: line.slice(1), right: line.slice(1) });
    }
  }
  flush();
  return rows;
}

/** The slash command that is being written, if one is: what it begins with. */
export const slash = (text: string): string | undefined => /^\/(\S*)$/.exec(text)?.[1];
