//! What opencode reports for a step, also when it reports nonsense.

use boocoder_model::{Cost, StepUsage, UsageReport};
use boocoder_usage_mapper::opencode;
use serde_json::{Value, json};

fn check(part: &Value, input: u64, output: u64, cost: impl Into<Option<f64>>) {
    let cost = cost.into().and_then(Cost::usd);
    assert_eq!(opencode::step(part), UsageReport::step(StepUsage { input, output, cost }), "{part}");
}

#[test]
fn cache_counts_as_input_and_reasoning_as_output() {
    let tokens = json!({ "input": 100, "output": 50, "reasoning": 20, "cache": { "read": 10, "write": 5 } });
    check(&json!({ "cost": 0.0123, "tokens": tokens }), 115, 70, 0.0123);
}

#[test]
fn a_step_without_cache_and_reasoning_is_taken_as_it_is() {
    let tokens = json!({ "input": 8, "output": 4, "reasoning": 0, "cache": { "read": 0, "write": 0 } });
    check(&json!({ "cost": 0, "tokens": tokens }), 8, 4, 0.0);
    check(&json!({ "cost": 0, "tokens": { "input": 8, "output": 4 } }), 8, 4, 0.0);
}

#[test]
fn missing_tokens_count_as_zero_and_a_missing_cost_as_unknown() {
    check(&json!({ "cost": 0.5 }), 0, 0, 0.5);
    check(&json!({ "cost": 0.5, "tokens": null }), 0, 0, 0.5);
    check(&json!({ "tokens": { "cache": 7 } }), 0, 0, None);
    for nothing in [json!({}), json!(null), json!([]), json!("step"), json!(3)] {
        check(&nothing, 0, 0, None);
    }
}

#[test]
fn noise_counts_as_zero_and_spares_its_neighbours() {
    // JSON has no NaN and no infinity; agents write them as null, as text, or as a number too great for a double.
    let tokens = json!({ "input": -5, "output": "NaN", "reasoning": 3, "cache": { "read": "Infinity", "write": 2 } });
    check(&json!({ "cost": "NaN", "tokens": tokens }), 2, 3, None);
    let tokens = json!({ "input": null, "output": [], "reasoning": true, "cache": { "read": 2, "write": {} } });
    check(&json!({ "cost": -0.5, "tokens": tokens }), 2, 0, None);
}

#[test]
fn fractions_are_rounded_and_numbers_in_text_are_read() {
    let tokens = json!({ "input": 10.6, "output": 4.4, "reasoning": 0, "cache": { "read": 0, "write": 0 } });
    check(&json!({ "cost": 1.5, "tokens": tokens }), 11, 4, 1.5);
    check(&json!({ "cost": "0.25", "tokens": { "input": "12", "output": " 3 " } }), 12, 3, 0.25);
}

#[test]
fn the_vendors_own_sum_is_not_needed_and_does_no_harm() {
    let tokens =
        json!({ "total": 8115, "input": 8084, "output": 24, "reasoning": 0, "cache": { "write": 0, "read": 7 } });
    check(&json!({ "type": "step-finish", "cost": 0.008132, "tokens": tokens }), 8091, 24, 0.008132);
}

#[test]
fn a_session_is_a_running_total() {
    let info = json!({ "cost": 0.5, "tokens": { "input": 10, "output": 2, "reasoning": 1, "cache": { "read": 1, "write": 0 } } });
    let total = StepUsage { input: 11, output: 3, cost: Cost::usd(0.5) };
    assert_eq!(opencode::session(&info), UsageReport::RunningTotal(total));
}
