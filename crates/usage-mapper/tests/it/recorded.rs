//! What agents were recorded to report, from their lines to the totals of the session.

use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
use boocoder_model::{AgentEvent, ContextUse, Cost, StepUsage, UsageReport, UsageTotals};
use boocoder_usage_mapper::{UsageMapper, acp, opencode};
use serde_json::Value;

const RECORDED: &str = include_str!("../data/recorded.jsonl");

/// The reports of one line.
fn reports(line: &Value, updates: &mut SessionUpdateMapper, prompts: &mut acp::PromptUsage) -> Vec<UsageReport> {
    if let Some(update) = line.get("update") {
        let params = serde_json::json!({ "sessionId": "s", "update": update });
        let params = serde_json::value::to_raw_value(&params).expect("JSON");
        let events = updates.apply(parse_update(&params).update).into_iter();
        return events
            .filter_map(|event| if let AgentEvent::Usage(report) = event { Some(report) } else { None })
            .collect();
    }
    let step = line.get("step").map(opencode::step).or_else(|| line.get("session").map(opencode::session));
    step.or_else(|| prompts.read(&line["result"])).into_iter().collect()
}

/// The session of one agent. A turn begins with it and after each result.
fn session(agent: &str, only: impl Fn(&Value) -> bool) -> UsageMapper {
    let (mut updates, mut prompts) = (SessionUpdateMapper::new(), acp::PromptUsage::new());
    let mut mapper = UsageMapper::new();
    let mut sum = UsageTotals::default();
    mapper.begin_turn();
    for line in RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        if line["agent"] != agent || !only(&line) {
            continue;
        }
        for report in reports(&line, &mut updates, &mut prompts) {
            sum.add(&mapper.apply(&report));
        }
        if line.get("result").is_some() {
            mapper.begin_turn();
        }
    }
    assert_eq!(mapper.totals(), sum, "totals are sums of what was new");
    mapper
}

fn all(agent: &str) -> UsageMapper {
    session(agent, |_| true)
}

fn used(input: u64, output: u64, cost: Option<f64>) -> UsageTotals {
    StepUsage { input, output, cost: cost.and_then(Cost::usd) }.into()
}

#[test]
fn opencode_tells_tokens_by_turn_and_the_cost_of_its_session() {
    let mapper = all("opencode");
    assert_eq!(mapper.totals(), used(7693 + 7721 + 7748, 12, Some(0.023_165)));
    assert_eq!(mapper.context(), Some(ContextUse { used: 7748, size: 128_000 }));
    assert!(mapper.tells_cost());
}

#[test]
fn goose_tells_no_cost_and_its_context_is_no_use_of_tokens() {
    let mapper = all("goose");
    assert_eq!((mapper.totals(), mapper.tells_cost()), (used(4735, 1, None), false));
}

#[test]
fn qwen_tells_each_call_of_its_model_and_nothing_at_the_end() {
    assert_eq!(all("qwen").totals(), used(21_027 + 21_167, 25, None));
}

#[test]
fn the_steps_of_opencodes_server_and_its_totals_count_once() {
    let truth = used(16_208 + 14, 25, Some(0.016_258));
    assert_eq!(all("opencode serve").totals(), truth);
    assert_eq!(session("opencode serve", |line| line.get("step").is_some()).totals(), truth);
    assert_eq!(session("opencode serve", |line| line.get("session").is_some()).totals(), truth);
}
