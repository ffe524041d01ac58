//! Every frame as clients receive it.

use boocoder_model::{
    AgentCommand, AgentEvent, ConfigChoice, ConfigOption, ConfigValue, ContentPart, ContextUse, Cost, Currency,
    PlanEntry, PlanPriority, PlanStatus, RawJson, Seq, StepUsage, UsageReport, UsageTotals,
};
use boocoder_wire::parts::{Outcome, Settlement};
use boocoder_wire::{Frame, FrameBody, UsageView};
use insta::assert_snapshot;

use crate::{CHAT, MESSAGE, TASK, question, tool_call};

fn used(cost: Option<Cost>) -> UsageView {
    UsageView { totals: StepUsage { input: 100, output: 20, cost }.into(), ..UsageView::default() }
}

fn session_frame(body: FrameBody) -> String {
    Frame::of_session(body).encode(Seq(7))
}

fn event_frame(event: AgentEvent) -> String {
    let turn = Some(StepUsage { input: 10, output: 2, cost: None }.into());
    let view = UsageView { turn, context: Some(ContextUse { used: 5, size: 10 }), ..used(Cost::usd(0.25)) };
    session_frame(FrameBody::from_event(event, || view))
}

#[test]
fn a_frame_begins_with_its_number_and_its_type() {
    let frame = Frame {
        body: FrameBody::Delta { content: "hel\"lo\n".into() },
        chat_id: Some(CHAT),
        message_id: Some(MESSAGE),
        task_id: Some(TASK),
    };
    assert_snapshot!(frame.encode(Seq(1)));
}

#[test]
fn events_of_agents() {
    let entry = PlanEntry { content: "do".into(), priority: PlanPriority::High, status: PlanStatus::InProgress };
    let command = AgentCommand { name: "init".into(), description: Some("begins".into()), hint: None };
    let select = ConfigOption {
        id: "mode".into(),
        name: "Mode".into(),
        description: None,
        category: Some("mode".into()),
        value: ConfigValue::Select {
            current: "ask".into(),
            choices: vec![ConfigChoice { id: "ask".into(), name: "Ask".into(), description: None }],
        },
    };
    let toggle = ConfigOption { id: "fast".into(), value: ConfigValue::Toggle(true), ..select.clone() };
    let odd = ConfigOption { value: ConfigValue::Unknown(RawJson::new(r#"{"k":[1]}"#)), ..select.clone() };
    let image = ContentPart::Image { mime_type: "image/png".into(), data: "AAAA".into(), uri: None };
    let frames: Vec<String> = [
        AgentEvent::Text("hello".into()),
        AgentEvent::Reasoning("hm".into()),
        AgentEvent::Content(image),
        AgentEvent::UserContent(ContentPart::Text("earlier".into())),
        AgentEvent::ToolCall(tool_call()),
        AgentEvent::ToolUpdate(tool_call()),
        AgentEvent::Plan(vec![entry]),
        AgentEvent::Commands(vec![command]),
        AgentEvent::Mode("plan".into()),
        AgentEvent::ConfigOptions(vec![select, toggle, odd]),
        AgentEvent::Title(None),
        AgentEvent::Usage(UsageReport::step(StepUsage { input: 1, output: 1, cost: None })),
        AgentEvent::Notice("careful".into()),
        AgentEvent::Compaction { summary: None, status: Some("done".into()) },
        AgentEvent::Unmapped { kind: "x".into(), raw: RawJson::new(r#"{"b":"\u0000","a":1.0}"#) },
    ]
    .into_iter()
    .map(event_frame)
    .collect();
    assert_snapshot!(frames.join("\n"));
}

#[test]
fn usage_says_nothing_of_what_is_not_known() {
    let frame =
        |view: &UsageView| session_frame(FrameBody::usage(view, UsageReport::turn(StepUsage::default()).source()));
    assert_snapshot!(frame(&used(Cost::usd(0.25))), @r#"{"seq":7,"type":"usage","input_tokens":100,"output_tokens":20,"cost":0.25,"currency":"USD","source":"agent"}"#);
    assert_snapshot!(frame(&used(None)), @r#"{"seq":7,"type":"usage","input_tokens":100,"output_tokens":20,"cost":null,"source":"agent"}"#);
    assert_snapshot!(frame(&UsageView::default()), @r#"{"seq":7,"type":"usage","input_tokens":0,"output_tokens":0,"cost":0.0,"source":"agent"}"#);
}

#[test]
fn currencies_are_shown_beside_each_other() {
    let euro = Currency::new("EUR").unwrap();
    let costs = |currencies: &[Currency]| UsageView {
        totals: UsageTotals { input: 1, output: 0, costs: currencies.iter().map(|it| (*it, 500_000_000)).collect() },
        ..UsageView::default()
    };
    let frame = |view: &UsageView| session_frame(FrameBody::usage(view, boocoder_model::UsageSource::PriceTable));
    assert_snapshot!(frame(&costs(&[euro])), @r#"{"seq":7,"type":"usage","input_tokens":1,"output_tokens":0,"cost":0.5,"currency":"EUR","source":"price_table"}"#);
    assert_snapshot!(frame(&costs(&[euro, Currency::USD])), @r#"{"seq":7,"type":"usage","input_tokens":1,"output_tokens":0,"cost":0.5,"currency":"USD","costs":{"EUR":0.5,"USD":0.5},"source":"price_table"}"#);
    let neither = costs(&[euro, Currency::new("CHF").unwrap()]);
    assert_snapshot!(frame(&neither), @r#"{"seq":7,"type":"usage","input_tokens":1,"output_tokens":0,"cost":null,"costs":{"CHF":0.5,"EUR":0.5},"source":"price_table"}"#);
}

#[test]
fn a_frame_of_an_earlier_version_is_read() {
    let frame = Frame::decode(r#"{"seq":7,"type":"usage","input_tokens":1,"output_tokens":2,"cost":0.0}"#).unwrap();
    let FrameBody::Usage { cost, currency, turn, .. } = frame.body else { panic!("another frame") };
    assert_eq!((cost, currency, turn), (Some(0.0), None, None));
}

#[test]
fn events_of_the_server() {
    let frames: Vec<String> = [
        FrameBody::MessageStarted {
            role: "user".into(),
            agent: "demo".into(),
            content: Some("hi".into()),
            attachments: vec![],
        },
        FrameBody::MessageStarted {
            role: "assistant".into(),
            agent: "demo".into(),
            content: None,
            attachments: vec![],
        },
        FrameBody::InteractionRequested { interaction: Box::new(question().into()) },
        FrameBody::InteractionResolved {
            id: question().id,
            outcome: Settlement { action: "selected".into(), option_id: Some("yes".into()), content: None },
            decided_by: "user".into(),
        },
        FrameBody::MessageComplete { status: "failed".into(), error: Some("the agent exited".into()) },
        FrameBody::TaskUpdated { state: "running".into(), outcome: None },
        FrameBody::TaskUpdated {
            state: "failed".into(),
            outcome: Some(Outcome { decided_by: "crash".into(), reason: "the agent exited".into() }),
        },
        FrameBody::PendingChanged { agents: vec![Some("demo".into()), None] },
        FrameBody::AgentSessionUpdated {
            agent: "demo".into(),
            status: "idle".into(),
            has_session: true,
            resumed: Some("native".into()),
        },
        FrameBody::Renamed { title: "Work".into() },
        FrameBody::MessageEdited { agent: None, content: "say hi".into(), attachments: vec![] },
        FrameBody::Resync { reason: "the log was cut".into() },
    ]
    .into_iter()
    .map(session_frame)
    .collect();
    assert_snapshot!(frames.join("\n"));
}

#[test]
fn a_client_reads_back_the_frame_that_was_written() {
    let frame = Frame {
        body: FrameBody::ToolCall { tool_call: tool_call().into() },
        chat_id: Some(CHAT),
        message_id: None,
        task_id: Some(TASK),
    };
    let text = frame.encode(Seq(9));
    assert!(text.contains(r#""input":{"z":1.50,"a":"\u0000"}"#), "the agent's JSON is passed on verbatim: {text}");
    let read: Frame = serde_json::from_str(&text).unwrap();
    assert_eq!((read.chat_id, read.message_id, read.task_id), (Some(CHAT), None, Some(TASK)));
    let FrameBody::ToolCall { tool_call: read } = read.body else { panic!("not a tool call: {text}") };
    assert_eq!((read.title.as_str(), read.status.as_str()), ("write a.txt", "in_progress"));
}
