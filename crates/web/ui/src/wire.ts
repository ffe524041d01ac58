// What the server sends, as docs/api.md describes it. Answers may gain fields and words, so words are plain strings.

export type Content =
  | { type: "text"; text: string }
  | { type: "image"; mime_type: string; data: string; uri?: string }
  | { type: "audio"; mime_type: string; data: string }
  | { type: "resource_link"; uri: string; name: string; mime_type?: string }
  | { type: "resource"; uri: string; mime_type?: string; text?: string; blob?: string }
  | { type: "unknown"; raw: unknown };

export type ToolContent =
  | { type: "content"; content: Content }
  | { type: "diff"; path: string; old_text?: string; new_text: string }
  | { type: "terminal"; terminal_id: string }
  | { type: "unknown"; raw: unknown };

export interface ToolCall {
  id: string;
  title: string;
  kind: string;
  status: string;
  input: unknown;
  output: unknown;
  locations: { path: string; line?: number }[];
  content: ToolContent[];
}

export interface Outcome {
  decided_by: string;
  reason: string;
}

export interface Settlement {
  action: string;
  option_id?: string;
  content?: unknown;
}

export interface Interaction {
  id: string;
  session_id: string | null;
  chat_id: string | null;
  task_id: string;
  agent: string;
  kind: string;
  title: string;
  tool_call?: ToolCall;
  options?: { option_id: string; name: string; kind: string }[];
  schema?: unknown;
  url?: string;
  created_at: string;
}

export interface Command {
  name: string;
  description?: string;
  hint?: string;
}

export interface Choice {
  id: string;
  name: string;
  description?: string;
}

export interface ConfigOption {
  id: string;
  name: string;
  category?: string;
  value: unknown;
  choices: Choice[];
}

export interface PlanEntry {
  content: string;
  priority: string;
  status: string;
}

export type FrameBody =
  | { type: "message_started"; role: string; agent: string; content?: string; attachments?: Content[] }
  | { type: "delta"; content: string }
  | { type: "reasoning_delta"; content: string }
  | { type: "attachment"; content: Content }
  | { type: "user_content"; content: Content }
  | { type: "tool_call"; tool_call: ToolCall }
  | { type: "agent_commands"; commands: Command[] }
  | { type: "plan"; entries: PlanEntry[] }
  | { type: "mode_changed"; mode_id: string }
  | { type: "config_options"; options: ConfigOption[] }
  | { type: "message_edited"; content: string; attachments?: Content[] }
  | { type: "renamed"; title: string }
  | { type: "agent_title"; title: string | null }
  | { type: "usage"; input_tokens: number; output_tokens: number; cost: number | null; currency?: string }
  | { type: "notice"; message: string }
  | { type: "compaction"; summary?: string; status?: string }
  | { type: "unmapped"; kind: string; raw: unknown }
  | { type: "interaction_requested"; interaction: Interaction }
  | { type: "interaction_resolved"; id: string; outcome: Settlement; decided_by: string }
  | { type: "message_complete"; status: string; error?: string }
  | { type: "task_updated"; state: string; outcome?: Outcome }
  | { type: "pending_changed"; agents: (string | null)[] }
  | { type: "agent_session_updated"; agent: string; status: string; has_session: boolean; resumed?: string }
  | { type: "resync"; reason: string };

export type Frame = FrameBody & { seq: number; chat_id?: string; message_id?: string; task_id?: string };

export interface Chat {
  id: string;
  session_id: string;
  title: string | null;
}

export interface Session {
  id: string;
  project_id: string;
  title: string | null;
  chats: Chat[];
}

export interface Project {
  id: string;
  name: string;
  path: string;
}

export interface Provider {
  name: string;
  label: string;
  enabled: boolean;
  status: string;
  reason?: string;
  hint?: string;
  models: Choice[];
  modes: Choice[];
  thinking_options: Choice[];
  commands: Command[];
}

export interface Message {
  id: string;
  chat_id: string;
  task_id: string | null;
  role: string;
  agent: string;
  content: string;
  attachments: Content[] | null;
  reasoning: string | null;
  tool_calls: ToolCall[] | null;
  status: string;
  error: string | null;
}

export interface AgentSession {
  chat_id: string;
  agent: string;
  status: string;
  has_session: boolean;
  resumed: string | null;
  last_active_at: string | null;
}

export interface PendingChange {
  id: string;
  file_path: string;
  old_path?: string;
  operation: string;
  status: string;
  agent: string | null;
  agents: (string | null)[];
  diff: string;
  hunks: Hunk[];
}

export interface Hunk {
  id: string;
  diff: string;
  status: string;
  agent: string | null;
}

/** A turn that has ended, and what the worktree held before and after it. */
export interface Checkpoint {
  turn: string;
  chat_id: string | null;
  agent: string;
  state: string;
  started_at: string;
  before_tree: string | null;
  after_tree: string | null;
}

export interface Comparison {
  files: { file_path: string; operation: string; binary: boolean; diff: string }[];
}

/** A file that stands in the way of a decision; a side without lines is null. */
export interface FileConflict {
  file_path: string;
  reason: string;
  ours: string | null;
  base: string | null;
  theirs: string | null;
}
