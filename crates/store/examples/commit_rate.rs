//! Prints how fast a database takes frames, with and without how far a journal is, and messages:
//! `cargo run --release -p boocoder-store --example commit_rate -- 'host=/run/postgresql dbname=scratch'`
//!
//! It writes a project and a session of its own into that database, and leaves them there.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use boocoder_model::{
    Approval, Chat, ChatId, Consumed, ContentPart, Cost, Message, MessageId, MessageRole, MessageStatus, Position,
    Project, ProjectId, Runner, RunnerId, Seq, Session, SessionId, StepUsage, Task, TaskId, TaskState, TurnId,
    UsageLedger, UsageTotals,
};
use boocoder_store::{Change, PgConfig, PgStore, ReadBudget, Store, StoredFrame, WriteBatch};
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

const AT: Timestamp = Timestamp::UNIX_EPOCH;

/// How often each thing is done.
const COMMITS: u64 = 2_000;
const BATCHES: u64 = 200;
const FRAMES_IN_A_GROUP: u64 = 20;
const FRAMES_IN_A_BATCH: u64 = 500;
const MESSAGES: u32 = 500;

/// Who writes, and how far the log is.
struct Writer {
    store: PgStore,
    project: ProjectId,
    session: SessionId,
    chat: ChatId,
    runner: RunnerId,
    turn: TurnId,
    last: u64,
}

impl Writer {
    async fn new(connection: String) -> Result<Self, Box<dyn Error>> {
        let store = PgStore::connect(PgConfig::new(connection)).await?;
        let (project, session, chat) =
            (ProjectId::from_uuid(fresh()), SessionId::from_uuid(fresh()), ChatId::from_uuid(fresh()));
        let path = format!("/nowhere/{project}").into();
        let changes = vec![
            Change::AddProject(Project { id: project, name: "commit rate".into(), path, created_at: AT }),
            Change::AddSession(Session { id: session, project_id: project, title: "frames".into(), created_at: AT }),
            Change::AddChat(Chat {
                id: chat,
                session_id: session,
                title: "frames".into(),
                forked_from: None,
                created_at: AT,
            }),
        ];
        store.commit(WriteBatch { changes, frames: Vec::new(), durable: true, writer: None }).await?;
        let (runner, turn) = (RunnerId::from_uuid(fresh()), TurnId::from_uuid(fresh()));
        let writer = Self { store, project, session, chat, runner, turn, last: 0 };
        writer.start_runner().await?;
        Ok(writer)
    }

    /// Adds the runner, with a task that it was started for.
    async fn start_runner(&self) -> Result<(), Box<dyn Error>> {
        let task = self.task();
        let runner = Runner {
            id: self.runner,
            chat_id: Some(self.chat),
            task_id: task.id,
            agent: "demo".into(),
            consumed: Consumed::default(),
            created_at: AT,
        };
        let ended = Task { state: TaskState::Completed, ..task.clone() };
        let changes = vec![
            Change::AddTask { task: Box::new(task), request_key: None },
            Change::UpdateTask { task: Box::new(ended), from: TaskState::Queued },
            Change::AddRunner(Box::new(runner)),
        ];
        Ok(self.store.commit(WriteBatch { changes, frames: Vec::new(), durable: true, writer: None }).await?)
    }

    /// How far the journal is once so many frames were made of it.
    fn consume(&self) -> Change {
        let used = StepUsage { input: 120_000, output: self.last, cost: Cost::usd(0.1) };
        let usage = UsageTotals::from(used);
        let ledger = UsageLedger { added: usage.clone(), told: usage.clone(), ..UsageLedger::default() };
        let consumed = Consumed { position: Position(self.last), ledger, turn: Some((self.turn, usage)) };
        Change::Consume { runner: self.runner, consumed }
    }

    fn frames(&mut self, count: u64) -> Vec<StoredFrame> {
        let numbers = self.last + 1..=self.last + count;
        self.last += count;
        let text = "tea ".repeat(20);
        let body = |seq: u64| format!("{{\"seq\":{seq},\"type\":\"delta\",\"content\":\"{text}\"}}").into();
        numbers.map(|seq| StoredFrame { session_id: self.session, seq: Seq(seq), body: body(seq) }).collect()
    }

    fn task(&self) -> Task {
        Task {
            id: TaskId::from_uuid(fresh()),
            project_id: self.project,
            session_id: Some(self.session),
            chat_id: Some(self.chat),
            agent: "demo".into(),
            input: vec![ContentPart::Text("make tea".into())],
            model: None,
            mode_id: None,
            thinking_option_id: None,
            approval: Approval::Ask,
            state: TaskState::Queued,
            cancel_requested: None,
            execution_path: None,
            outcome: None,
            output_summary: None,
            cost_tokens: None,
            created_at: AT,
            started_at: None,
            ended_at: None,
        }
    }

    /// What is written when a human's message is accepted.
    fn message(&mut self) -> WriteBatch {
        let task = self.task();
        let message = Message {
            id: MessageId::from_uuid(fresh()),
            chat_id: task.chat_id,
            session_id: task.session_id,
            task_id: task.id,
            role: MessageRole::User,
            agent: task.agent.clone(),
            content: "make tea".into(),
            attachments: Vec::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            status: MessageStatus::Queued,
            error: None,
            created_at: AT,
            finished_at: None,
        };
        let task = Change::AddTask { request_key: Some(task.id.to_string()), task: Box::new(task) };
        WriteBatch {
            changes: vec![task, Change::PutMessage(Box::new(message))],
            frames: self.frames(2),
            durable: true,
            writer: None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an example is a shell, which draws its own ids")]
fn fresh() -> Uuid {
    Uuid::new_v4()
}

/// The median and the 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let connection = std::env::args().nth(1).ok_or("usage: commit_rate CONNECTION_STRING")?;
    let mut writer = Writer::new(connection).await?;
    let mut out = std::io::stdout();

    for (durable, count, commits) in [
        (false, 1, COMMITS),
        (true, 1, COMMITS),
        (false, FRAMES_IN_A_GROUP, COMMITS),
        (false, FRAMES_IN_A_BATCH, BATCHES),
    ] {
        // By turns, so that whatever else the machine does is shared by both.
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..commits {
            for (with_journal, times) in [false, true].into_iter().zip(&mut times) {
                let frames = writer.frames(count);
                let changes = if with_journal { vec![writer.consume()] } else { Vec::new() };
                let begin = Instant::now();
                writer.store.commit(WriteBatch { changes, frames, durable, writer: None }).await?;
                times.push(begin.elapsed());
            }
        }
        for (what, times) in ["", ", with a journal"].into_iter().zip(times) {
            let rate = (commits * count) as f64 / times.iter().sum::<Duration>().as_secs_f64();
            let (p50, p99) = percentiles(times);
            writeln!(out, "{count} frames{what}, durable {durable}: p50 {p50:?}, p99 {p99:?}, {rate:.0} frames/s")?;
        }
    }

    let mut times = Vec::new();
    for _ in 0..MESSAGES {
        let batch = writer.message();
        let begin = Instant::now();
        writer.store.commit(batch).await?;
        times.push(begin.elapsed());
    }
    let (p50, p99) = percentiles(times);
    writeln!(out, "message accepted (task, message, 2 frames, durable): p50 {p50:?}, p99 {p99:?}")?;

    let begin = Instant::now();
    writer.store.claim_task(None, AT).await?;
    writeln!(out, "claim among {MESSAGES} tasks of one chat: {:?}", begin.elapsed())?;

    let (begin, mut after, mut read) = (Instant::now(), Seq::ZERO, 0_u64);
    while after < Seq(writer.last) {
        let frames =
            writer.store.frames_after(writer.session, after, ReadBudget { frames: 1_000, bytes: 1 << 20 }).await?;
        after = frames.last().map_or(Seq(writer.last), |frame| frame.seq);
        read += frames.len() as u64;
    }
    writeln!(out, "replay: {:.0} frames/s", read as f64 / begin.elapsed().as_secs_f64())?;
    writer.store.close().await;
    Ok(())
}
