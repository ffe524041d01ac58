//! Every route: what it takes, and what it answers.

use boocoder_wire::frame::Numbered;
use boocoder_wire::http::{
    Accepted, AgentSession, Branch, ChangeChoice, Chat, Checkpoint, Comparison, EditedMessage, Health, HunkChoice,
    Message, MovedProject, NewAnswer, NewChat, NewExport, NewFork, NewMessage, NewPending, NewProject, NewRestore,
    NewSession, NewSwap, NewTask, NewTitle, PendingChange, Project, Provider, Risk, Session, Settled, Stats, Task,
    Worktree,
};
use boocoder_wire::parts::Interaction;

use super::operation::{Kind, Operation};

const fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, summary)
}

const fn post(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, summary)
}

const fn patch(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("patch", path, summary)
}

const fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("delete", path, summary)
}

/// All of them, in the order of `docs/api.md`.
pub(super) fn all() -> impl Iterator<Item = Operation> {
    [server(), projects(), sessions(), messages(), tasks(), interactions(), pending(), checkpoints()]
        .into_iter()
        .flatten()
}

fn server() -> Vec<Operation> {
    vec![
        get("/", "The web page")
            .asks("token", Kind::Text, "The token, to be kept in a cookie")
            .tells("text/html")
            .ends(303, "The cookie is set, and the page is at `/`"),
        get("/assets/{name}", "What the page loads").tells("*/*"),
        get("/api/health", "Whether the server runs").open().answers::<Health>(200),
        get("/api/ready", "Whether the database answers").answers::<Health>(200),
        get("/metrics", "What was counted since the start, as Prometheus reads it").tells("text/plain").refuses(&[503]),
        get("/api/openapi.json", "This document").tells_json(),
        get("/api/providers", "Each agent, and what it offers as far as is known")
            .asks("project_id", Kind::Id, "For this project")
            .lists::<Provider>()
            .refuses(&[404]),
        statistics(),
    ]
}

fn statistics() -> Operation {
    get("/api/stats", "What was used, and how turns ended, in groups")
        .asks("from", Kind::Time, "From this time on, itself included")
        .asks("to", Kind::Time, "Up to this time, itself excluded")
        .asks("project_id", Kind::Id, "Of this project alone")
        .asks("session_id", Kind::Id, "Of this session alone")
        .asks("chat_id", Kind::Id, "Of this chat alone")
        .asks("agent", Kind::Text, "Of this agent alone")
        .asks("group_by", Kind::Text, "agent, project, session, chat, task, model, day or hour; several with commas")
        .answers::<Stats>(200)
}

fn projects() -> Vec<Operation> {
    vec![
        post("/api/projects", "Adds the project whose checkout holds a path")
            .takes::<NewProject>()
            .answers::<Project>(201),
        get("/api/projects", "All projects, oldest first").lists::<Project>(),
        patch("/api/projects/{id}", "Tells where a project's checkout is now")
            .takes::<MovedProject>()
            .answers::<Project>(200)
            .refuses(&[409]),
        get("/api/worktrees", "The worktrees, and how each is")
            .asks("project_id", Kind::Id, "Of this project alone")
            .lists::<Worktree>(),
        post("/api/worktrees/{id}/repair", "Mends a worktree").answers::<Worktree>(200).refuses(&[409, 422]),
    ]
}

fn sessions() -> Vec<Operation> {
    vec![
        post("/api/sessions", "Begins a session with one chat")
            .takes::<NewSession>()
            .answers::<Session>(201)
            .refuses(&[404]),
        get("/api/sessions", "All sessions, newest first").lists::<Session>(),
        get("/api/sessions/{id}", "A session with its chats").answers::<Session>(200),
        patch("/api/sessions/{id}", "Gives a session another title").takes::<NewTitle>().answers::<Session>(200),
        delete("/api/sessions/{id}", "Removes a session")
            .asks("force", Kind::Switch, "Whether work may be lost")
            .ends(204, "It is gone")
            .refuses(&[409, 422]),
        get("/api/sessions/{id}/worktree-risk", "What would be lost with a session")
            .answers::<Risk>(200)
            .refuses(&[422]),
        get("/api/sessions/{id}/agent-sessions", "What is known of each agent in each chat, freshest first")
            .lists::<AgentSession>(),
        post("/api/sessions/{id}/chats", "Opens another chat").may_take::<NewChat>().answers::<Chat>(201),
        post("/api/chats/{id}/fork", "Opens a chat that begins with what was said in this one")
            .may_take::<NewFork>()
            .answers::<Chat>(201)
            .refuses(&[409]),
        patch("/api/chats/{id}", "Gives a chat another title").takes::<NewTitle>().answers::<Chat>(200),
        delete("/api/chats/{id}", "Removes a chat").ends(204, "It is gone").refuses(&[409]),
        get("/api/sessions/{id}/ws", "A session's frames, as they come")
            .asks("after", Kind::Number, "Every frame with a higher number first")
            .streams::<Numbered<'_>>(),
    ]
}

fn messages() -> Vec<Operation> {
    vec![
        post("/api/sessions/{id}/messages", "Says something to an agent")
            .takes::<NewMessage>()
            .answers::<Accepted>(202)
            .refuses(&[409]),
        get("/api/sessions/{id}/messages", "The messages, oldest first")
            .asks("chat_id", Kind::Id, "Of this chat alone")
            .asks("before", Kind::Id, "Those before this message")
            .asks("limit", Kind::Number, "The newest so many of them")
            .lists::<Message>(),
        patch("/api/messages/{id}", "Changes a message that waits")
            .takes::<EditedMessage>()
            .answers::<Message>(200)
            .refuses(&[409]),
        post("/api/messages/{id}/swap", "Has two messages that wait change places")
            .takes::<NewSwap>()
            .ends(204, "They have changed places")
            .refuses(&[409]),
        delete("/api/messages/{id}", "Drops a message that waits").ends(204, "It is gone").refuses(&[409]),
    ]
}

fn tasks() -> Vec<Operation> {
    vec![
        post("/api/tasks", "Asks an agent for something, in a chat or by itself")
            .takes::<NewTask>()
            .answers::<Task>(202)
            .refuses(&[404, 409]),
        get("/api/tasks", "The tasks, newest first")
            .asks("session_id", Kind::Id, "Of this session alone")
            .asks("chat_id", Kind::Id, "Of this chat alone")
            .asks("state", Kind::Text, "queued, running, completed, failed or cancelled")
            .asks("limit", Kind::Number, "At most so many")
            .lists::<Task>(),
        get("/api/tasks/{id}", "A task with the whole answer").answers::<Task>(200),
        post("/api/tasks/{id}/cancel", "Cancels a task").answers::<Task>(200),
    ]
}

fn interactions() -> Vec<Operation> {
    vec![
        get("/api/interactions", "The questions that wait for an answer, oldest first")
            .asks("session_id", Kind::Id, "Of this session alone")
            .lists::<Interaction>(),
        post("/api/interactions/{id}", "Answers a question")
            .takes::<NewAnswer>()
            .answers::<Settled>(200)
            .refuses(&[409]),
    ]
}

fn pending() -> Vec<Operation> {
    let one =
        |path, summary| post(path, summary).may_take::<HunkChoice>().answers::<PendingChange>(200).refuses(&[409]);
    let several =
        |path, summary| post(path, summary).may_take::<ChangeChoice>().lists::<PendingChange>().refuses(&[409]);
    vec![
        get("/api/sessions/{id}/pending", "A session's changes, whatever their status, oldest first")
            .lists::<PendingChange>()
            .refuses(&[422]),
        get("/api/tasks/{id}/pending", "The changes that a task made").lists::<PendingChange>(),
        get("/api/pending/{id}", "A change").answers::<PendingChange>(200),
        post("/api/sessions/{id}/pending", "Holds back a new file of your own")
            .takes::<NewPending>()
            .answers::<PendingChange>(201)
            .refuses(&[409]),
        one("/api/pending/{id}/apply", "Writes a change to the checkout"),
        one("/api/pending/{id}/reject", "Takes a change out of the worktree"),
        one("/api/pending/{id}/revert", "Takes back what was applied"),
        post("/api/pending/{id}/rebase", "Brings a change onto what HEAD holds by now")
            .answers::<PendingChange>(200)
            .refuses(&[409, 422]),
        several("/api/sessions/{id}/pending/apply", "Writes several changes, all of them or none"),
        several("/api/sessions/{id}/pending/reject", "Takes several changes out of the worktree, all of them or none"),
        several("/api/sessions/{id}/pending/revert", "Takes back several that were applied, all of them or none"),
    ]
}

fn checkpoints() -> Vec<Operation> {
    vec![
        get("/api/sessions/{id}/turns", "The turns that have ended, oldest first").lists::<Checkpoint>(),
        get("/api/sessions/{id}/diff", "What changed in the worktree between two moments")
            .asks("from", Kind::Text, "base, now, a turn, or a tree of one; base unless told")
            .asks("to", Kind::Text, "The same; now unless told")
            .answers::<Comparison>(200)
            .refuses(&[409, 422]),
        post("/api/sessions/{id}/restore", "Brings the worktree back to what it was after a turn")
            .takes::<NewRestore>()
            .ends(204, "It is back")
            .refuses(&[409]),
        get("/api/sessions/{id}/export", "All that a session changed, for `git apply`")
            .tells("text/x-patch")
            .refuses(&[409, 422]),
        post("/api/sessions/{id}/export", "Makes a branch with a commit for each turn")
            .takes::<NewExport>()
            .answers::<Branch>(201)
            .refuses(&[409]),
    ]
}
