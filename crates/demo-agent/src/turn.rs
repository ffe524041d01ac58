//! One turn: the steps of a prompt, run in order until they end or the client cancels.

use std::{fmt, future, path::PathBuf, sync::Arc, time::Duration};

use agent_client_protocol::{
    Client, Error, JsonRpcRequest,
    v1::{
        ConnectionTo,
        schema::{
            ContentBlock, ContentChunk, Cost, ImageContent, Plan, PlanEntry, PlanEntryPriority, PlanEntryStatus,
            PromptResponse, SessionId, SessionNotification, SessionUpdate, StopReason, Usage, UsageUpdate,
        },
    },
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{DemoAgent, commands, mode_update},
    content,
    limits::{CONTEXT_WINDOW, SLOW_WORD},
    script::{Step, stream_chunk, words},
    settings::MODE,
    state::{Shared, Speaker},
    transport::Output,
};

/// A picture of one pixel, as PNG in base64.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Why a turn ends before its last step.
#[derive(Debug)]
pub(crate) enum Stop {
    Cancelled,
    Refused,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A turn while it runs.
pub(crate) struct Turn {
    pub(crate) agent: Arc<DemoAgent>,
    pub(crate) connection: ConnectionTo<Client>,
    pub(crate) open: Shared,
    pub(crate) cancel: CancellationToken,
    pub(crate) session: SessionId,
    pub(crate) cwd: PathBuf,
    number: u64,
    /// Tool calls and links so far.
    items: u32,
    /// Whether the answer has text, so that the next text begins on a line of its own.
    spoke: bool,
    /// Input and output tokens that `usage` reported in this turn.
    tokens: Option<(u64, u64)>,
}

impl Turn {
    pub(crate) fn new(
        agent: Arc<DemoAgent>,
        connection: ConnectionTo<Client>,
        open: Shared,
        cancel: CancellationToken,
    ) -> Self {
        let (session, cwd) = {
            let open = open.lock();
            (SessionId::new(open.session.id.as_str()), open.session.cwd.clone())
        };
        Self { agent, connection, open, cancel, session, cwd, number: 0, items: 0, spoke: false, tokens: None }
    }

    /// Runs the prompt. The session is saved before and after, so that it survives whatever happens in between.
    pub(crate) async fn run(&mut self, prompt: &[ContentBlock]) -> Result<PromptResponse, Error> {
        self.number = self.open.lock().session.begin_turn(&content::summary(prompt));
        self.save().await?;
        let ended = self.steps(content::steps(prompt)).await;
        self.save().await?;
        let reason = match ended {
            Ok(()) => StopReason::EndTurn,
            Err(Stop::Cancelled) => StopReason::Cancelled,
            Err(Stop::Refused) => StopReason::Refusal,
            Err(Stop::Failed(error)) => return Err(error),
        };
        let usage = self.tokens.map(|(input, output)| Usage::new(input.saturating_add(output), input, output));
        Ok(PromptResponse::new(reason).usage(usage))
    }

    async fn save(&self) -> Result<(), Error> {
        self.agent.sessions.save(&self.open).await
    }

    async fn steps(&mut self, steps: Vec<Step>) -> Result<(), Stop> {
        if self.open.lock().session.settings.thinks() {
            self.think(&format!("{} step(s) to do", steps.len())).await?;
        }
        for step in steps {
            self.step(step).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Result<(), Stop> {
        match step {
            Step::Echo(text) => self.echo(&text).await,
            Step::Say(text) => self.say(&text).await,
            Step::Think(text) => self.think(&text).await,
            Step::Write { path, text } => self.write(&path, text).await,
            Step::Edit { path, old, new } => self.edit(&path, &old, &new).await,
            Step::Shell(command) => self.shell(&command).await,
            Step::Ask(question) => self.ask(&question).await,
            Step::Open(url) => self.visit(&url).await,
            Step::Stream { count, bytes } => self.stream(count, bytes).await,
            Step::Sleep(duration) => self.or_cancel(sleep(duration)).await,
            Step::Plan => self.plan().await,
            Step::Usage { input, output, cost } => self.usage(input, output, cost).await,
            Step::Commands => self.update(commands()).await,
            Step::Remember(text) => self.remember(text).await,
            Step::Recall => {
                let remembered = self.open.lock().session.remembered.clone();
                self.say(remembered.as_deref().unwrap_or("nothing is remembered")).await
            }
            Step::Pid => self.say(&format!("pid={} session={}", std::process::id(), self.session)).await,
            Step::Mcp => {
                let names = self.open.lock().mcp_servers.join(", ");
                self.say(&if names.is_empty() { "no mcp servers".to_owned() } else { format!("mcp: {names}") }).await
            }
            Step::Mode(mode) => self.switch_mode(mode).await,
            Step::Attach => {
                let image = ContentBlock::Image(ImageContent::new(PIXEL, "image/png"));
                self.update(SessionUpdate::AgentMessageChunk(ContentChunk::new(image))).await
            }
            Step::Refuse => Err(Stop::Refused),
            Step::Crash => {
                self.agent.crash.cancel();
                future::pending().await
            }
            Step::Hang => future::pending().await,
            Step::Garbage => self.garbage().await,
        }
    }

    /// Does the work unless the turn is cancelled first. Every wait of a turn but `hang` goes through here.
    pub(crate) async fn or_cancel<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Stop::Cancelled),
            done = work => Ok(done),
        }
    }

    /// Asks the client something. An error is the client's own, or the limit.
    pub(crate) async fn request<R: JsonRpcRequest>(
        &self,
        request: R,
        limit: Duration,
    ) -> Result<Result<R::Response, String>, Stop> {
        let reply = self.connection.send_request(request).block_task();
        self.or_cancel(within(limit, reply)).await
    }

    pub(crate) async fn update(&self, update: SessionUpdate) -> Result<(), Stop> {
        let notification = SessionNotification::new(self.session.clone(), update);
        Ok(self.or_cancel(self.agent.outlet.notify(&notification)).await??)
    }

    /// An id for a tool call or a link; never given twice within the session.
    pub(crate) fn next_id(&mut self, kind: &str) -> String {
        self.items += 1;
        format!("{kind}-{}-{}", self.number, self.items)
    }

    /// One chunk of the answer, as it stands.
    async fn chunk(&mut self, text: &str) -> Result<(), Stop> {
        self.update(SessionUpdate::AgentMessageChunk(ContentChunk::new(text.into()))).await?;
        self.spoke = true;
        self.open.lock().session.history.extend(Speaker::Agent, text);
        Ok(())
    }

    async fn begin_line(&mut self) -> Result<(), Stop> {
        if self.spoke { self.chunk("\n").await } else { Ok(()) }
    }

    /// A line of the answer in one chunk.
    pub(crate) async fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.begin_line().await?;
        self.chunk(text).await
    }

    async fn echo(&mut self, text: &str) -> Result<(), Stop> {
        self.begin_line().await?;
        let slow = self.open.lock().session.settings.is_slow();
        for word in words(text) {
            self.chunk(word).await?;
            if slow {
                self.or_cancel(sleep(SLOW_WORD)).await?;
            }
        }
        Ok(())
    }

    async fn think(&mut self, text: &str) -> Result<(), Stop> {
        self.update(SessionUpdate::AgentThoughtChunk(ContentChunk::new(text.into()))).await?;
        self.open.lock().session.history.extend(Speaker::Thought, text);
        Ok(())
    }

    async fn stream(&mut self, count: u64, bytes: usize) -> Result<(), Stop> {
        for index in 0..count {
            self.chunk(&stream_chunk(index, bytes)).await?;
        }
        Ok(())
    }

    async fn remember(&mut self, text: String) -> Result<(), Stop> {
        let answer = format!("remembered: {text}");
        self.open.lock().session.remembered = Some(text);
        self.save().await?;
        self.say(&answer).await
    }

    async fn switch_mode(&mut self, mode: String) -> Result<(), Stop> {
        let set = self.open.lock().session.settings.set(MODE, &mode);
        match set {
            Ok(()) => self.update(mode_update(mode.into())).await,
            Err(reason) => self.say(&reason).await,
        }
    }

    /// A plan that moves on once, as plans are sent whole each time.
    async fn plan(&mut self) -> Result<(), Stop> {
        use PlanEntryStatus::{Completed, InProgress, Pending};
        for [read, write, check] in [[InProgress, Pending, Pending], [Completed, InProgress, Pending]] {
            let entries = vec![
                PlanEntry::new("Read the prompt", PlanEntryPriority::High, read),
                PlanEntry::new("Do what it says", PlanEntryPriority::Medium, write),
                PlanEntry::new("Check the result", PlanEntryPriority::Low, check),
            ];
            self.update(SessionUpdate::Plan(Plan::new(entries))).await?;
        }
        Ok(())
    }

    /// Tokens are told per turn in the prompt's response; the context and the cost are the session's running totals.
    async fn usage(&mut self, input: u64, output: u64, cost: f64) -> Result<(), Stop> {
        let (before_in, before_out) = self.tokens.unwrap_or_default();
        self.tokens = Some((before_in.saturating_add(input), before_out.saturating_add(output)));
        let update = {
            let session = &mut self.open.lock().session;
            session.tokens = session.tokens.saturating_add(input).saturating_add(output);
            session.cost += cost;
            UsageUpdate::new(session.tokens, CONTEXT_WINDOW).cost(Cost::new(session.cost, "USD"))
        };
        self.update(SessionUpdate::UsageUpdate(update)).await
    }

    /// Output that no client should trip over: a line that is not JSON, one that is not even text, and half a message
    /// whose line ends only after a pause.
    async fn garbage(&mut self) -> Result<(), Stop> {
        let head =
            b"this line is not JSON\n\xff\xfe neither is this text\n{\"jsonrpc\":\"2.0\",\"method\":\"session/upd"
                .to_vec();
        let broken = Output::Broken { head, tail: b"\n".to_vec() };
        self.or_cancel(self.agent.outlet.put(broken)).await??;
        self.say("garbage written").await
    }
}

/// The reply, or in words why there is none.
pub(crate) async fn within<T, E: fmt::Display>(
    limit: Duration,
    reply: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(limit, reply).await {
        Ok(reply) => reply.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the client did not answer within {} s", limit.as_secs())),
    }
}
