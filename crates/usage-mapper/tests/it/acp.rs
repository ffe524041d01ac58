//! What the agents of the Agent Client Protocol report, in the shapes that they were seen to send.

use boocoder_model::{ContextUse, Cost, Currency, StepUsage, UsageReport, UsageTotals};
use boocoder_usage_mapper::{UsageMapper, acp};
use serde_json::json;

fn tokens(input: u64, output: u64) -> StepUsage {
    StepUsage { input, output, cost: None }
}

#[test]
fn the_sum_tells_whether_cached_tokens_are_within_the_input() {
    let beside = json!({ "inputTokens": 7674, "outputTokens": 3, "totalTokens": 7684, "cachedReadTokens": 7 });
    assert_eq!(acp::usage(&beside), Some(tokens(7681, 3)));
    let within = json!({ "inputTokens": 21018, "outputTokens": 4, "totalTokens": 21022, "thoughtTokens": 0, "cachedReadTokens": 7 });
    assert_eq!(acp::usage(&within), Some(tokens(21018, 4)));
    let silent = json!({ "inputTokens": 10, "outputTokens": 4, "thoughtTokens": 2, "cachedReadTokens": 3, "cachedWriteTokens": 1 });
    assert_eq!(acp::usage(&silent), Some(tokens(14, 6)));
}

#[test]
fn what_is_no_usage_is_none() {
    for value in [json!(null), json!({}), json!("usage"), json!({ "totalTokens": 5 }), json!({ "inputTokens": null })] {
        assert_eq!(acp::usage(&value), None, "{value}");
    }
    assert_eq!(acp::usage(&json!({ "inputTokens": -1, "outputTokens": 2.4 })), Some(tokens(0, 2)));
}

#[test]
fn a_prompts_result_is_the_use_of_its_turn() {
    let mut prompts = acp::PromptUsage::new();
    let result =
        json!({ "stopReason": "end_turn", "usage": { "totalTokens": 4717, "inputTokens": 4715, "outputTokens": 2 } });
    assert_eq!(prompts.read(&result), Some(UsageReport::turn(tokens(4715, 2))));
    assert_eq!(prompts.read(&result), Some(UsageReport::turn(tokens(4715, 2))), "two turns may use the same");
    assert_eq!(prompts.read(&json!({ "stopReason": "end_turn" })), None);
}

#[test]
fn a_cancelled_prompt_that_repeats_the_turn_before_used_nothing() {
    let mut prompts = acp::PromptUsage::new();
    let usage = json!({ "totalTokens": 4717, "inputTokens": 4715, "outputTokens": 2 });
    assert!(prompts.read(&json!({ "stopReason": "end_turn", "usage": usage })).is_some());
    assert_eq!(prompts.read(&json!({ "stopReason": "cancelled", "usage": usage })), None);
    let own = json!({ "totalTokens": 4800, "inputTokens": 4790, "outputTokens": 10 });
    assert!(
        prompts.read(&json!({ "stopReason": "cancelled", "usage": own })).is_some(),
        "a cancelled turn has a use too"
    );
    let zero = json!({ "totalTokens": 0, "inputTokens": 0, "outputTokens": 0 });
    assert_eq!(prompts.read(&json!({ "stopReason": "cancelled", "usage": zero })), None);
}

#[test]
fn a_quota_stands_in_for_a_missing_usage_and_is_not_added_to_one() {
    let quota = json!({ "quota": { "token_count": { "input_tokens": 30, "output_tokens": 4 } } });
    let mut prompts = acp::PromptUsage::new();
    let only_quota = json!({ "stopReason": "end_turn", "_meta": quota });
    assert_eq!(prompts.read(&only_quota), Some(UsageReport::turn(tokens(30, 4))));
    let both = json!({ "stopReason": "end_turn", "usage": { "inputTokens": 20, "outputTokens": 3 }, "_meta": quota });
    assert_eq!(prompts.read(&both), Some(UsageReport::turn(tokens(20, 3))));
}

#[test]
fn a_usage_update_is_a_context_with_a_running_cost() {
    let update = json!({ "used": 7693, "size": 128000, "cost": { "amount": 0.007694, "currency": "USD" } });
    let context = ContextUse { used: 7693, size: 128_000 };
    assert_eq!(acp::usage_update(&update), Some(UsageReport::Context { context, total_cost: Cost::usd(0.007694) }));
    let euros = json!({ "used": 7693, "size": 128000, "cost": { "amount": 1.5, "currency": "EUR" } });
    let total_cost = Currency::new("EUR").and_then(|euro| Cost::new(1.5, euro));
    assert_eq!(acp::usage_update(&euros), Some(UsageReport::Context { context, total_cost }));
    let nothing_known = json!({ "used": 7693, "size": 128000, "cost": { "amount": 1.5 } });
    assert_eq!(acp::usage_update(&nothing_known), Some(UsageReport::Context { context, total_cost: None }));
    let bare = json!({ "used": 7693, "size": 128000 });
    assert_eq!(acp::usage_update(&bare), Some(UsageReport::Context { context, total_cost: None }));
    for no_context in [json!({ "used": -1, "size": 5 }), json!({ "used": 1.5, "size": 5 }), json!({ "size": 5 })] {
        assert_eq!(acp::usage_update(&no_context), None, "{no_context}");
    }
}

#[test]
fn an_agent_that_tells_tokens_by_turn_and_cost_by_session_is_counted_once() {
    let mut prompts = acp::PromptUsage::new();
    let mut mapper = UsageMapper::new();
    for (amount, input) in [(0.25, 7693), (0.5, 7721), (0.75, 7748)] {
        let update = json!({ "used": input, "size": 128000, "cost": { "amount": amount, "currency": "USD" } });
        let result = json!({ "stopReason": "end_turn", "usage": { "inputTokens": input, "outputTokens": 3 } });
        for report in [acp::usage_update(&update), prompts.read(&result)] {
            mapper.apply(&report.expect("both are reports"));
        }
    }
    let used = StepUsage { input: 7693 + 7721 + 7748, output: 9, cost: Cost::usd(0.75) };
    assert_eq!(mapper.totals(), UsageTotals::from(used));
    assert_eq!(mapper.context(), Some(ContextUse { used: 7748, size: 128_000 }));
}
