//! One turn as `run` follows it: frames in, typed answers and Ctrl-C out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use boocoder_model::{InteractionId, Seq, SessionId, ToolCallId};
use boocoder_wire::http::{Accepted, PendingChange, Settled, Task};
use boocoder_wire::parts::{Interaction, Outcome, Settlement, ToolCall};
use boocoder_wire::{Frame, FrameBody, Used};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::ask::{Asking, Step};
use super::client::{Client, Frames, Line};
use super::screen::Screen;
use super::signals::Signals;
use crate::chain::chain;
use crate::limits::{PROGRESS_TICK, STREAM_RETRIES, STREAM_RETRY_PAUSE};

/// How the turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    Failed,
    Cancelled,
}

/// How a turn is followed.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// The agent that does it.
    pub(super) agent: String,
    /// Whether frames are printed as they come, and nothing else.
    pub(super) json: bool,
    /// Whether permissions are not a human's matter.
    pub(super) auto: bool,
    /// Whether the server goes on after the turn.
    pub(super) lasting: bool,
}

/// A turn that is being followed.
pub(super) struct Conversation<'a> {
    client: &'a Client,
    session: SessionId,
    accepted: Accepted,
    agent: String,
    screen: Screen,
    json: bool,
    last: Option<Seq>,
    /// Each tool call's status as it was shown last.
    tools: BTreeMap<ToolCallId, String>,
    /// Questions that wait, the first of them shown.
    asking: Vec<Asking>,
    interactive: bool,
    /// Whether permissions are not a human's matter in this turn.
    auto: bool,
    /// Whether the server goes on after the turn.
    lasting: bool,
    cancelling: bool,
    end: Option<End>,
    /// What the turn used, as it was told last.
    used: Option<Used>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        client: &'a Client,
        session: SessionId,
        accepted: Accepted,
        screen: Screen,
        options: Options,
    ) -> Self {
        Self {
            client,
            session,
            accepted,
            agent: options.agent,
            screen,
            json: options.json,
            last: None,
            tools: BTreeMap::new(),
            asking: Vec::new(),
            interactive: false,
            auto: options.auto,
            lasting: options.lasting,
            cancelling: false,
            end: None,
            used: None,
        }
    }

    /// Follows the turn to its end. A second signal gives it up.
    pub(super) async fn run(
        mut self,
        mut frames: Frames,
        mut typed: Option<mpsc::Receiver<String>>,
        mut signals: Signals,
    ) -> anyhow::Result<End> {
        self.interactive = typed.is_some();
        let start = Instant::now();
        let mut tick = interval(PROGRESS_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            if let Some(end) = self.end {
                break end;
            }
            tokio::select! {
                came = frames.next() => match came? {
                    Some(lines) => self.take(lines)?,
                    None => frames = self.reopen().await?,
                },
                line = next_line(&mut typed), if !self.asking.is_empty() => match line {
                    Some(line) => self.answer(&line).await?,
                    None => self.nobody_answers(&mut typed)?,
                },
                () = signals.next() => {
                    if self.cancelling {
                        self.screen.finish()?;
                        return Ok(End::Cancelled);
                    }
                    self.cancel().await?;
                }
                _ = tick.tick(), if self.screen.is_animated() => self.show_progress(start.elapsed())?,
            }
        };
        self.conclude().await?;
        Ok(end)
    }

    fn take(&mut self, lines: Vec<Line>) -> anyhow::Result<()> {
        for line in lines {
            self.last = Some(line.seq);
            if line.frame.as_ref().is_some_and(|frame| self.is_foreign(frame)) {
                continue;
            }
            if self.json {
                self.screen.record(&line.text)?;
            }
            if let Some(frame) = line.frame {
                self.show(frame)?;
            }
        }
        Ok(())
    }

    /// Whether a frame tells of another chat or of another turn of this one.
    fn is_foreign(&self, frame: &Frame) -> bool {
        frame.chat_id.is_some_and(|chat| chat != self.accepted.chat_id)
            || frame.task_id.is_some_and(|task| task != self.accepted.task_id)
    }

    fn show(&mut self, frame: Frame) -> anyhow::Result<()> {
        if let FrameBody::Resync { reason } = &frame.body {
            self.screen.remark(&format!("some of the turn was missed: {reason}"))?;
        }
        if frame.task_id != Some(self.accepted.task_id) {
            return Ok(());
        }
        match frame.body {
            FrameBody::InteractionRequested { interaction } => self.ask(*interaction)?,
            FrameBody::InteractionResolved { id, outcome, decided_by } => self.settled(id, outcome, &decided_by)?,
            FrameBody::TaskUpdated { state, outcome } => self.moved_on(&state, outcome)?,
            // For programs the frame itself has been printed already.
            _ if self.json => {}
            FrameBody::Delta { content } => self.screen.answer(&content)?,
            FrameBody::ReasoningDelta { content } => self.screen.thought(&content)?,
            FrameBody::ToolCall { tool_call } => self.show_tool(&tool_call)?,
            FrameBody::Plan { entries } => {
                for entry in entries {
                    self.screen.remark(&format!("plan: {} ({})", entry.content, entry.status))?;
                }
            }
            FrameBody::Notice { message } => self.screen.remark(&message)?,
            FrameBody::Attachment { .. } => self.screen.remark("(a part of the answer is not text)")?,
            FrameBody::AgentSessionUpdated { resumed: Some(resumed), .. } if resumed != "new" => {
                self.screen.remark(&format!("resumed: {resumed}"))?;
            }
            FrameBody::Usage { turn: Some(turn), .. } => self.used = Some(turn),
            FrameBody::MessageStarted { .. }
            | FrameBody::UserContent { .. }
            | FrameBody::AgentCommands { .. }
            | FrameBody::ModeChanged { .. }
            | FrameBody::ConfigOptions { .. }
            | FrameBody::AgentTitle { .. }
            | FrameBody::Usage { turn: None, .. }
            | FrameBody::Compaction { .. }
            | FrameBody::Unmapped { .. }
            | FrameBody::MessageComplete { .. }
            | FrameBody::PendingChanged { .. }
            | FrameBody::Renamed { .. }
            | FrameBody::MessageEdited { .. }
            | FrameBody::AgentSessionUpdated { .. }
            | FrameBody::Resync { .. } => {}
        }
        Ok(())
    }

    fn settled(&mut self, id: InteractionId, outcome: Settlement, decided_by: &str) -> anyhow::Result<()> {
        let was_shown = self.asking.first().is_some_and(|asking| asking.id == id);
        self.asking.retain(|asking| asking.id != id);
        if decided_by != "user" && !self.json {
            let choice = outcome.option_id.map_or_else(String::new, |option| format!(" {option}"));
            self.screen.remark(&format!("settled by {decided_by}: {}{choice}", outcome.action))?;
        }
        if was_shown { self.show_question() } else { Ok(()) }
    }

    fn moved_on(&mut self, state: &str, outcome: Option<Outcome>) -> anyhow::Result<()> {
        self.end = match state {
            "completed" => Some(End::Completed),
            "failed" => Some(End::Failed),
            "cancelled" => Some(End::Cancelled),
            _ => None,
        };
        if let Some(outcome) = outcome.filter(|_| self.end != Some(End::Completed) && !self.json) {
            self.screen.remark(&format!("{state} ({}): {}", outcome.decided_by, outcome.reason))?;
        }
        Ok(())
    }

    /// Shows a tool call when it begins and when its status changes, not at every snapshot.
    fn show_tool(&mut self, call: &ToolCall) -> anyhow::Result<()> {
        let before = self.tools.insert(call.id.clone(), call.status.clone());
        if before.as_ref() != Some(&call.status) {
            self.screen.remark(&format!("[{}] {}: {}", call.kind, call.title, call.status.replace('_', " ")))?;
        }
        Ok(())
    }

    fn ask(&mut self, interaction: Interaction) -> anyhow::Result<()> {
        if self.auto && interaction.kind == "permission" {
            return Ok(());
        }
        if !self.interactive {
            self.screen.remark(&format!(
                "{} asks: {} - there is no terminal to answer at: POST {}/api/interactions/{}, or run again with \
                 --approve auto",
                interaction.agent,
                interaction.title,
                self.client.url(),
                interaction.id
            ))?;
            return Ok(());
        }
        self.asking.push(Asking::new(interaction));
        if self.asking.len() == 1 {
            self.show_question()?;
        }
        Ok(())
    }

    fn show_question(&mut self) -> anyhow::Result<()> {
        if let Some(asking) = self.asking.first() {
            self.screen.prompt(&asking.prompt())?;
        }
        Ok(())
    }

    async fn answer(&mut self, line: &str) -> anyhow::Result<()> {
        self.screen.typed();
        let Some(asking) = self.asking.first_mut() else { return Ok(()) };
        match asking.line(line) {
            Step::Prompt(prompt) => self.screen.prompt(&prompt)?,
            Step::Answer(answer) => {
                let id = self.asking.remove(0).id;
                // Somebody else may have answered a moment earlier; the frame tells how it was settled.
                if let Err(error) = self.client.post::<Settled>(&format!("/api/interactions/{id}"), &answer).await {
                    self.screen.remark(&chain(error.as_ref()))?;
                }
                self.show_question()?;
            }
        }
        Ok(())
    }

    fn nobody_answers(&mut self, typed: &mut Option<mpsc::Receiver<String>>) -> anyhow::Result<()> {
        *typed = None;
        self.interactive = false;
        self.asking.clear();
        Ok(self.screen.remark("the terminal was closed: open questions wait on the server")?)
    }

    async fn cancel(&mut self) -> anyhow::Result<()> {
        self.cancelling = true;
        self.asking.clear();
        self.screen.remark("cancelling; press Ctrl-C again to leave at once")?;
        let path = format!("/api/tasks/{}/cancel", self.accepted.task_id);
        if let Err(error) = self.client.post::<Task>(&path, &()).await {
            self.screen.remark(&chain(error.as_ref()))?;
        }
        Ok(())
    }

    /// Opens the stream again after the last frame that came.
    async fn reopen(&mut self) -> anyhow::Result<Frames> {
        for _ in 0..STREAM_RETRIES {
            sleep(STREAM_RETRY_PAUSE).await;
            // Nothing came yet: the turn's frames are the session's newest, and all of them are asked for.
            match self.client.frames(self.session, Some(self.last.unwrap_or(Seq::ZERO))).await {
                Ok(frames) => return Ok(frames),
                Err(error) => tracing::debug!(%error, "the stream is still broken"),
            }
        }
        bail!("the server at {} went away; what the agent does from here on is kept there", self.client.url())
    }

    fn show_progress(&mut self, elapsed: Duration) -> anyhow::Result<()> {
        if self.asking.is_empty() && !self.json {
            self.screen.progress(&format!("{} works, {} s", self.agent, elapsed.as_secs()))?;
        }
        Ok(())
    }

    /// Says what the turn used, and what waits for a decision now.
    async fn conclude(&mut self) -> anyhow::Result<()> {
        self.screen.finish()?;
        if let Some(used) = &self.used {
            self.screen.remark(&spent(used))?;
        }
        let path = format!("/api/sessions/{}/pending", self.session);
        let changes: Vec<PendingChange> = self.client.get(&path).await?;
        let waits =
            |change: &&PendingChange| change.task_id == Some(self.accepted.task_id) && change.status == "pending";
        let waiting: Vec<&PendingChange> = changes.iter().filter(waits).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            waiting.iter().map(|change| format!("{} ({})", change.file_path, change.operation)).collect();
        self.screen.remark(&format!("held back until you decide: {}", names.join(", ")))?;
        let server = if self.lasting { self.client.url() } else { "" };
        if !self.lasting {
            self.screen.remark("this turn's server ends with it; to decide, start one with `boocoder serve`")?;
        }
        for change in waiting {
            self.screen
                .remark(&format!("  {}: apply: POST {server}/api/pending/{}/apply", change.file_path, change.id))?;
        }
        Ok(())
    }
}

/// What a turn used, in words.
fn spent(used: &Used) -> String {
    let Used { input_tokens, output_tokens, cost, currency, costs } = used;
    let one = cost.zip(currency.as_ref()).map(|(amount, currency)| format!("{amount} {currency}"));
    let several: Vec<_> = costs.iter().map(|(currency, amount)| format!("{amount} {currency}")).collect();
    let cost = match (several.is_empty(), one) {
        (false, _) => several.join(" and "),
        (true, Some(one)) => one,
        (true, None) => "at a cost that nobody told".to_owned(),
    };
    format!("used: {input_tokens} tokens in, {output_tokens} out, {cost}")
}

async fn next_line(typed: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_told_with_its_currencies_or_as_unknown() {
        let used = |cost: Option<f64>, currency: Option<&str>, costs: &[(&str, f64)]| {
            let costs = costs.iter().map(|(currency, amount)| ((*currency).to_owned(), *amount)).collect();
            spent(&Used { input_tokens: 10, output_tokens: 5, cost, currency: currency.map(ToOwned::to_owned), costs })
        };
        assert_eq!(used(Some(0.25), Some("USD"), &[]), "used: 10 tokens in, 5 out, 0.25 USD");
        assert_eq!(used(None, None, &[]), "used: 10 tokens in, 5 out, at a cost that nobody told");
        let both = used(Some(0.25), Some("USD"), &[("EUR", 1.5), ("USD", 0.25)]);
        assert_eq!(both, "used: 10 tokens in, 5 out, 1.5 EUR and 0.25 USD");
    }
}
