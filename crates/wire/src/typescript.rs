//! The types of frames and bodies in TypeScript, for the page.
//!
//! `ts-rs` reads the same attributes as serde. What it cannot say is added here: which fields are absent rather than null,
//! and the types that are another one and something besides.

use ts_rs::{Config, TS};

use crate::frame::{FrameBody, Numbered};
use crate::http::{
    Accepted, AgentSession, AnswerAction, Approval, Branch, ChangeChoice, Chat, Checkpoint, Comparison, Contents,
    EditedMessage, FileComparison, Health, Hunk, HunkChoice, Message, MovedProject, NewAnswer, NewChat, NewExport,
    NewFork, NewMessage, NewPending, NewProject, NewRestore, NewSession, NewSwap, NewTask, NewTitle, PendingChange,
    PendingDecision, PickedChange, Project, Provider, Risk, Session, Settled, Stats, StatsCost, StatsGroup, Task,
    TurnCounts, Worktree,
};
use crate::parts::{
    Choice, Command, ConfigOption, Content, Interaction, Location, Outcome, PermissionOption, PlanEntry, Settlement,
    ToolCall, ToolContent,
};
use crate::problem::{Details, FileConflict, Problem};
use crate::usage::Used;

/// What the module begins with.
const HEAD: &str = "// Generated from crates/wire by `cargo xtask gen`: not to be edited by hand.\n";

/// Declares types of ours, in this order.
macro_rules! declarations {
    ($($name:ty,)+) => { [$(declaration::<$name>()),+] };
}

/// A module that exports a type for every frame, body and part.
pub fn module() -> String {
    let frames = declarations![Numbered<'_>, FrameBody,];
    let parts = declarations![
        Content,
        Location,
        ToolContent,
        ToolCall,
        PlanEntry,
        Command,
        Choice,
        ConfigOption,
        PermissionOption,
        Interaction,
        Outcome,
        Settlement,
        Used,
    ];
    let requests = declarations![
        Contents,
        Approval,
        NewProject,
        MovedProject,
        NewSession,
        NewChat,
        NewFork,
        NewSwap,
        NewTitle,
        NewMessage,
        EditedMessage,
        NewTask,
        NewAnswer,
        AnswerAction,
        NewPending,
        HunkChoice,
        ChangeChoice,
        PickedChange,
        NewRestore,
        NewExport,
    ];
    let answers = declarations![
        Health,
        Provider,
        Project,
        Session,
        Chat,
        Message,
        Accepted,
        Task,
        Settled,
        AgentSession,
        Risk,
        Worktree,
        PendingChange,
        Hunk,
        PendingDecision,
        Checkpoint,
        Comparison,
        FileComparison,
        Branch,
        Stats,
        StatsGroup,
        StatsCost,
        TurnCounts,
        Problem,
        Details,
        FileConflict,
    ];
    let all = frames.iter().chain(&parts).chain(&requests).chain(&answers);
    all.fold(HEAD.to_owned(), |module, declaration| module + "\n" + declaration)
}

fn declaration<T: TS>() -> String {
    let config = Config::new().with_large_int("number");
    let declared = T::decl(&config);
    // What these two flatten is named: its variants would be written out once more, and an absent one has no form.
    let declared = match T::ident(&config).as_str() {
        "Frame" => declared.replacen("= {", "= FrameBody & {", 1),
        "Problem" => declared.replacen(", };", ", } & (Details | {});", 1),
        _ => declared,
    };
    let docs = T::docs().unwrap_or_default();
    laid_out(&docs, "") + "export " + &laid_out(&declared, "  ")
}

/// A declaration with a line for each field, and its documentation above it.
///
/// What comes has the documentation in blocks, and each field that has some begins a line.
fn laid_out(declared: &str, indent: &str) -> String {
    let mut out = String::with_capacity(declared.len());
    let mut docs = Vec::new();
    for (index, line) in declared.lines().enumerate() {
        match line.trim_end() {
            "/**" => docs.clear(),
            " */" if docs.len() == 1 => out.extend([indent, "/**", docs[0], " */\n"]),
            " */" => {
                out.extend([indent, "/**\n"]);
                docs.iter().for_each(|text| out.extend([indent, " *", text, "\n"]));
                out.extend([indent, " */\n"]);
            }
            line => match line.strip_prefix(" *") {
                Some(text) => docs.push(text),
                None => {
                    let line = without_null(line).replace(", }", ",\n}");
                    out.extend([if index == 0 { "" } else { indent }, &line, "\n"]);
                }
            },
        }
    }
    out
}

/// A field that may be absent is never null: serde leaves it out instead.
fn without_null(field: &str) -> String {
    let Some((name, kind)) = field.split_once("?: ") else { return field.to_owned() };
    let (kind, rest) = kind.split_at(kind.find(',').unwrap_or(kind.len()));
    format!("{name}?: {}{rest}", kind.strip_suffix(" | null").unwrap_or(kind))
}
