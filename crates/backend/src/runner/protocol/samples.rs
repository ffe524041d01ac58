//! One of everything that has a form, for the tests.

use std::time::Duration;

use boocoder_model::{
    AgentCommand, AgentEvent, Answer, ConfigChoice, ConfigOption, ConfigValue, ContentPart, ContextUse, Cost, Currency,
    DecidedBy, InteractionId, InteractionOutcome, Location, PermissionKind, PermissionOption, PlanEntry, PlanPriority,
    PlanStatus, Question, RawJson, Resumed, RunnerId, StepUsage, ToolCallId, ToolCallSnapshot, ToolContent, ToolKind,
    ToolStatus, TurnId, TurnOutcome, TurnStatus, UsageReport, UsageSource,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::{
    AgentSpec, BackendError, CommandLine, Limits, McpServer, OpenSpec, OutputForm, Prompt, PromptBy, PromptSupport,
    Protocol, SessionEvent, SessionInfo,
};

/// A session as any.
pub(crate) fn info() -> SessionInfo {
    SessionInfo {
        native_id: "s".into(),
        resumable: true,
        resumed: Resumed::New,
        agent_version: None,
        pid: 7,
        prompt: PromptSupport::default(),
        options: vec![],
    }
}

/// Any text, with what JSON has to escape in it.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just("\u{0}\n\r\u{2028}\"\\".to_owned()), Just(String::new())]
}

fn words() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

/// An agent's own JSON, which is no JSON at times.
fn raw() -> impl Strategy<Value = RawJson> {
    const KNOWN: [&str; 7] =
        [r#"{"b":1,"a":1.50,"b":2}"#, "{\n  \"u\": \"\\u0000\"\n}", "1e400", "null", "\"x\"", "no JSON", ""];
    prop_oneof![select(&KNOWN[..]).prop_map(RawJson::new), any::<String>().prop_map(RawJson::new)]
}

pub(crate) fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn turn() -> impl Strategy<Value = TurnId> {
    id().prop_map(TurnId::from_uuid)
}

fn interaction() -> impl Strategy<Value = InteractionId> {
    id().prop_map(InteractionId::from_uuid)
}

fn content() -> impl Strategy<Value = ContentPart> {
    prop_oneof![
        text().prop_map(ContentPart::Text),
        (text(), text(), words()).prop_map(|(mime_type, data, uri)| ContentPart::Image { mime_type, data, uri }),
        (text(), text()).prop_map(|(mime_type, data)| ContentPart::Audio { mime_type, data }),
        (text(), text(), words()).prop_map(|(uri, name, mime_type)| ContentPart::ResourceLink { uri, name, mime_type }),
        (text(), words(), text()).prop_map(|(uri, mime_type, text)| ContentPart::Resource { uri, mime_type, text }),
        (text(), words(), text()).prop_map(|(uri, mime_type, blob)| ContentPart::ResourceBlob { uri, mime_type, blob }),
        raw().prop_map(ContentPart::Unknown),
    ]
}

fn tool_content() -> impl Strategy<Value = ToolContent> {
    prop_oneof![
        content().prop_map(ToolContent::Part),
        (text(), words(), text()).prop_map(|(path, old_text, new_text)| ToolContent::Diff { path, old_text, new_text }),
        text().prop_map(|id| ToolContent::Terminal { id }),
        raw().prop_map(ToolContent::Unknown),
    ]
}

prop_compose! {
    fn call()(
        id in text(), title in text(), kind in select(ToolKind::ALL), status in select(ToolStatus::ALL),
        input in option::of(raw()), output in option::of(raw()), places in vec((text(), option::of(any::<u32>())), 0..3),
        content in vec(tool_content(), 0..3),
    ) -> ToolCallSnapshot {
        let locations = places.into_iter().map(|(path, line)| Location { path, line }).collect();
        ToolCallSnapshot { id: ToolCallId::new(id), title, kind, status, input, output, locations, content }
    }
}

fn value() -> impl Strategy<Value = ConfigValue> {
    let choice = (text(), text(), words()).prop_map(|(id, name, description)| ConfigChoice { id, name, description });
    prop_oneof![
        (text(), vec(choice, 0..3)).prop_map(|(current, choices)| ConfigValue::Select { current, choices }),
        any::<bool>().prop_map(ConfigValue::Toggle),
        raw().prop_map(ConfigValue::Unknown),
    ]
}

prop_compose! {
    fn config_option()(
        id in text(), name in text(), description in words(), category in words(), value in value(),
    ) -> ConfigOption {
        ConfigOption { id, name, description, category, value }
    }
}

fn cost() -> impl Strategy<Value = Cost> {
    let currency = select(vec!["USD", "EUR", "CREDITS8"]);
    (any::<u64>(), currency)
        .prop_filter_map("a code", |(nanos, code)| Some(Cost::from_nanos(nanos, Currency::new(code)?)))
}

fn step() -> impl Strategy<Value = StepUsage> {
    (any::<u64>(), any::<u64>(), option::of(cost())).prop_map(|(input, output, cost)| StepUsage { input, output, cost })
}

fn usage() -> impl Strategy<Value = UsageReport> {
    prop_oneof![
        (select(UsageSource::ALL), step()).prop_map(|(source, used)| UsageReport::Delta { source, used }),
        step().prop_map(UsageReport::RunningTotal),
        (any::<u64>(), any::<u64>(), option::of(cost())).prop_map(|(used, size, total_cost)| UsageReport::Context {
            context: ContextUse { used, size },
            total_cost,
        }),
    ]
}

fn agent_event() -> impl Strategy<Value = AgentEvent> {
    let entry = (text(), select(PlanPriority::ALL), select(PlanStatus::ALL));
    let entry = entry.prop_map(|(content, priority, status)| PlanEntry { content, priority, status });
    let command = (text(), words(), words());
    let command = command.prop_map(|(name, description, hint)| AgentCommand { name, description, hint });
    prop_oneof![
        text().prop_map(AgentEvent::Text),
        text().prop_map(AgentEvent::Reasoning),
        content().prop_map(AgentEvent::Content),
        content().prop_map(AgentEvent::UserContent),
        call().prop_map(AgentEvent::ToolCall),
        call().prop_map(AgentEvent::ToolUpdate),
        vec(entry, 0..3).prop_map(AgentEvent::Plan),
        vec(command, 0..3).prop_map(AgentEvent::Commands),
        text().prop_map(AgentEvent::Mode),
        vec(config_option(), 0..3).prop_map(AgentEvent::ConfigOptions),
        words().prop_map(AgentEvent::Title),
        usage().prop_map(AgentEvent::Usage),
        text().prop_map(AgentEvent::Notice),
        (words(), words()).prop_map(|(summary, status)| AgentEvent::Compaction { summary, status }),
        (text(), raw()).prop_map(|(kind, raw)| AgentEvent::Unmapped { kind, raw }),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let way = (text(), text(), select(PermissionKind::ALL));
    let way = way.prop_map(|(id, name, kind)| PermissionOption { id, name, kind });
    prop_oneof![
        (text(), option::of(call()), vec(way, 0..3)).prop_map(|(title, tool_call, options)| Question::Permission {
            title,
            tool_call,
            options
        }),
        (text(), raw()).prop_map(|(title, schema)| Question::Form { title, schema }),
        (text(), text()).prop_map(|(title, url)| Question::Url { title, url }),
    ]
}

pub(crate) fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        text().prop_map(Answer::Select),
        option::of(raw()).prop_map(Answer::Accept),
        Just(Answer::Decline),
        Just(Answer::Cancel),
    ]
}

pub(crate) fn session_event() -> impl Strategy<Value = SessionEvent> {
    let outcome = (select(TurnStatus::ALL), select(DecidedBy::ALL), text());
    let outcome = outcome.prop_map(|(status, decided_by, reason)| TurnOutcome { status, decided_by, reason });
    prop_oneof![
        8 => (option::of(turn()), agent_event()).prop_map(|(turn, event)| SessionEvent::Agent { turn, event }),
        2 => (option::of(turn()), interaction(), question())
            .prop_map(|(turn, id, question)| SessionEvent::Asked { turn, id, question }),
        1 => (interaction(), answer(), select(DecidedBy::ALL)).prop_map(|(id, answer, decided_by)| {
            SessionEvent::Withdrawn { id, outcome: InteractionOutcome::from(answer), decided_by }
        }),
        1 => (turn(), outcome).prop_map(|(turn, outcome)| SessionEvent::TurnEnded { turn, outcome }),
        1 => (text(), text()).prop_map(|(status, stderr)| SessionEvent::Exited { status, stderr }),
    ]
}

prop_compose! {
    pub(crate) fn prompt()(
        turn in turn(), content in vec(content(), 0..3), model in words(), mode in words(), thinking in words(),
    ) -> Prompt {
        Prompt { turn, content, model, mode, thinking }
    }
}

prop_compose! {
    pub(crate) fn session_info()(
        native in text(), resumable in any::<bool>(), resumed in select(Resumed::ALL), agent_version in words(),
        pid in any::<u32>(), (image, audio, embedded) in any::<(bool, bool, bool)>(),
        options in vec(config_option(), 0..3),
    ) -> SessionInfo {
        let prompt = PromptSupport { image, audio, embedded };
        SessionInfo { native_id: native.into(), resumable, resumed, agent_version, pid, prompt, options }
    }
}

fn server() -> impl Strategy<Value = McpServer> {
    let map = || btree_map(text(), text(), 0..3);
    prop_oneof![
        (text(), text(), vec(text(), 0..3), map()).prop_map(|(name, command, args, env)| McpServer::Stdio {
            name,
            command,
            args,
            env
        }),
        (text(), text(), map()).prop_map(|(name, url, headers)| McpServer::Http { name, url, headers }),
    ]
}

fn command_line() -> impl Strategy<Value = CommandLine> {
    let prompt = select(vec![PromptBy::Argument, PromptBy::Stdin]);
    let output = select(vec![OutputForm::Text, OutputForm::ClaudeJson, OutputForm::CodexJson]);
    (prompt, output).prop_map(|(prompt, output)| CommandLine { prompt, output })
}

prop_compose! {
    fn spec()(
        name in text(), label in text(), (enabled, warm) in any::<(bool, bool)>(),
        protocol in select(vec![Protocol::Acp, Protocol::Opencode, Protocol::Pty]), command in text(),
        args in vec(text(), 0..3), env in btree_map(text(), text(), 0..3), commands in vec((text(), words(), words()), 0..3),
        mcp_servers in vec(server(), 0..3), (nanos, run) in any::<(u64, u64)>(), count in any::<usize>(),
        command_line in command_line(),
    ) -> AgentSpec {
        let (start, run) = (Duration::from_nanos(nanos), Duration::from_nanos(run));
        let limits = Limits { start, run, line: count, output: count / 2, ..Limits::default() };
        let command_of = |(name, description, hint)| AgentCommand { name, description, hint };
        let commands = commands.into_iter().map(command_of).collect();
        let name = name.into();
        AgentSpec {
            name, label, enabled, protocol, command_line, warm, command, args, env, commands, mcp_servers, limits
        }
    }
}

prop_compose! {
    pub(crate) fn open_spec()(
        agent in spec(), cwd in vec(any::<u8>(), 0..20), resume in words(), runner in id(),
    ) -> OpenSpec {
        use std::os::unix::ffi::OsStringExt;
        let cwd = std::ffi::OsString::from_vec(cwd).into();
        OpenSpec { agent, cwd, resume: resume.map(Into::into), runner: RunnerId::from_uuid(runner) }
    }
}

pub(crate) fn error() -> impl Strategy<Value = BackendError> {
    use BackendError as Error;
    let os = prop_oneof![(1..40).prop_map(std::io::Error::from_raw_os_error), text().prop_map(std::io::Error::other)];
    prop_oneof![
        text().prop_map(|command| Error::NotFound { command }),
        (text(), os).prop_map(|(command, source)| Error::Spawn { command, source }),
        (text(), text()).prop_map(|(status, stderr)| Error::Exited { status, stderr }),
        (select(vec!["initialize", "session/new", "session/set_mode"]), any::<u32>(), text()).prop_map(
            |(stage, millis, stderr)| Error::StartTimeout {
                stage,
                limit: Duration::from_millis(millis.into()),
                stderr
            }
        ),
        (text(), any::<u16>()).prop_map(|(theirs, ours)| Error::ProtocolVersion { theirs, ours }),
        text().prop_map(|instructions| Error::AuthRequired { instructions }),
        (any::<i64>(), text()).prop_map(|(code, message)| Error::Agent { code, message }),
        text().prop_map(Error::Protocol),
        Just(()).prop_map(|()| Error::Busy),
        Just(()).prop_map(|()| Error::Closed),
        interaction().prop_map(Error::UnknownInteraction),
        text().prop_map(Error::InvalidAnswer),
        text().prop_map(Error::Unsupported),
        text().prop_map(Error::Runner),
    ]
}

/// A prompt that asks for nothing special.
pub(crate) fn plain_prompt(turn: TurnId) -> Prompt {
    Prompt { turn, content: vec![ContentPart::Text("go".into())], model: None, mode: None, thinking: None }
}
