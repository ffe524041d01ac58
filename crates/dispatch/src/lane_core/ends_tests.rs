//! How turns are accounted for and closed.

use boocoder_model::{AgentEvent, Approval, Cost, ExecutionPath, MessageId, Seq, StepUsage, UsageReport};
use uuid::Uuid;

use super::tests::*;
use super::*;

#[test]
fn usage_is_shown_as_totals_and_charged_to_the_task_as_a_delta() {
    let mut bench = Bench::new();
    let earlier = AgentSession {
        chat_id: CHAT,
        agent: "demo".into(),
        backend: ExecutionPath::AcpWarm,
        native_id: None,
        status: AgentSessionStatus::Closed,
        resumed: None,
        config_fingerprint: None,
        last_active_at: None,
    };
    let totals = StepUsage { input: 100, output: 10, cost: Cost::usd(1.0) }.into();
    let before = UsageMapper::resume(totals, true);
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::new(Prepared {
        record: Some(earlier),
        ledger: Some(before),
        ..Prepared::default()
    })));
    bench.tell(Input::Opened(Ok(info())));
    bench.tell(Input::Prompted(TURN, Ok(())));
    let delta = UsageReport::turn(StepUsage { input: 5, output: 2, cost: Cost::usd(0.5) });
    let actions = bench.event(AgentEvent::Usage(delta));
    assert!(matches!(bodies(&actions)[..], [FrameBody::Usage { input_tokens: 105, output_tokens: 12, .. }]));
    bench.end(done());
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(settled_task(&actions).cost_tokens, Some(7));
}

#[test]
fn a_task_of_its_own_closes_its_agent_when_it_is_settled() {
    let mut bench = Bench { lane: LaneCore::new(served(Vec::new()), None, DispatchLimits::default()) };
    let start = TurnStart {
        turn: TURN,
        message: MessageId::from_uuid(Uuid::from_u128(8)),
        after: Seq::ZERO,
        path: ExecutionPath::Acp,
        runners: RUNNERS,
    };
    bench.tell(Input::Run(Box::new(Task { session_id: None, chat_id: None, ..*task(Approval::Ask) }), start));
    bench.tell(Input::Prepared(Box::default()));
    bench.tell(Input::Opened(Ok(info())));
    bench.tell(Input::Prompted(TURN, Ok(())));
    bench.end(done());
    bench.tell(Input::Compared(Box::default()));
    assert!(matches!(bench.tell(Input::Settled)[..], [Action::CloseSession(None), Action::Ended(_)]));
}

#[test]
fn a_turn_whose_task_is_not_the_lanes_any_more_is_dropped_and_nothing_of_it_is_kept() {
    let lost = || Input::Prepared(Box::new(Prepared { lost: true, ..Prepared::default() }));
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    assert!(matches!(bench.tell(lost())[..], [Action::Lost(task, None, false)] if task == task_id()));
    assert!(bench.lane.is_idle());
    bench.run(Approval::Ask);
    bench.tell(Input::Cancel(task_id(), DecidedBy::User));
    assert!(matches!(bench.tell(lost())[..], [Action::Lost(_, Some(DecidedBy::User), false)]));

    // An agent that waits goes on waiting, but not for ever.
    let mut bench = Bench::running(Approval::Ask);
    bench.end(done());
    bench.tell(Input::Compared(Box::default()));
    bench.tell(Input::Settled);
    bench.run(Approval::Ask);
    assert_eq!(bench.lane.poll_timeout(), None);
    bench.tell(lost());
    assert!(bench.lane.poll_timeout().is_some());
}
