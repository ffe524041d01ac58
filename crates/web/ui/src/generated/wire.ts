// Generated from crates/wire by `cargo xtask gen`: not to be edited by hand.

/** A frame as it is written: its number first, then its type. */
export type Frame = FrameBody & {
  /** Its number within the session. */
  seq: number,
  /** The chat it is about. */
  chat_id?: string,
  /** The message it is about. */
  message_id?: string,
  /** The task it is about. */
  task_id?: string,
};

/** What a frame tells. */
export type FrameBody = { "type": "message_started",
  /** `user` or `assistant`. */
  role: string,
  /** The agent asked, or answering. */
  agent: string,
  /** A human's text; absent for an agent's message. */
  content?: string,
  /** A human's parts that are not text. */
  attachments?: Array<Content>,
} | { "type": "delta",
  /** The text to append. */
  content: string,
} | { "type": "reasoning_delta",
  /** The text to append. */
  content: string,
} | { "type": "attachment",
  /** The part. */
  content: Content,
} | { "type": "user_content",
  /** The part. */
  content: Content,
} | { "type": "tool_call",
  /** The state. */
  tool_call: ToolCall,
} | { "type": "agent_commands",
  /** The commands. */
  commands: Array<Command>,
} | { "type": "plan",
  /** Its steps. */
  entries: Array<PlanEntry>,
} | { "type": "mode_changed",
  /** The agent's id for the mode. */
  mode_id: string,
} | { "type": "config_options",
  /** The options. */
  options: Array<ConfigOption>,
} | { "type": "agent_title",
  /** The title, or null if it was taken back. */
  title: string | null,
} | { "type": "usage",
  /** Tokens read. */
  input_tokens: number,
  /** Tokens written. */
  output_tokens: number,
  /**
   * Cost in the main currency: US dollars, or the only one there is. Null where tokens were used whose cost nobody
   * told.
   */
  cost: number | null,
  /** In which currency `cost` is. */
  currency?: string,
  /** The cost in each currency, where there are several. */
  costs?: { [key in string]: number },
  /** Who told what this frame brought: `agent`, `step_event` or `price_table`. */
  source?: string,
  /** The part of it that the turn under way used; absent between turns. */
  turn?: Used,
  /** Tokens in the context. */
  context_used?: number,
  /** Tokens that the context can hold. */
  context_size?: number,
} | { "type": "notice",
  /** The remark. */
  message: string,
} | { "type": "compaction",
  /** The summary, or a part of it. */
  summary?: string,
  /** How far it has come, in the agent's word. */
  status?: string,
} | { "type": "unmapped",
  /** What the agent calls it. */
  kind: string,
  /** All of it. */
  raw: unknown,
} | { "type": "interaction_requested",
  /** The question. */
  interaction: Interaction,
} | { "type": "interaction_resolved",
  /** Which one. */
  id: string,
  /** How. */
  outcome: Settlement,
  /** By whom: `agent`, `user`, `policy`, `watchdog` or `crash`. */
  decided_by: string,
} | { "type": "message_complete",
  /** `complete`, `failed` or `cancelled`. */
  status: string,
  /** Why it failed. */
  error?: string,
} | { "type": "task_updated",
  /** `queued`, `running`, `completed`, `failed` or `cancelled`. */
  state: string,
  /** How it ended. */
  outcome?: Outcome,
} | { "type": "pending_changed",
  /** The agents whose changes are pending; null stands for a human. */
  agents: Array<string | null>,
} | { "type": "agent_session_updated",
  /** The agent. */
  agent: string,
  /** `active`, `idle`, `crashed` or `closed`. */
  status: string,
  /** Whether a native session id is stored. */
  has_session: boolean,
  /** How it came to its context: `native`, `history` or `new`. */
  resumed?: string,
} | { "type": "renamed",
  /** The title. */
  title: string,
} | { "type": "message_edited",
  /** To which agent it goes, if that has changed as well. */
  agent?: string,
  /** Its text, whole. */
  content: string,
  /** Its parts that are not text, whole. */
  attachments?: Array<Content>,
} | { "type": "resync",
  /** Why. */
  reason: string,
};

/** One part of a message: `{"type": "text", "text": …}` and so on. */
export type Content = { "type": "text",
  /** The text. */
  text: string,
} | { "type": "image",
  /** Its media type. */
  mime_type: string,
  /** Its bytes. */
  data: string,
  /** Where it came from. */
  uri?: string,
} | { "type": "audio",
  /** Its media type. */
  mime_type: string,
  /** Its bytes. */
  data: string,
} | { "type": "resource_link",
  /** Where it is. */
  uri: string,
  /** What to call it. */
  name: string,
  /** Its media type. */
  mime_type?: string,
} | { "type": "resource",
  /** Where it is. */
  uri: string,
  /** Its media type. */
  mime_type?: string,
  /** Its text. */
  text?: string,
  /** Its bytes. */
  blob?: string,
} | { "type": "unknown",
  /** All of it. */
  raw: unknown,
};

/** A place in a file. */
export type Location = {
  /** The path as the agent gave it. */
  path: string,
  /** The line as the agent counts. */
  line?: number,
};

/** What a tool call shows. */
export type ToolContent = { "type": "content",
  /** The part. */
  content: Content,
} | { "type": "diff",
  /** The path as the agent gave it. */
  path: string,
  /** The text before; absent for a new file. */
  old_text?: string,
  /** The text after. */
  new_text: string,
} | { "type": "terminal",
  /** Its id. */
  terminal_id: string,
} | { "type": "unknown",
  /** All of it. */
  raw: unknown,
};

/** The whole state of a tool call. */
export type ToolCall = {
  /** The agent's id for it. */
  id: string,
  /** What it does, in words. */
  title: string,
  /** `read`, `edit`, `delete`, `move`, `search`, `execute`, `think`, `fetch`, `switch_mode` or `other`. */
  kind: string,
  /** `pending`, `in_progress`, `completed`, `failed` or `canceled`. */
  status: string,
  /** Its arguments, or null. */
  input: unknown | null,
  /** Its result, or null. */
  output: unknown | null,
  /** The files it touches. */
  locations: Array<Location>,
  /** What it shows. */
  content: Array<ToolContent>,
};

/** One step of a plan. */
export type PlanEntry = {
  /** What is to be done. */
  content: string,
  /** `high`, `medium` or `low`. */
  priority: string,
  /** `pending`, `in_progress` or `completed`. */
  status: string,
};

/** A slash command. */
export type Command = {
  /** Its name, without the slash. */
  name: string,
  /** What it does. */
  description?: string,
  /** What to type after it. */
  hint?: string,
};

/** One choice of a session's option. */
export type Choice = {
  /** The agent's id for it. */
  id: string,
  /** What to call it. */
  name: string,
  /** What it means. */
  description?: string,
};

/** Something about a session that can be set. */
export type ConfigOption = {
  /** The agent's id for it. */
  id: string,
  /** What to call it. */
  name: string,
  /** What it does. */
  description?: string,
  /** `mode`, `model`, `thought_level` or the agent's own word. */
  category?: string,
  /** What it is set to: a choice's id, true or false, or an unknown kind's own JSON. */
  value: unknown,
  /** What it can be set to; empty for what is on or off. */
  choices: Array<Choice>,
};

/** One way to answer a permission request. */
export type PermissionOption = {
  /** The id to answer with. */
  option_id: string,
  /** What to show. */
  name: string,
  /** `allow_once`, `allow_always`, `reject_once`, `reject_always` or `other`. */
  kind: string,
};

/** A question from an agent to a human. */
export type Interaction = {
  /** The id to answer it by. */
  id: string,
  /** The session it was asked in. */
  session_id: string | null,
  /** The chat it was asked in. */
  chat_id: string | null,
  /** The task it was asked for. */
  task_id: string,
  /** The agent that asks. */
  agent: string,
  /** `permission` or `elicitation`. */
  kind: string,
  /** What to show as the question. */
  title: string,
  /** The tool call in question. */
  tool_call?: ToolCall,
  /** The ways to answer a permission request. */
  options?: Array<PermissionOption>,
  /** The JSON schema of a form's answer. */
  schema?: unknown,
  /** The address to open. */
  url?: string,
  /** When it was asked. */
  created_at: string,
};

/** How a task ended. */
export type Outcome = {
  /** `agent`, `user`, `policy`, `watchdog` or `crash`. */
  decided_by: string,
  /** Why, in words. */
  reason: string,
};

/** How an interaction was settled. */
export type Settlement = {
  /** `selected`, `accepted`, `declined` or `cancelled`. */
  action: string,
  /** The option chosen. */
  option_id?: string,
  /** The form's content. */
  content?: unknown,
};

/** What was used by something. */
export type Used = {
  /** Tokens read. */
  input_tokens: number,
  /** Tokens written. */
  output_tokens: number,
  /**
   * Cost in the main currency: US dollars, or the only one there is. Zero if nothing was used; null where tokens were
   * used whose cost nobody told, or where there are several currencies and none is US dollars.
   */
  cost: number | null,
  /** In which currency `cost` is. */
  currency?: string,
  /** The cost in each currency, where there are several. */
  costs?: { [key in string]: number },
};

/** What is said to an agent: one text, or several parts. */
export type Contents = string | Array<Content>;

/** Who answers an agent's permission requests. */
export type Approval = "ask" | "auto";

/** `POST /api/projects` */
export type NewProject = {
  /** A directory in the project's checkout. */
  path: string,
  /** What to call it; absent means the directory's name. */
  name?: string,
};

/** `PATCH /api/projects/:id` */
export type MovedProject = {
  /** Where the project's checkout is now. */
  path: string,
};

/** `POST /api/sessions` */
export type NewSession = {
  /** The project to work on. */
  project_id: string,
  /** What to call it. */
  title?: string,
};

/** `POST /api/sessions/:id/chats` */
export type NewChat = {
  /** What to call it. */
  title?: string,
};

/** `POST /api/chats/:id/fork` */
export type NewFork = {
  /** The last message that the new chat begins with; absent means the last one that is said to its end. */
  message_id?: string,
  /** What to call it; absent means as the chat it comes from. */
  title?: string,
};

/** `POST /api/messages/:id/swap` */
export type NewSwap = {
  /** The message that it changes places with. */
  with: string,
};

/** `PATCH /api/sessions/:id`, `PATCH /api/chats/:id` */
export type NewTitle = {
  /** What to call it from now on. */
  title: string,
};

/** `POST /api/sessions/:id/messages` */
export type NewMessage = {
  /** What is said. */
  content: Contents,
  /** To which agent. */
  agent: string,
  /** In which chat; absent means the session's first. */
  chat_id?: string,
  /** With which model; absent means the agent's own choice. */
  model?: string,
  /** In which mode. */
  mode_id?: string,
  /** Thinking how hard. */
  thinking_option_id?: string,
  /** Who answers permission requests. */
  approval?: Approval,
  /** What makes a repeated request the same request. */
  request_id?: string,
};

/** `PATCH /api/messages/:id` */
export type EditedMessage = {
  /** What is said instead. */
  content: Contents,
};

/** `POST /api/tasks` */
export type NewTask = {
  /** The project to work on. */
  project_id: string,
  /** What is asked. */
  input: Contents,
  /** Of which agent. */
  agent: string,
  /** The session, if it belongs to one. */
  session_id?: string,
  /** The chat, if it belongs to one. */
  chat_id?: string,
  /** With which model; absent means the agent's own choice. */
  model?: string,
  /** In which mode. */
  mode_id?: string,
  /** Thinking how hard. */
  thinking_option_id?: string,
  /** Who answers permission requests. */
  approval?: Approval,
  /** What makes a repeated request the same request. */
  request_id?: string,
};

/** `POST /api/interactions/:id` */
export type NewAnswer = {
  /** Which one. */
  option_id: string,
} | {
  /** What is done. */
  action: AnswerAction,
  /** The form's content, if it is accepted. */
  content?: unknown,
};

/** What is done with an elicitation. */
export type AnswerAction = "accept" | "decline" | "cancel";

/** `POST /api/sessions/:id/pending`: a human's own change. */
export type NewPending = {
  /** The file, relative to the project's root. */
  file_path: string,
  /** Its whole content. */
  content: string,
};

/** `POST /api/pending/:id/apply`, `/reject` and `/revert` */
export type HunkChoice = {
  /** The hunks meant; absent or empty means all. */
  hunks?: Array<string>,
};

/** `POST /api/sessions/:id/pending/apply`, `/reject` and `/revert`: several changes at once, all of them or none. */
export type ChangeChoice = {
  /** The changes meant; absent means all that can be decided on. */
  changes?: Array<PickedChange>,
};

/** One of the changes of a [`ChangeChoice`]. */
export type PickedChange = {
  /** The change. */
  id: string,
  /** The hunks meant; absent or empty means all. */
  hunks?: Array<string>,
};

/** `POST /api/sessions/:id/restore`: brings the worktree back to what it held after a turn. */
export type NewRestore = {
  /** The task of the turn. */
  turn: string,
};

/** `POST /api/sessions/:id/export`: makes a branch of a session's turns, one commit each. */
export type NewExport = {
  /** The branch's name. There must be none of that name. */
  branch: string,
};

/** `GET /api/health` */
export type Health = {
  /** `ok`. */
  status: string,
  /** The server's version. */
  version: string,
};

/** An agent, and what it offers as far as is known. */
export type Provider = {
  /** Its name in the registry. */
  name: string,
  /** What to show. */
  label: string,
  /** Whether it may be used. */
  enabled: boolean,
  /** `ready`, `loading`, `unavailable` or `error`. */
  status: string,
  /** Why it is not ready. */
  reason?: string,
  /** How to mend that. */
  hint?: string,
  /** Its models; empty while they are not known. */
  models: Array<Choice>,
  /** Its modes; empty while they are not known. */
  modes: Array<Choice>,
  /** How hard it can think; empty while that is not known. */
  thinking_options: Array<Choice>,
  /** Its slash commands, as far as they are known. */
  commands: Array<Command>,
};

/** A project. */
export type Project = {
  /** Its id. */
  id: string,
  /** What to call it. */
  name: string,
  /** The root of its checkout. */
  path: string,
  /** When it was added. */
  created_at: string,
};

/** A session with its chats, oldest first. */
export type Session = {
  /** Its id. */
  id: string,
  /** The project it works on. */
  project_id: string,
  /** What to call it. */
  title: string,
  /** Its chats. */
  chats: Array<Chat>,
  /** When it began. */
  created_at: string,
};

/** A chat. */
export type Chat = {
  /** Its id. */
  id: string,
  /** The session it belongs to. */
  session_id: string,
  /** What to call it. */
  title: string,
  /** The message of another chat up to which, itself included, this one begins with what was said there. */
  forked_from?: string,
  /** When it was opened. */
  created_at: string,
};

/** A message. */
export type Message = {
  /** Its id. */
  id: string,
  /** The chat it stands in. */
  chat_id: string | null,
  /** The task it asks for or answers. */
  task_id: string,
  /** `user` or `assistant`. */
  role: string,
  /** The agent asked, or answering. */
  agent: string,
  /** What is said, whole. */
  content: string,
  /** Parts that are not text. */
  attachments: Array<Content>,
  /** The reasoning shown, whole. */
  reasoning: string,
  /** The tool calls, each as its last snapshot. */
  tool_calls: Array<ToolCall>,
  /** `queued`, `streaming`, `complete`, `failed` or `cancelled`. */
  status: string,
  /** Why it failed. */
  error: string | null,
  /** When it began. */
  created_at: string,
  /** When it ended. */
  finished_at: string | null,
};

/** The answer to [`NewMessage`](super::NewMessage): the message is kept, and will be answered. */
export type Accepted = {
  /** The human's message. */
  message_id: string,
  /** The task that answers it. */
  task_id: string,
  /** The chat it stands in. */
  chat_id: string,
};

/** A task. */
export type Task = {
  /** Its id. */
  id: string,
  /** The project it works on. */
  project_id: string,
  /** The session it came from. */
  session_id: string | null,
  /** The chat it came from. */
  chat_id: string | null,
  /** The agent that does it. */
  agent: string,
  /** What it is asked to do. */
  input: Array<Content>,
  /** The model to use, or null for the agent's own choice. */
  model: string | null,
  /** The mode to use. */
  mode_id: string | null,
  /** How hard to think. */
  thinking_option_id: string | null,
  /** Who answers permission requests. */
  approval: Approval,
  /** `queued`, `running`, `completed`, `failed` or `cancelled`. */
  state: string,
  /** `native`, `acp`, `acp_warm`, `opencode` or `pty`; null before it runs. */
  execution_path: string | null,
  /** How it ended. */
  outcome: Outcome | null,
  /** The beginning of the answer, or the error. */
  output_summary: string | null,
  /** The agent's answer, whole. Only a single task is shown with it, not the tasks of a list. */
  output?: string,
  /** Tokens used, input and output together. */
  cost_tokens: number | null,
  /** When it was asked for. */
  created_at: string,
  /** When an agent began. */
  started_at: string | null,
  /** When it ended. */
  ended_at: string | null,
};

/** The answer to [`NewAnswer`](super::NewAnswer): how the question is settled now. */
export type Settled = {
  /** The question. */
  id: string,
  /** How it was settled. */
  outcome: Settlement,
  /** By whom: `agent`, `user`, `policy`, `watchdog` or `crash`. */
  decided_by: string,
};

/** What is known of one agent in one chat. */
export type AgentSession = {
  /** The chat. */
  chat_id: string,
  /** The agent. */
  agent: string,
  /** `active`, `idle`, `crashed` or `closed`. */
  status: string,
  /** Whether a native session id is stored. */
  has_session: boolean,
  /** How it came to its context: `native`, `history` or `new`; null before it was opened. */
  resumed: string | null,
  /** When it last did something. */
  last_active_at: string | null,
  /** Tokens read. */
  input_tokens: number,
  /** Tokens written. */
  output_tokens: number,
  /**
   * Cost in the main currency: US dollars, or the only one there is. Zero if nothing was used; null where tokens were
   * used whose cost nobody told, or where there are several currencies and none is US dollars.
   */
  cost: number | null,
  /** In which currency `cost` is. */
  currency?: string,
  /** The cost in each currency, where there are several. */
  costs?: { [key in string]: number },
};

/** `GET /api/sessions/:id/worktree-risk`: what is at stake when the session's worktree is deleted. */
export type Risk = {
  /** Files that differ from the worktree's last commit. */
  uncommitted: number,
  /** Commits that no branch of the project has. */
  unmerged: number,
  /** Pending changes that nobody has decided on. */
  pending: number,
};

/** An element of `GET /api/worktrees`. */
export type Worktree = {
  /** Its id. */
  id: string,
  /** The project that it was made from. */
  project_id: string,
  /** The session that owns it, if one does. */
  session_id: string | null,
  /** The task that owns it, if one does. */
  task_id: string | null,
  /** Where it is. */
  path: string,
  /** The commit that it was made from. */
  base_commit: string,
  /** When it was made. */
  created_at: string,
  /**
   * `ready`; or `gone`, `unlinked` or `incomplete`, which is mended by whoever uses it next or by a repair; or
   * `no_project`.
   */
  state: string,
  /** Why its project cannot be opened, if it cannot. */
  problem: string | null,
  /** The tasks that run in it now. */
  running: Array<string>,
};

/** A change to one file that waits for a human, or was decided on. */
export type PendingChange = {
  /** Its id. */
  id: string,
  /** The session it belongs to. */
  session_id: string | null,
  /** The task that made it, or null for a human's own. */
  task_id: string | null,
  /** The file, relative to the project's root. */
  file_path: string,
  /** Where a renamed file was before. */
  old_path?: string,
  /** `create`, `edit`, `delete`, `rename` or `mode`. */
  operation: string,
  /** `pending`, `applied`, `rejected`, `reverted`, `superseded` or `stale`. */
  status: string,
  /** The agent whose turn touched it last, or null for a human. */
  agent: string | null,
  /** All whose doing it is, null for a human. */
  agents: Array<string | null>,
  /** Whether it has no lines to show: it is decided on as a whole. */
  binary: boolean,
  /** The mode before, as git writes it: `100644`, `100755`, or `120000` for a symbolic link. */
  old_mode?: string,
  /** The mode after. */
  new_mode?: string,
  /** The change as a unified diff. */
  diff: string,
  /** The same, hunk by hunk. */
  hunks: Array<Hunk>,
  /** What was decided on it, oldest first. */
  decisions: Array<PendingDecision>,
  /** When it was made. */
  created_at: string,
};

/** A hunk of a pending change. */
export type Hunk = {
  /** Its id. */
  id: string,
  /** Its first line before, from 1 (0 for an empty file). */
  old_start: number,
  /** How many lines before it covers. */
  old_lines: number,
  /** Its first line after, from 1. */
  new_start: number,
  /** How many lines after it covers. */
  new_lines: number,
  /** Its header and its lines, each with its `+`, `-` or space. */
  diff: string,
  /** As for the whole change. */
  status: string,
  /** The agent whose turn touched its lines last, or null for a human. */
  agent: string | null,
  /** The task of that turn. */
  task_id?: string,
  /** The tool call that made it, where it is known. */
  tool_call_id?: string,
};

/** One decision on a pending change. */
export type PendingDecision = {
  /** `apply`, `reject`, `revert` or `rebase`. */
  kind: string,
  /** The hunks that it was about; empty for a change without hunks. */
  hunks: Array<string>,
  /** By whom: `user`. */
  decided_by: string,
  /** When. */
  at: string,
  /** The commit that the place stood on; empty for a refusal that is carried out when the turn ends. */
  against: string,
};

/** A turn of a session, and what its worktree held before and after it. */
export type Checkpoint = {
  /** The task of the turn. */
  turn: string,
  /** The chat it was in. */
  chat_id: string | null,
  /** The agent. */
  agent: string,
  /** How the task stands. */
  state: string,
  /** When the turn began. */
  started_at: string,
  /** When it ended. */
  ended_at: string | null,
  /** The git tree before, in hexadecimal. */
  before_tree: string | null,
  /** The git tree after. */
  after_tree: string | null,
};

/** `GET /api/sessions/:id/diff`: what changed from one moment to another. */
export type Comparison = {
  /** A file each. */
  files: Array<FileComparison>,
};

/** What changed in one file. */
export type FileComparison = {
  /** The file, relative to the project's root. */
  file_path: string,
  /** Where a renamed file was before. */
  old_path?: string,
  /** As for a pending change. */
  operation: string,
  /** Whether it has no lines to show. */
  binary: boolean,
  /** The change as a unified diff. */
  diff: string,
};

/** `POST /api/sessions/:id/export`: a branch that was made. */
export type Branch = {
  /** Its name. */
  branch: string,
  /** Its last commit. */
  commit: string,
};

/** `GET /api/stats` */
export type Stats = {
  /** From this time on, itself included; null means from the beginning. */
  from: string | null,
  /** Up to this time, itself excluded; null means up to now. */
  to: string | null,
  /** What the groups are told apart by, in this order. */
  group_by: Array<string>,
  /** Each group that there is something of, in the order of its values. */
  groups: Array<StatsGroup>,
  /** All of them together. */
  total: StatsGroup,
};

/** One group, or all together. */
export type StatsGroup = {
  /** Tokens read. */
  input_tokens: number,
  /** Tokens written. */
  output_tokens: number,
  /**
   * Cost in the main currency: US dollars, or the only one there is. Zero if nothing was used; null where tokens were
   * used whose cost nobody told, or where there are several currencies and none is US dollars.
   */
  cost: number | null,
  /** In which currency `cost` is. */
  currency: string | null,
  /** Every cost, by currency and by who told it. */
  costs: Array<StatsCost>,
  /** Turns by how they ended. */
  turns: TurnCounts,
} & ({ [key in string]: string | null });

/** A cost in one currency, told by one source. */
export type StatsCost = {
  /** The currency. */
  currency: string,
  /** `agent`, `step_event` or `price_table`. */
  source: string,
  /** The amount. */
  amount: number,
};

/** How many turns there were, by how they ended. A turn counts when it began. */
export type TurnCounts = {
  /** Those that were completed. */
  completed: number,
  /** Those that failed. */
  failed: number,
  /** Those that were cancelled. */
  cancelled: number,
  /** Those that have not ended. */
  running: number,
};

/** `{"error": "lower-case message", "code": "stable_code"}`: the message is for a human, the code for a program. */
export type Problem = {
  /** What is wrong, in words. */
  error: string,
  /** What is wrong, for programs: it does not change between versions. */
  code: string,
} & (Details | {});

/** What some errors tell beside their message and code. */
export type Details = {
  /** How. */
  outcome: Settlement,
  /** By whom: `agent`, `user`, `policy`, `watchdog` or `crash`. */
  decided_by: string,
} | Risk | {
  /** One for each. */
  conflicts: Array<FileConflict>,
};

/** A file that was changed on both sides. A side that has no lines to show is null. */
export type FileConflict = {
  /** The file, relative to the project's root. */
  file_path: string,
  /** Why it cannot be written, in words. */
  reason: string,
  /** What the file holds where both sides changed it, or all of it. */
  ours: string | null,
  /** What both sides started from. */
  base: string | null,
  /** What was to be written. */
  theirs: string | null,
};
