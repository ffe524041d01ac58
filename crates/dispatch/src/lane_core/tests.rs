//! The lane's decisions, one case at a time: no runtime, no clock, no agent.

use boocoder_backend::{PromptSupport, SessionEvent};
use boocoder_model::{
    AgentEvent, Approval, ContentPart, ExecutionPath, Message, MessageId, MessageStatus, PermissionKind,
    PermissionOption, ProjectId, Resumed, Seq, StopReason, TaskState, ToolCallId, ToolCallSnapshot, ToolStatus,
};
use uuid::Uuid;

use super::*;

pub(super) const CHAT: ChatId = ChatId::from_uuid(Uuid::from_u128(2));
const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(1));
pub(super) const TURN: TurnId = TurnId::from_uuid(Uuid::from_u128(7));
const ASKED: InteractionId = InteractionId::from_uuid(Uuid::from_u128(9));
pub(super) const RUNNERS: [RunnerId; 2] =
    [RunnerId::from_uuid(Uuid::from_u128(21)), RunnerId::from_uuid(Uuid::from_u128(22))];

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn task_id() -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(5))
}

pub(super) fn task(approval: Approval) -> Box<Task> {
    Box::new(Task {
        id: task_id(),
        project_id: ProjectId::from_uuid(Uuid::from_u128(3)),
        session_id: Some(SESSION),
        chat_id: Some(CHAT),
        agent: "demo".into(),
        input: vec![ContentPart::Text("hello".into())],
        model: None,
        mode_id: None,
        thinking_option_id: None,
        approval,
        state: TaskState::Running,
        cancel_requested: None,
        execution_path: None,
        outcome: None,
        output_summary: None,
        cost_tokens: None,
        created_at: at(0),
        started_at: Some(at(1)),
        ended_at: None,
    })
}

pub(super) fn info() -> Box<SessionInfo> {
    Box::new(SessionInfo {
        native_id: "native-1".into(),
        resumable: true,
        resumed: Resumed::New,
        agent_version: None,
        pid: 42,
        prompt: PromptSupport::default(),
        options: Vec::new(),
    })
}

/// Events of a session that has no journal.
pub(super) fn here<const N: usize>(events: [SessionEvent; N]) -> Input {
    Input::Events(events.into_iter().map(|event| Delivery { position: None, event }).collect())
}

pub(super) fn served(commands: Vec<AgentCommand>) -> Served {
    Served {
        name: "demo".into(),
        commands,
        fingerprint: "as configured".into(),
        outlives: false,
        warm_path: Some(ExecutionPath::AcpWarm),
        prices: Arc::default(),
    }
}

pub(super) fn start() -> TurnStart {
    let message = MessageId::from_uuid(Uuid::from_u128(8));
    TurnStart { turn: TURN, message, after: Seq(3), path: ExecutionPath::AcpWarm, runners: RUNNERS }
}

pub(super) struct Bench {
    pub(super) lane: LaneCore,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { lane: LaneCore::new(served(Vec::new()), Some(CHAT), DispatchLimits::default()) }
    }

    pub(super) fn tell(&mut self, input: Input) -> Vec<Action> {
        self.lane.handle(input, at(10))
    }

    pub(super) fn run(&mut self, approval: Approval) -> Vec<Action> {
        self.tell(Input::Run(task(approval), start()))
    }

    /// A lane whose turn runs.
    pub(super) fn running(approval: Approval) -> Self {
        let mut bench = Self::new();
        bench.run(approval);
        bench.tell(Input::Prepared(Box::default()));
        bench.tell(Input::Opened(Ok(info())));
        bench.tell(Input::Prompted(TURN, Ok(())));
        bench
    }

    pub(super) fn event(&mut self, event: AgentEvent) -> Vec<Action> {
        self.tell(here([SessionEvent::Agent { turn: Some(TURN), event }]))
    }

    pub(super) fn end(&mut self, outcome: TurnOutcome) -> Vec<Action> {
        self.tell(here([SessionEvent::TurnEnded { turn: TURN, outcome }]))
    }

    pub(super) fn ask(&mut self, kinds: &[(&str, PermissionKind)]) -> Vec<Action> {
        let options =
            kinds.iter().map(|(id, kind)| PermissionOption { id: (*id).into(), name: (*id).into(), kind: *kind });
        let question =
            Question::Permission { title: "write a.txt".into(), tool_call: None, options: options.collect() };
        self.tell(here([SessionEvent::Asked { turn: Some(TURN), id: ASKED, question }]))
    }
}

pub(super) fn done() -> TurnOutcome {
    TurnOutcome::stopped(&StopReason::EndTurn)
}

pub(super) fn bodies(actions: &[Action]) -> Vec<&FrameBody> {
    actions
        .iter()
        .filter_map(|action| {
            if let Action::Prepare(Preparing { kept: Some(entry), .. })
            | Action::Write(entry)
            | Action::WriteThenAnswer(entry, ..)
            | Action::Settle(entry) = action
            {
                Some(&entry.frames)
            } else {
                None
            }
        })
        .flatten()
        .map(|frame| &frame.body)
        .collect()
}

pub(super) fn settled_task(actions: &[Action]) -> &Task {
    let [Action::Settle(entry)] = actions else { panic!("expected one settlement, got {actions:?}") };
    let task = entry
        .changes
        .iter()
        .find_map(|change| if let Change::UpdateTask { task, .. } = change { Some(task) } else { None });
    task.expect("a settlement updates the task")
}

pub(super) fn settled_message(actions: &[Action]) -> &Message {
    let [Action::Settle(entry)] = actions else { panic!("expected one settlement, got {actions:?}") };
    let message =
        entry.changes.iter().find_map(|change| if let Change::PutMessage(put) = change { Some(put) } else { None });
    message.expect("a settlement puts the message")
}

#[test]
fn a_turn_prepares_opens_prompts_streams_and_settles_in_that_order() {
    let mut bench = Bench::new();
    let actions = bench.run(Approval::Ask);
    assert!(matches!(actions[..], [Action::Prepare(Preparing { know_record: false, kept: Some(_), .. })]));
    let types = bodies(&actions);
    assert!(matches!(types[..], [FrameBody::TaskUpdated { .. }, FrameBody::MessageStarted { .. }]));

    assert!(matches!(bench.tell(Input::Prepared(Box::default()))[..], [Action::Open(Opening { resume: None, .. })]));
    let actions = bench.tell(Input::Opened(Ok(info())));
    assert!(matches!(actions[..], [Action::Prompt(_), Action::Write(_)]), "the prompt does not wait for a write");
    assert!(matches!(bench.tell(Input::Prompted(TURN, Ok(())))[..], [Action::LookBefore(..)]));

    let actions = bench.event(AgentEvent::Text("hel".into()));
    assert_eq!(bodies(&actions), [&FrameBody::Delta { content: "hel".into() }]);
    bench.event(AgentEvent::Text("lo".into()));
    assert!(matches!(bench.end(done())[..], [Action::Compare(..)]));
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_message(&actions).content, "hello");
    assert_eq!(settled_message(&actions).status, MessageStatus::Complete);
    assert_eq!(settled_task(&actions).state, TaskState::Completed);
    assert!(matches!(bench.tell(Input::Settled)[..], [Action::Ended(_)]), "a warm agent stays open");
    assert!(bench.lane.is_idle());
}

#[test]
fn commands_known_from_the_configuration_are_shown_before_the_agent_tells() {
    let plan = AgentCommand { name: "plan".into(), description: None, hint: None };
    let lane = LaneCore::new(served(vec![plan]), Some(CHAT), DispatchLimits::default());
    let mut bench = Bench { lane };
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    let actions = bench.tell(Input::Opened(Ok(info())));
    assert!(
        bodies(&actions)
            .iter()
            .any(|body| matches!(body, FrameBody::AgentCommands { commands } if commands.len() == 1))
    );
}

#[test]
fn the_second_turn_uses_the_open_session() {
    let mut bench = Bench::running(Approval::Ask);
    bench.end(done());
    bench.tell(Input::Compared(Box::default()));
    bench.tell(Input::Settled);
    let actions = bench.run(Approval::Ask);
    assert!(matches!(actions[..], [Action::Prepare(Preparing { know_record: true, kept: Some(_), .. })]));
    assert!(matches!(bench.tell(Input::Prepared(Box::default()))[..], [Action::Prompt(_), Action::Write(_)]));
}

#[test]
fn neighbouring_chunks_of_one_batch_share_a_delta() {
    let mut bench = Bench::running(Approval::Ask);
    let said = |text: &str| SessionEvent::Agent { turn: Some(TURN), event: AgentEvent::Text(text.into()) };
    let actions = bench.tell(here([said("a"), said("b"), said("c")]));
    assert_eq!(bodies(&actions), [&FrameBody::Delta { content: "abc".into() }]);
}

#[test]
fn a_worktree_that_cannot_be_made_fails_the_task_with_the_reason_and_prompts_nobody() {
    let failure = Some("disk full".to_owned());
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    assert!(matches!(
        bench.tell(Input::Prepared(Box::new(Prepared { failure, ..Prepared::default() })))[..],
        [Action::Compare(..)]
    ));
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_task(&actions).outcome, Some(TurnOutcome::failed(DecidedBy::Policy, "disk full")));
    assert_eq!(settled_message(&actions).error.as_deref(), Some("disk full"));
}

#[test]
fn an_agent_that_cannot_be_started_fails_the_turn_and_the_next_one_tries_again() {
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    bench.tell(Input::Opened(Err(BackendError::NotFound { command: "nope".into() })));
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_task(&actions).state, TaskState::Failed);
    bench.tell(Input::Settled);
    bench.run(Approval::Ask);
    assert!(matches!(bench.tell(Input::Prepared(Box::default()))[..], [Action::Open(Opening { resume: None, .. })]));
}

#[test]
fn a_session_that_closed_unnoticed_is_opened_once_more_and_resumed() {
    let mut bench = Bench::running(Approval::Ask);
    bench.end(done());
    bench.tell(Input::Compared(Box::default()));
    bench.tell(Input::Settled);
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    let actions = bench.tell(Input::Prompted(TURN, Err(BackendError::Closed)));
    let [Action::CloseSession(None), Action::Open(Opening { resume: Some(native), .. })] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(native.as_str(), "native-1");
    bench.tell(Input::Opened(Ok(info())));
    assert!(
        matches!(bench.tell(Input::Prompted(TURN, Err(BackendError::Closed)))[..], [Action::Compare(..)]),
        "not a second time"
    );
}

#[test]
fn a_cancellation_reaches_the_agent_only_after_it_took_the_prompt() {
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    bench.tell(Input::Opened(Ok(info())));
    assert!(bench.tell(Input::Cancel(task_id(), DecidedBy::User)).is_empty());
    assert!(matches!(
        bench.tell(Input::Prompted(TURN, Ok(())))[..],
        [Action::LookBefore(..), Action::CancelTurn(TURN, DecidedBy::User)]
    ));
    assert!(bench.tell(Input::Cancel(task_id(), DecidedBy::User)).is_empty(), "once is enough");
}

#[test]
fn a_cancellation_while_preparing_ends_the_turn_before_the_agent_is_asked() {
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    assert!(bench.tell(Input::Cancel(task_id(), DecidedBy::User)).is_empty());
    assert!(matches!(bench.tell(Input::Prepared(Box::default()))[..], [Action::Compare(..)]));
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_task(&actions).state, TaskState::Cancelled);
}

#[test]
fn a_cancellation_while_opening_gives_the_opening_up() {
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    assert!(matches!(bench.tell(Input::Cancel(task_id(), DecidedBy::User))[..], [Action::AbandonOpen]));
    assert!(matches!(bench.lane.open_abandoned(at(11))[..], [Action::Compare(..)]));
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_task(&actions).state, TaskState::Cancelled);
}

#[test]
fn an_opening_that_was_quicker_than_its_cancellation_is_cancelled_at_the_agent() {
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    bench.tell(Input::Cancel(task_id(), DecidedBy::User));
    assert!(matches!(bench.tell(Input::Opened(Ok(info())))[..], [Action::Compare(..)]), "it is not even prompted");
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_task(&actions).state, TaskState::Cancelled);
}

#[test]
fn the_cancellation_of_another_task_is_none_of_our_business() {
    let mut bench = Bench::running(Approval::Ask);
    let other = TaskId::from_uuid(Uuid::from_u128(99));
    assert!(bench.tell(Input::Cancel(other, DecidedBy::User)).is_empty());
}

#[test]
fn the_end_of_another_turn_does_not_settle_this_one() {
    let mut bench = Bench::running(Approval::Ask);
    let other = TurnId::from_uuid(Uuid::from_u128(99));
    let ended = SessionEvent::TurnEnded { turn: other, outcome: done() };
    assert!(bench.tell(here([ended])).is_empty());
    assert!(matches!(bench.end(done())[..], [Action::Compare(..)]));
}

#[test]
fn an_answer_is_written_before_the_agent_hears_it_and_counts_once() {
    let mut bench = Bench::running(Approval::Ask);
    let asked = bench.ask(&[("always", PermissionKind::AllowAlways), ("once", PermissionKind::AllowOnce)]);
    assert!(matches!(bodies(&asked)[..], [FrameBody::InteractionRequested { .. }]));
    assert!(bench.lane.question(ASKED).is_some());
    let actions = bench.tell(Input::Answer(ASKED, Answer::Select("once".into())));
    assert!(
        matches!(&actions[..], [Action::WriteThenAnswer(entry, ASKED, Answer::Select(_))] if entry.changes.len() == 1)
    );
    assert!(bench.tell(Input::Answer(ASKED, Answer::Select("once".into()))).is_empty());
    let late =
        SessionEvent::Withdrawn { id: ASKED, outcome: InteractionOutcome::Cancelled, decided_by: DecidedBy::Agent };
    assert!(bench.tell(here([late])).is_empty(), "what is settled is not settled again");
}

#[test]
fn autonomous_mode_allows_once_whatever_is_listed_first() {
    let mut bench = Bench::running(Approval::Auto);
    let actions = bench.ask(&[("always", PermissionKind::AllowAlways), ("once", PermissionKind::AllowOnce)]);
    let [Action::Write(_), Action::WriteThenAnswer(entry, ASKED, Answer::Select(id))] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(id, "once");
    assert!(
        matches!(&entry.changes[..], [Change::SettleInteraction { decided_by: DecidedBy::Policy, .. }]),
        "and it says that nobody was asked"
    );
}

#[test]
fn autonomous_mode_never_allows_for_ever_by_itself() {
    let mut bench = Bench::running(Approval::Auto);
    let actions = bench.ask(&[("always", PermissionKind::AllowAlways), ("odd", PermissionKind::Other)]);
    assert!(matches!(actions[..], [Action::Write(_)]), "a human is asked");
    assert!(bench.lane.question(ASKED).is_some());
}

#[test]
fn a_question_without_a_turn_is_cancelled() {
    let mut bench = Bench::running(Approval::Auto);
    bench.end(done());
    bench.tell(Input::Compared(Box::default()));
    bench.tell(Input::Settled);
    let actions = bench.ask(&[("once", PermissionKind::AllowOnce)]);
    assert!(matches!(actions[..], [Action::Answer(ASKED, Answer::Cancel)]));
}

#[test]
fn a_question_that_nobody_answers_is_cancelled_when_its_limit_is_over() {
    let mut bench = Bench::running(Approval::Ask);
    bench.ask(&[("once", PermissionKind::AllowOnce)]);
    let due = bench.lane.poll_timeout().expect("an open question has a limit");
    let actions = bench.lane.handle(Input::Timeout, due);
    let [Action::WriteThenAnswer(entry, ASKED, Answer::Cancel), ..] = &actions[..] else { panic!("{actions:?}") };
    assert!(matches!(
        &entry.changes[..],
        [Change::SettleInteraction { decided_by: DecidedBy::Watchdog, outcome: InteractionOutcome::Cancelled, .. }]
    ));
}

#[test]
fn a_turn_past_its_limit_is_cancelled_by_the_watchdog() {
    let mut bench = Bench::running(Approval::Ask);
    let due = bench.lane.poll_timeout().expect("a turn has a limit");
    let actions = bench.lane.handle(Input::Timeout, due);
    assert!(matches!(actions[..], [Action::CancelTurn(TURN, DecidedBy::Watchdog)]));
    assert_eq!(bench.lane.poll_timeout(), None, "the backend's own limit takes over");
}

#[test]
fn a_cancelled_turn_asks_nothing_any_more() {
    let mut bench = Bench::running(Approval::Ask);
    bench.ask(&[("once", PermissionKind::AllowOnce)]);
    assert!(bench.lane.question(ASKED).is_some());
    bench.tell(Input::Cancel(task(Approval::Ask).id, DecidedBy::User));
    assert!(bench.lane.question(ASKED).is_none());
}

#[test]
fn questions_open_at_the_end_of_a_turn_are_cancelled_with_it() {
    let mut bench = Bench::running(Approval::Ask);
    bench.ask(&[("once", PermissionKind::AllowOnce)]);
    let actions = bench.end(TurnOutcome::failed(DecidedBy::Crash, "exit status 101"));
    assert!(matches!(bodies(&actions)[..], [FrameBody::InteractionResolved { .. }]));
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_task(&actions).outcome.as_ref().unwrap().decided_by, DecidedBy::Crash);
}

#[test]
fn a_process_that_dies_between_turns_leaves_a_crashed_session_that_can_be_resumed() {
    let mut bench = Bench::running(Approval::Ask);
    bench.end(done());
    bench.tell(Input::Compared(Box::default()));
    bench.tell(Input::Settled);
    let exited = SessionEvent::Exited { status: "signal 9".into(), stderr: String::new() };
    let actions = bench.tell(here([exited]));
    let expected = FrameBody::AgentSessionUpdated {
        agent: "demo".into(),
        status: "crashed".into(),
        has_session: true,
        resumed: Some("new".into()),
    };
    assert_eq!(bodies(&actions), [&expected]);
    bench.run(Approval::Ask);
    let actions = bench.tell(Input::Prepared(Box::default()));
    assert!(
        matches!(&actions[..], [Action::Open(Opening { resume: Some(native), .. })] if native.as_str() == "native-1")
    );
}

#[test]
fn an_exit_that_the_backend_could_not_announce_still_ends_the_turn() {
    let mut bench = Bench::running(Approval::Ask);
    let exited = SessionEvent::Exited { status: "signal 9".into(), stderr: "oh".into() };
    assert!(matches!(bench.tell(here([exited]))[..], [Action::Compare(..)]));
    let actions = bench.tell(Input::Compared(Box::default()));
    let outcome = settled_task(&actions).outcome.clone().unwrap();
    assert_eq!(outcome.decided_by, DecidedBy::Crash);
    assert!(outcome.reason.contains("signal 9") && outcome.reason.contains("oh"), "{}", outcome.reason);
}

#[test]
fn what_is_said_between_turns_is_kept_without_a_message() {
    let mut bench = Bench::running(Approval::Ask);
    bench.end(done());
    bench.tell(Input::Compared(Box::default()));
    bench.tell(Input::Settled);
    let event = SessionEvent::Agent { turn: None, event: AgentEvent::Mode("plan".into()) };
    let actions = bench.tell(here([event]));
    let [Action::Write(entry)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(entry.frames[0].message_id, None);
    assert_eq!(entry.frames[0].chat_id, Some(CHAT));
}

#[test]
fn a_failed_comparison_does_not_change_how_the_turn_went_and_is_told() {
    let mut bench = Bench::running(Approval::Ask);
    bench.end(done());
    let compared = Compared { failure: Some("git is gone".into()), ..Compared::default() };
    let actions = bench.tell(Input::Compared(Box::new(compared)));
    assert_eq!(settled_task(&actions).state, TaskState::Completed);
    let outcome = settled_task(&actions).outcome.as_ref().unwrap();
    assert!(outcome.reason.starts_with("end_turn; ") && outcome.reason.contains("git is gone"), "{}", outcome.reason);
    assert!(matches!(bodies(&actions)[0], FrameBody::Notice { message } if message.contains("git is gone")));
}

#[test]
fn tool_calls_are_kept_as_their_last_snapshot_in_the_order_they_began() {
    let mut bench = Bench::running(Approval::Ask);
    let call = |id: &str, status| ToolCallSnapshot { status, ..ToolCallSnapshot::new(ToolCallId::new(id)) };
    bench.event(AgentEvent::ToolCall(call("b", ToolStatus::Pending)));
    bench.event(AgentEvent::ToolCall(call("a", ToolStatus::Pending)));
    bench.event(AgentEvent::ToolUpdate(call("b", ToolStatus::Completed)));
    bench.end(done());
    let actions = bench.tell(Input::Compared(Box::default()));
    let kept: Vec<_> =
        settled_message(&actions).tool_calls.iter().map(|call| (call.id.as_str(), call.status)).collect();
    assert_eq!(kept, [("b", ToolStatus::Completed), ("a", ToolStatus::Pending)]);
}
