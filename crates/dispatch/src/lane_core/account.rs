//! What is used: lines of the ledger out of what the agent reports, and prices where it told no cost.

use boocoder_model::{
    AgentEvent, ConfigOption, ConfigValue, ContextUse, MAX_COUNT, Position, StepUsage, TaskId, TurnId, UsageEntry,
    UsageId, UsageKind, UsageReport, UsageSource,
};
use boocoder_store::Change;
use boocoder_wire::{Frame, FrameBody};
use jiff::Timestamp;
use uuid::Uuid;

use super::events::Batch;
use super::{Current, LaneCore, Phase};

/// What agents call the option that chooses their model.
const MODEL: &str = "model";

impl LaneCore {
    /// Takes a report into the ledger. What is new in it becomes a line, to be kept with the frame that tells of it.
    pub(super) fn account(
        &mut self,
        position: Option<Position>,
        turn: Option<TurnId>,
        event: &AgentEvent,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let report = match event {
            AgentEvent::Usage(report) => report,
            AgentEvent::ConfigOptions(options) => {
                self.model = options.iter().find_map(model).or_else(|| self.model.take());
                return;
            }
            AgentEvent::Text(_)
            | AgentEvent::Reasoning(_)
            | AgentEvent::Content(_)
            | AgentEvent::UserContent(_)
            | AgentEvent::ToolCall(_)
            | AgentEvent::ToolUpdate(_)
            | AgentEvent::Plan(_)
            | AgentEvent::Commands(_)
            | AgentEvent::Mode(_)
            | AgentEvent::Title(_)
            | AgentEvent::Notice(_)
            | AgentEvent::Compaction { .. }
            | AgentEvent::Unmapped { .. } => return,
        };
        let used = self.ledger.apply(report);
        // An agent says nothing before its first turn.
        let Some(task_id) = self.last_task else { return };
        if used.is_empty() {
            return;
        }
        let in_turn = |phase: &Phase| matches!(phase, Phase::Running(current) if turn == Some(current.turn.id));
        batch.changes.push(Change::AddUsage(UsageEntry {
            id: self.report_id(position, task_id),
            task_id,
            turn_id: turn.filter(|_| in_turn(&self.phase)),
            kind: report.kind(),
            source: report.source(),
            used,
            context: self.context(),
            at: now,
        }));
    }

    /// The id of a report's line. It follows from the report's place in the journal, where there is one; without one no
    /// report comes twice.
    fn report_id(&mut self, position: Option<Position>, task: TaskId) -> UsageId {
        let runner = self.live.as_ref().and_then(|live| live.runner).or(self.coming);
        let (source, place) = match position.zip(runner) {
            Some((position, runner)) => (runner.as_uuid(), position.0),
            None => {
                self.reports += 1;
                (task.as_uuid(), self.reports)
            }
        };
        UsageId::from_uuid(Uuid::new_v5(&source, format!("usage/{place}").as_bytes()))
    }

    /// How full the context is, in numbers that can be kept.
    fn context(&self) -> Option<ContextUse> {
        let kept =
            |context: ContextUse| ContextUse { used: context.used.min(MAX_COUNT), size: context.size.min(MAX_COUNT) };
        self.ledger.context().map(kept)
    }

    /// What a turn's end adds to the ledger: its price, if the agent told no cost and one is configured, and how full the
    /// context is. A turn is priced once, however often its end is tried.
    pub(super) fn close_account(&mut self, current: &mut Current, now: Timestamp) -> (Vec<Change>, Option<Frame>) {
        let used = current.recorder.used(&self.ledger);
        let model = current.task.model.as_ref().or(self.model.as_ref());
        let cost = match current.price {
            Some(decided) => decided,
            None if self.ledger.tells_cost() || used.tokens() == 0 => None,
            None => model.and_then(|model| self.prices.get(model)).map(|price| price.of(&used)),
        };
        let priced = cost.map(|cost| StepUsage { cost: Some(cost), ..StepUsage::default() });
        if let Some(used) = priced.filter(|_| current.price.is_none()) {
            self.ledger.apply(&UsageReport::Delta { source: UsageSource::PriceTable, used });
        }
        current.price = Some(cost);
        let line = |name: &str, kind, source, used| UsageEntry {
            id: UsageId::from_uuid(Uuid::new_v5(&current.turn.id.as_uuid(), name.as_bytes())),
            task_id: current.task.id,
            turn_id: Some(current.turn.id),
            kind,
            source,
            used,
            context: self.context(),
            at: now,
        };
        let price = priced.map(|used| line("price", UsageKind::Delta, UsageSource::PriceTable, used));
        let fullness =
            self.context().map(|_| line("context", UsageKind::ContextSize, UsageSource::Agent, StepUsage::default()));
        let frame = price.as_ref().map(|_| {
            let body = FrameBody::usage(&current.recorder.view(&self.ledger), UsageSource::PriceTable);
            current.recorder.subject().frame(body)
        });
        (price.into_iter().chain(fullness).map(Change::AddUsage).collect(), frame)
    }
}

/// The model that an option says is chosen, if it is the option for that.
fn model(option: &ConfigOption) -> Option<String> {
    let is_it = option.id == MODEL || option.category.as_deref() == Some(MODEL);
    match &option.value {
        ConfigValue::Select { current, .. } if is_it => Some(current.clone()),
        ConfigValue::Select { .. } | ConfigValue::Toggle(_) | ConfigValue::Unknown(_) => None,
    }
}
