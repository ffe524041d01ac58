//! How what is used comes into the ledger, once, and what a turn's end adds to it.

use boocoder_backend::SessionEvent;
use boocoder_model::{
    AgentEvent, Approval, ConfigOption, ConfigValue, ContextUse, Cost, Currency, StepUsage, UsageEntry, UsageKind,
    UsageReport, UsageSource, UsageTotals,
};
use boocoder_usage_mapper::Price;

use super::tests::{Bench, CHAT, TURN, bodies, done, here, info, served, task, task_id};
use super::*;

fn tokens(input: u64, output: u64) -> StepUsage {
    StepUsage { input, output, cost: None }
}

/// The lines that the actions have written, and the other changes of the same entries.
fn lines(actions: &[Action]) -> Vec<UsageEntry> {
    let entries = actions.iter().filter_map(|action| {
        if let Action::Write(entry) | Action::Settle(entry) | Action::WriteThenAcknowledge(entry, _) = action {
            Some(entry)
        } else {
            None
        }
    });
    let line = |change: &Change| if let Change::AddUsage(line) = change { Some(line.clone()) } else { None };
    entries.flat_map(|entry| entry.changes.iter().filter_map(line)).collect()
}

fn usage(turn: Option<TurnId>, report: UsageReport) -> SessionEvent {
    SessionEvent::Agent { turn, event: AgentEvent::Usage(report) }
}

fn context(total_cost: Option<Cost>) -> UsageReport {
    UsageReport::Context { context: ContextUse { used: 7, size: u64::MAX }, total_cost }
}

/// A lane whose turn runs, of an agent that lives under a runner.
fn journaled() -> Bench {
    let lane = LaneCore::new(Served { outlives: true, ..served(Vec::new()) }, Some(CHAT), DispatchLimits::default());
    let mut bench = Bench { lane };
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    bench.tell(Input::Opened(Ok(info())));
    bench.tell(Input::Prompted(TURN, Ok(())));
    bench
}

fn at_position(position: u64, event: SessionEvent) -> Input {
    Input::Events(vec![Delivery { position: Some(Position(position)), event }])
}

/// A lane whose turn runs, with a price for `model`, which the task asks for if `asked`.
fn priced(asked: bool) -> Bench {
    let price = Price::per_million(1.0, 10.0, Currency::USD).unwrap();
    let prices = Arc::new([("m".to_owned(), price)].into_iter().collect());
    let mut bench =
        Bench { lane: LaneCore::new(Served { prices, ..served(Vec::new()) }, Some(CHAT), DispatchLimits::default()) };
    let task = Task { model: asked.then(|| "m".to_owned()), ..*task(Approval::Ask) };
    bench.tell(Input::Run(Box::new(task), super::tests::start()));
    bench.tell(Input::Prepared(Box::default()));
    bench.tell(Input::Opened(Ok(info())));
    bench.tell(Input::Prompted(TURN, Ok(())));
    bench
}

/// The lines and frames with which the turn settles.
fn settled(bench: &mut Bench) -> (Vec<UsageEntry>, Vec<Action>) {
    bench.end(done());
    let actions = bench.tell(Input::Compared(Box::default()));
    (lines(&actions), actions)
}

#[test]
fn a_line_stands_in_the_entry_of_its_frame_and_of_the_journals_position() {
    let mut bench = journaled();
    let actions = bench.tell(at_position(4, usage(Some(TURN), UsageReport::step(tokens(5, 2)))));
    let [Action::Write(entry)] = &actions[..] else { panic!("{actions:?}") };
    let [Change::AddUsage(line), Change::Consume { consumed, .. }] = &entry.changes[..] else { panic!("{entry:?}") };
    assert_eq!((line.task_id, line.turn_id), (task_id(), Some(TURN)));
    assert_eq!((line.kind, line.source, line.used), (UsageKind::Delta, UsageSource::Step, tokens(5, 2)));
    assert_eq!((consumed.position, consumed.ledger.steps.input), (Position(4), 5));
    let turn = Some(boocoder_wire::Used { input_tokens: 5, output_tokens: 2, ..Default::default() });
    let [FrameBody::Usage { input_tokens: 5, cost: None, turn: told, source, .. }] = &bodies(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((told, source.as_deref()), (&turn, Some("step_event")));
}

#[test]
fn a_record_that_is_read_again_makes_the_same_line_and_another_one_another() {
    let line = |position| {
        let actions = journaled().tell(at_position(position, usage(Some(TURN), UsageReport::turn(tokens(5, 2)))));
        lines(&actions).remove(0)
    };
    assert_eq!(line(4), line(4));
    assert_ne!(line(4).id, line(5).id);
    let mut bench = Bench::running(Approval::Ask);
    let mut unread = || lines(&bench.tell(here([usage(Some(TURN), UsageReport::turn(tokens(1, 0)))]))).remove(0).id;
    assert_ne!(unread(), unread(), "without a journal each comes once");
}

#[test]
fn what_brings_nothing_new_makes_no_line() {
    let mut bench = Bench::running(Approval::Ask);
    assert_eq!(lines(&bench.event(AgentEvent::Usage(context(None)))), []);
    assert_eq!(lines(&bench.event(AgentEvent::Usage(context(Cost::usd(0.5)))))[0].used.cost, Cost::usd(0.5));
    let actions = bench.event(AgentEvent::Usage(context(Cost::usd(0.5))));
    assert_eq!((lines(&actions).len(), bodies(&actions).len()), (0, 1), "it is shown all the same");
}

#[test]
fn what_is_used_between_turns_is_of_the_last_task_and_of_no_turn() {
    let mut bench = Bench::running(Approval::Ask);
    settled(&mut bench);
    bench.tell(Input::Settled);
    let actions = bench.tell(here([usage(None, UsageReport::step(tokens(5, 2)))]));
    let line = &lines(&actions)[0];
    assert_eq!((line.task_id, line.turn_id), (task_id(), None));
    assert!(matches!(bodies(&actions)[..], [FrameBody::Usage { turn: None, .. }]));
}

#[test]
fn a_turn_and_its_steps_are_charged_once() {
    let mut bench = Bench::running(Approval::Ask);
    for report in [UsageReport::step(tokens(5, 2)), UsageReport::step(tokens(6, 1)), UsageReport::turn(tokens(11, 3))] {
        bench.event(AgentEvent::Usage(report));
    }
    let (_, actions) = settled(&mut bench);
    assert_eq!(super::tests::settled_task(&actions).cost_tokens, Some(14));
}

#[test]
fn a_turns_end_says_how_full_the_context_is() {
    let mut bench = Bench::running(Approval::Ask);
    bench.event(AgentEvent::Usage(context(None)));
    let (lines, _) = settled(&mut bench);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((line.kind, line.used), (UsageKind::ContextSize, StepUsage::default()));
    assert_eq!(line.context, Some(ContextUse { used: 7, size: boocoder_model::MAX_COUNT }));
    assert_eq!(settled(&mut Bench::running(Approval::Ask)).0, [], "unless nobody told");
}

#[test]
fn a_turn_whose_agent_tells_no_cost_is_priced_and_says_by_whom() {
    for asked in [true, false] {
        let mut bench = priced(asked);
        let value = ConfigValue::Select { current: "m".into(), choices: Vec::new() };
        let (id, name, category) = ("chosen".to_owned(), "Model".to_owned(), Some("model".to_owned()));
        let option = ConfigOption { id, name, description: None, category, value };
        if !asked {
            bench.event(AgentEvent::ConfigOptions(vec![option]));
        }
        bench.event(AgentEvent::Usage(UsageReport::turn(tokens(1_000, 100))));
        let (lines, actions) = settled(&mut bench);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.kind, line.source), (UsageKind::Delta, UsageSource::PriceTable));
        assert_eq!(line.used, StepUsage { cost: Cost::usd(0.002), ..StepUsage::default() });
        let shown = bodies(&actions).into_iter().find_map(|body| {
            let FrameBody::Usage { cost, source, .. } = body else { return None };
            Some((*cost, source.clone()))
        });
        assert_eq!(shown, Some((Some(0.002), Some("price_table".to_owned()))));
    }
}

#[test]
fn a_turn_is_priced_once_however_often_its_end_is_tried() {
    let mut bench = priced(true);
    bench.event(AgentEvent::Usage(UsageReport::turn(tokens(1_000, 100))));
    let (first, _) = settled(&mut bench);
    bench.tell(Input::SettleRefused("decided on meanwhile".into()));
    let again = lines(&bench.tell(Input::Compared(Box::default())));
    assert_eq!(again, first);
    assert_eq!(bench.lane.ledger.totals().main_cost(), Cost::usd(0.002));
}

#[test]
fn no_price_stands_in_where_the_agent_tells_costs_or_none_is_known() {
    let mut told = priced(true);
    told.event(AgentEvent::Usage(context(Cost::usd(0.0))));
    told.event(AgentEvent::Usage(UsageReport::turn(tokens(1_000, 100))));
    assert_eq!(settled(&mut told).0.iter().filter(|line| line.source == UsageSource::PriceTable).count(), 0);
    let mut unknown = priced(false);
    unknown.event(AgentEvent::Usage(UsageReport::turn(tokens(1_000, 100))));
    assert_eq!(settled(&mut unknown).0, [], "nobody said which model it was");
    assert_eq!(unknown.lane.ledger.totals(), UsageTotals::from(tokens(1_000, 100)), "its cost stays unknown");
    assert_eq!(settled(&mut priced(true)).0, [], "nothing was used");
}
