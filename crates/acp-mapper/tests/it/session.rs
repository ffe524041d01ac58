//! What concerns the session: commands, plans, modes, options, titles, usage, notices, compaction.

use agent_client_protocol_schema::v1::{SessionConfigOption, SessionConfigSelectGroup, SessionConfigSelectOption};
use boocoder_acp_mapper::config_options;
use boocoder_model::event::{PlanPriority, PlanStatus};
use boocoder_model::{
    AgentCommand, AgentEvent, ConfigChoice, ConfigOption, ConfigValue, ContextUse, Cost, Currency, PlanEntry, RawJson,
    UsageReport,
};
use serde_json::{Value, json};

use crate::{check, text};

#[test]
fn commands_are_listed_with_what_is_known_of_them() {
    let update = json!({ "sessionUpdate": "available_commands_update", "availableCommands": [
        { "name": "plan", "description": "make a plan", "input": { "hint": "what for" } },
        { "name": "review", "description": null },
        { "name": "status", "description": "", "input": { "hint": "" } },
    ] });
    let command = |name: &str| AgentCommand { name: name.into(), description: None, hint: None };
    let plan =
        AgentCommand { description: Some("make a plan".into()), hint: Some("what for".into()), ..command("plan") };
    check(&[update], &[AgentEvent::Commands(vec![plan, command("review"), command("status")])]);
    let none = json!({ "sessionUpdate": "available_commands_update", "availableCommands": [] });
    check(&[none], &[AgentEvent::Commands(Vec::new())]);
}

#[test]
fn a_plan_and_a_mode_have_events_of_their_own() {
    let plan = json!({ "sessionUpdate": "plan", "entries": [
        { "content": "one", "priority": "high", "status": "in_progress" },
        { "content": "two", "priority": "urgent", "status": "paused" },
    ] });
    let entry = |content: &str, priority, status| PlanEntry { content: content.into(), priority, status };
    check(
        &[plan],
        &[AgentEvent::Plan(vec![
            entry("one", PlanPriority::High, PlanStatus::InProgress),
            entry("two", PlanPriority::Medium, PlanStatus::Pending),
        ])],
    );
    check(&[json!({ "sessionUpdate": "plan", "entries": [] })], &[AgentEvent::Plan(Vec::new())]);
    let mode = json!({ "sessionUpdate": "current_mode_update", "currentModeId": "code" });
    check(&[mode], &[AgentEvent::Mode("code".into())]);
}

/// Options in all shapes, as an agent writes them.
fn options() -> (Value, Vec<ConfigOption>) {
    let wheel = json!({ "id": "colour", "name": "Colour", "type": "wheel", "currentValue": 3 });
    let json = json!([
        { "id": "mode", "name": "Mode", "description": "How to work", "category": "mode", "type": "select",
          "currentValue": "ask", "options": [{ "value": "ask", "name": "Ask", "description": "first" }] },
        { "id": "model", "name": "Model", "category": "vendor", "type": "select", "currentValue": "b",
          "options": [{ "group": "g", "name": "Group", "options": [{ "value": "a", "name": "A" }] },
                      { "group": "h", "name": "Other", "options": [{ "value": "b", "name": "B" }] }] },
        { "id": "fast", "name": "Fast", "type": "boolean", "currentValue": true },
        wheel,
    ]);
    let option = |id: &str, name: &str, category: Option<&str>, value| ConfigOption {
        id: id.into(),
        name: name.into(),
        description: None,
        category: category.map(Into::into),
        value,
    };
    let select = |current: &str, choices: &[(&str, &str, Option<&str>)]| ConfigValue::Select {
        current: current.into(),
        choices: choices
            .iter()
            .map(|(id, name, description)| ConfigChoice {
                id: (*id).into(),
                name: (*name).into(),
                description: description.map(Into::into),
            })
            .collect(),
    };
    let mode = option("mode", "Mode", Some("mode"), select("ask", &[("ask", "Ask", Some("first"))]));
    let expected = vec![
        ConfigOption { description: Some("How to work".into()), ..mode },
        option("model", "Model", Some("vendor"), select("b", &[("a", "A", None), ("b", "B", None)])),
        option("fast", "Fast", None, ConfigValue::Toggle(true)),
        option("colour", "Colour", None, ConfigValue::Unknown(RawJson::new(wheel.to_string()))),
    ];
    (json, expected)
}

#[test]
fn options_are_read_and_unknown_ones_kept() {
    let (json, expected) = options();
    let update = json!({ "sessionUpdate": "config_option_update", "configOptions": json });
    check(&[update], &[AgentEvent::ConfigOptions(expected)]);
}

#[test]
fn typed_options_are_converted_alike() {
    let select = SessionConfigOption::select("mode", "Mode", "a", vec![SessionConfigSelectOption::new("a", "A")]);
    let groups = vec![SessionConfigSelectGroup::new("g", "Group", vec![SessionConfigSelectOption::new("a", "A")])];
    let grouped = SessionConfigOption::select("model", "Model", "a", groups);
    let converted = config_options(vec![select, grouped, SessionConfigOption::boolean("fast", "Fast", false)]);
    let choices = vec![ConfigChoice { id: "a".into(), name: "A".into(), description: None }];
    let expected = ConfigValue::Select { current: "a".into(), choices };
    let values: Vec<_> = converted.into_iter().map(|option| (option.id, option.value)).collect();
    let named = |id: &str, value| (id.to_owned(), value);
    assert_eq!(
        values,
        [named("mode", expected.clone()), named("model", expected), named("fast", ConfigValue::Toggle(false))]
    );
}

#[test]
fn a_title_is_set_and_taken_back() {
    let info = |title: Value| json!({ "sessionUpdate": "session_info_update", "title": title });
    check(&[info("Fix it".into())], &[AgentEvent::Title(Some("Fix it".into()))]);
    check(&[info(Value::Null)], &[AgentEvent::Title(None)]);
}

#[test]
fn the_size_of_the_context_comes_with_the_cost_so_far() {
    let context = ContextUse { used: 7693, size: 128_000 };
    let usage = |total_cost| [AgentEvent::Usage(UsageReport::Context { context, total_cost })];
    let mut update = json!({ "sessionUpdate": "usage_update", "used": 7693, "size": 128000 });
    check(&[update.clone()], &usage(None));
    update["cost"] = json!({ "amount": 0.5, "currency": "USD" });
    check(&[update.clone()], &usage(Cost::usd(0.5)));
    update["cost"]["currency"] = json!("eur");
    check(&[update.clone()], &usage(Currency::new("EUR").and_then(|euro| Cost::new(0.5, euro))));
    for no_cost in [
        json!({ "amount": -0.5, "currency": "USD" }),
        json!({ "amount": 0.5 }),
        json!({ "amount": 0.5, "currency": "" }),
    ] {
        update["cost"] = no_cost;
        check(&[update.clone()], &usage(None));
    }
}

#[test]
fn notices_read_as_one_text() {
    let notice = |severity: &str| json!({ "sessionUpdate": "notice", "severity": severity, "title": "Slow", "description": "Retry in 5 s" });
    check(&[notice("info")], &[AgentEvent::Notice("Slow\nRetry in 5 s".into())]);
    check(&[notice("warning")], &[AgentEvent::Notice("warning: Slow\nRetry in 5 s".into())]);
}

#[test]
fn compaction_brings_its_status_its_summary_and_its_failure() {
    let compaction = |summary: Option<&str>, status: Option<&str>| AgentEvent::Compaction {
        summary: summary.map(Into::into),
        status: status.map(Into::into),
    };
    let image = json!({ "type": "image", "data": "eA==", "mimeType": "image/png" });
    check(
        &[
            json!({ "sessionUpdate": "compaction_update", "compactionId": "c", "status": "in_progress" }),
            json!({ "sessionUpdate": "compaction_summary_chunk", "compactionId": "c", "content": text("so far") }),
            json!({ "sessionUpdate": "compaction_summary_chunk", "compactionId": "c", "content": text("") }),
            json!({ "sessionUpdate": "compaction_update", "compactionId": "c", "status": "completed", "summary": [text("a"), image, text("b")] }),
            json!({ "sessionUpdate": "compaction_update", "compactionId": "c", "status": "failed", "error": "too long" }),
        ],
        &[
            compaction(None, Some("in_progress")),
            compaction(Some("so far"), None),
            compaction(Some("ab"), Some("completed")),
            AgentEvent::Unmapped { kind: "compaction_update.summary".into(), raw: RawJson::new(image.to_string()) },
            compaction(None, Some("failed")),
            AgentEvent::Notice("compaction: too long".into()),
        ],
    );
}
