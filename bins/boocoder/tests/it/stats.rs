//! What was used, as it is shown: in frames, by `run`, in the list of agent sessions and in the statistics.

use serde_json::{Value, json};

use crate::memory::Memory;
use crate::serving::Place;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn what_a_turn_used_is_the_same_wherever_it_is_shown() {
    let place = Place::new();
    let server = place.serve().await;
    let first = place.output(&["run", "usage 100 20 0.25"]).await;
    assert!(text(&first.stderr).contains("used: 100 tokens in, 20 out, 0.25 USD"), "{}", text(&first.stderr));
    let session = server.get("/api/sessions").await[0]["id"].as_str().unwrap().to_owned();
    let second = place.output(&["run", "--json", "--session", &session, "usage 10 5 0.5\nusage 1 1 0"]).await;
    let frames = text(&second.stdout);
    let usage: Vec<Value> = frames
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|frame: &Value| frame["type"] == "usage")
        .collect();
    // The agent tells its cost while it goes on, and its tokens at the turn's end.
    let last = usage.last().expect("a report");
    assert_eq!((&last["input_tokens"], &last["output_tokens"], &last["cost"]), (&json!(111), &json!(26), &json!(0.75)));
    assert_eq!((&last["currency"], &last["source"]), (&json!("USD"), &json!("agent")), "{last}");
    assert_eq!(last["turn"], json!({"input_tokens": 11, "output_tokens": 6, "cost": 0.5, "currency": "USD"}), "{last}");

    let agents = server.get(&format!("/api/sessions/{session}/agent-sessions")).await;
    let row = &agents[0];
    assert_eq!((&row["input_tokens"], &row["output_tokens"], &row["cost"]), (&json!(111), &json!(26), &json!(0.75)));
    let tasks = server.get("/api/tasks").await;
    assert_eq!((&tasks[0]["cost_tokens"], &tasks[1]["cost_tokens"]), (&json!(17), &json!(120)), "{tasks}");

    let stats = server.get(&format!("/api/stats?session_id={session}&group_by=agent,chat")).await;
    let [group] = &stats["groups"].as_array().unwrap()[..] else { panic!("{stats}") };
    assert_eq!((&group["agent"], &group["chat_id"]), (&json!("demo"), &row["chat_id"]), "{stats}");
    assert_eq!(
        (&group["input_tokens"], &group["output_tokens"], &group["cost"]),
        (&json!(111), &json!(26), &json!(0.75))
    );
    assert_eq!(group["costs"], json!([{"currency": "USD", "source": "agent", "amount": 0.75}]), "{stats}");
    assert_eq!(group["turns"], json!({"completed": 2, "failed": 0, "cancelled": 0, "running": 0}), "{stats}");
    assert_eq!(stats["total"]["input_tokens"], 111, "{stats}");
    server.stop().await;
}

#[tokio::test]
async fn what_a_turn_used_is_counted_once_though_the_server_is_killed_in_the_middle() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let script = "usage 100 20 0.25\nsay begun\nsleep 4000\nusage 1 1 0.5";
    let task = server.say(&session, script).await;
    let seen = server.listen(&session, "?after=0").await.until_said("begun").await;
    server.killed().await;
    let server = place.serve().await;
    let ended = server.ended(&task).await;
    assert_eq!((&ended["state"], &ended["cost_tokens"]), (&json!("completed"), &json!(122)), "{ended}");
    let stats = server.get("/api/stats?group_by=task").await;
    let [group] = &stats["groups"].as_array().unwrap()[..] else { panic!("{stats}") };
    assert_eq!(
        (&group["input_tokens"], &group["output_tokens"], &group["cost"]),
        (&json!(101), &json!(21), &json!(0.75))
    );
    let replayed = server.listen(&session, "?after=0").await.until_end_of(&task).await;
    assert_eq!(replayed[..seen.len()], seen[..], "what was shown is what a replay shows");
    let last = replayed.iter().rfind(|frame| frame["type"] == "usage").unwrap();
    assert_eq!(
        last["turn"],
        json!({"input_tokens": 101, "output_tokens": 21, "cost": 0.75, "currency": "USD"}),
        "{last}"
    );
    server.stop().await;
}

#[tokio::test]
async fn turns_count_by_how_they_ended_within_the_range_that_is_asked_for() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    server.answer(&session, "say fine").await;
    let refused = server.say(&session, "refuse").await;
    server.ended(&refused).await;
    let stats = server.get("/api/stats?from=2020-01-01T00:00:00Z&group_by=day,hour").await;
    assert_eq!(stats["total"]["turns"], json!({"completed": 1, "failed": 1, "cancelled": 0, "running": 0}), "{stats}");
    assert_eq!((&stats["total"]["input_tokens"], &stats["total"]["cost"]), (&json!(0), &json!(0.0)), "{stats}");
    let hour = stats["groups"][0]["hour"].as_str().unwrap().to_owned();
    assert_eq!(&hour[..10], stats["groups"][0]["day"].as_str().unwrap());
    let before = server.get(&format!("/api/stats?to={hour}")).await;
    assert_eq!((&before["groups"], &before["total"]["turns"]["completed"]), (&json!([]), &json!(0)), "{before}");
    server.stop().await;
}

#[tokio::test]
async fn a_configured_price_stands_in_where_the_agent_tells_no_cost() {
    let place = Place::new();
    let script = place.data_dir().with_file_name("plain.sh");
    std::fs::write(
        &script,
        "while read -r line; do\n  id=$(printf '%s' \"$line\" | sed -n 's/.*\"id\":\\(\"[^\"]*\"\\|[0-9]*\\).*/\\1/p')\n\
         case $line in\n\
         *initialize*) echo '{\"jsonrpc\":\"2.0\",\"id\":'$id',\"result\":{\"protocolVersion\":1,\"agentCapabilities\":{}}}';;\n\
         *session/new*) echo '{\"jsonrpc\":\"2.0\",\"id\":'$id',\"result\":{\"sessionId\":\"s1\",\"models\":{\"currentModelId\":\"vendor/d\",\"availableModels\":[{\"modelId\":\"vendor/d\",\"name\":\"D\"},{\"modelId\":\"vendor/m\",\"name\":\"M\"}]}}}';;\n\
         *session/prompt*) echo '{\"jsonrpc\":\"2.0\",\"id\":'$id',\"result\":{\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":1000,\"outputTokens\":100,\"totalTokens\":1100}}}';;\n\
         *session/set_model*) echo '{\"jsonrpc\":\"2.0\",\"id\":'$id',\"result\":{}}';;\n\
         esac\ndone\n",
    )
    .unwrap();
    place.configure(&format!(
        "[agents.plain]\ncommand = \"sh\"\nargs = [\"{}\"]\nprotocol = \"acp\"\nwarm = true\n\
         [prices.\"vendor/m\"]\ninput_per_million = 1\noutput_per_million = 10\ncurrency = \"EUR\"\n",
        script.display()
    ));
    let server = place.serve().await;
    let session = server.session(&place).await;
    let path = format!("/api/sessions/{session}/messages");
    for model in [None, Some("vendor/m")] {
        let mut message = json!({"content": "hi", "agent": "plain"});
        if let Some(model) = model {
            message["model"] = json!(model);
        }
        let task = server.post(&path, message).await["task_id"].as_str().unwrap().to_owned();
        let ended = server.ended(&task).await;
        let agents = server.get(&format!("/api/sessions/{session}/agent-sessions")).await;
        let shown = (&agents[0]["cost"], &agents[0]["currency"]);
        match model {
            None => {
                assert_eq!((&ended["state"], &ended["cost_tokens"]), (&json!("completed"), &json!(1100)), "{ended}");
                assert_eq!(shown, (&Value::Null, &Value::Null), "nobody knows the cost: {agents}");
            }
            Some(_) => assert_eq!(shown, (&json!(0.002), &json!("EUR")), "{agents}"),
        }
    }
    let stats = server.get("/api/stats?group_by=model&agent=plain").await;
    let groups: Vec<_> =
        stats["groups"].as_array().unwrap().iter().map(|it| (&it["model"], &it["cost"], &it["costs"])).collect();
    let priced = json!([{"currency": "EUR", "source": "price_table", "amount": 0.002}]);
    assert_eq!(
        groups,
        [(&Value::Null, &Value::Null, &json!([])), (&json!("vendor/m"), &json!(0.002), &priced)],
        "{stats}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_question_that_is_not_understood_is_refused() {
    let server = Memory::start().await;
    for (query, code) in [
        ("form=2026-11-28T00:00:00Z", "invalid_query"),
        ("project_id=x", "invalid_query"),
        ("from=yesterday", "invalid_time"),
        ("from=2026-11-29T00:00:00Z&to=2026-11-28T00:00:00Z", "invalid_range"),
        ("group_by=week", "invalid_group_by"),
    ] {
        let answer = server.get(&format!("/api/stats?{query}")).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &code.into()), "{query}: {answer:?}");
    }
    let offset = server.get("/api/stats?from=2026-11-28T01:00:00%2B01:00").await;
    assert_eq!((offset.status, &offset.json["from"]), (200, &"2026-11-28T00:00:00Z".into()), "{offset:?}");
}
