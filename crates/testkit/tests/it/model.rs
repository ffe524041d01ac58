//! The mock model as a client sees it.

use std::time::Duration;

use boocoder_testkit::llm::{Ending, MockModel, TokenUsage};
use boocoder_testkit::process::wait_until;
use serde_json::{Value, json};

use crate::client::{Client, chat_body, user};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_script_is_streamed_in_chunks_and_its_usage_is_counted() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    let answer = client.chat(&user("MOCK:REASON let me see ;; TEXT hello big world"), true);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.deltas("reasoning_content"), "let me see");
    assert_eq!(answer.deltas("content"), "hello big world");
    let events = answer.events();
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(usage["completion_tokens"], 6, "a token a word");
    let prompt_tokens = usage["prompt_tokens"].as_u64().unwrap();
    assert_eq!(model.usage(), TokenUsage { prompt_tokens, completion_tokens: 6 });
    let finish: Vec<&Value> = events.iter().filter_map(|event| event.pointer("/choices/0/finish_reason")).collect();
    assert_eq!(finish.last(), Some(&&json!("stop")));
}

#[test]
fn usage_is_not_streamed_to_who_does_not_ask() {
    let model = MockModel::start().unwrap();
    let mut body = chat_body(&user("MOCK:TEXT hello"), true);
    body.as_object_mut().unwrap().remove("stream_options");
    let mut client = Client::connect(&model);
    client.send("POST", "/v1/chat/completions", &body.to_string());
    let answer = client.answer();
    assert!(answer.events().iter().all(|event| event.get("usage").is_none()));
    assert_eq!(model.usage(), TokenUsage::default());
}

#[test]
fn the_tool_loop_goes_on_after_each_result() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    let script = "MOCK:TEXT first ;; WRITE path=/w/a.txt content=x ;; SHELL cmd=ls -l ;; TEXT all done";
    let mut messages = user(script);
    for (tool, arguments) in
        [("write", json!({"path": "/w/a.txt", "content": "x"})), ("shell", json!({"command": "ls -l"}))]
    {
        let body = client.chat(&messages, false).json();
        let choice = &body["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(call["function"]["name"], tool);
        let given: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(given, arguments);
        let list = messages.as_array_mut().unwrap();
        list.push(choice["message"].clone());
        list.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "ok"}));
    }
    let body = client.chat(&messages, false).json();
    assert_eq!(body["choices"][0]["message"]["content"], "all done");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(model.requests().len(), 3);
}

#[test]
fn a_streamed_call_comes_in_fragments_with_an_id_of_its_own() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    let mut call = || client.chat(&user("MOCK:SHELL cmd=echo hi"), true);
    let (first, second) = (call(), call());
    assert_eq!(first.deltas("tool_calls/0/function/name"), "shell");
    assert_eq!(first.deltas("tool_calls/0/function/arguments"), r#"{"command":"echo hi"}"#);
    assert_ne!(first.deltas("tool_calls/0/id"), second.deltas("tool_calls/0/id"));
}

#[test]
fn without_a_script_the_answer_shows_that_the_history_came_along() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    let part = |text: &str| json!({"type": "text", "text": text});
    let messages = json!([
        {"role": "user", "content": "MOCK:HANG"},
        {"role": "assistant", "content": "…"},
        {"role": "user", "content": [part("<system-reminder>rules</system-reminder>"), part("hello there")]},
    ]);
    let said = client.chat(&messages, true).deltas("content");
    assert_eq!(said, "You said: hello there (user message 2)");
}

#[test]
fn a_side_call_runs_no_script() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    let body = json!({"model": "mock-model", "messages": user("a title for: MOCK:ERROR code=500")});
    client.send("POST", "/v1/chat/completions", &body.to_string());
    let answer = client.answer();
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Mock side answer");
    assert!(model.requests()[0].is_side_call());
}

#[test]
fn errors_come_as_status_or_break_the_stream() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    for (code, kind) in [(400, "invalid_request_error"), (401, "authentication_error"), (500, "server_error")] {
        let answer = client.chat(&user(&format!("MOCK:ERROR code={code}")), true);
        assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (code, Some(kind)));
    }
    let broken = client.chat(&user("MOCK:TEXT some ;; ERROR code=503"), true);
    assert_eq!(broken.status, 200);
    assert!(broken.body.contains("some") && broken.body.contains("mock error 503") && !broken.body.contains("[DONE]"));
    assert_eq!(model.requests().last().unwrap().ending, Ending::Refused(503));
}

#[test]
fn a_dropped_hang_is_seen_and_an_open_one_ends_with_the_server() {
    let model = MockModel::start().unwrap();
    let begin = || {
        let mut client = Client::connect(&model);
        client.send("POST", "/v1/chat/completions", &chat_body(&user("MOCK:TEXT soon ;; HANG"), true).to_string());
        assert_eq!(client.head().0, 200);
        client
    };
    let (dropped, mut kept) = (begin(), begin());
    drop(dropped);
    let endings = || {
        let mut endings: Vec<String> = model.requests().iter().map(|request| format!("{:?}", request.ending)).collect();
        endings.sort();
        endings
    };
    wait_until(LIMIT, "the end of the dropped request", || endings() == ["DroppedByClient", "Open"]).unwrap();
    drop(model);
    while !kept.is_closed() {
        kept.chunk();
    }
}

#[test]
fn a_slow_answer_is_given_up_when_the_client_goes() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    let body = chat_body(&user("MOCK:SLOW ms=50 chunks=100000"), true);
    client.send("POST", "/v1/chat/completions", &body.to_string());
    assert_eq!(client.head().0, 200);
    assert!((0..3).all(|_| !client.chunk().is_empty()));
    assert_eq!(model.requests()[0].ending, Ending::Open);
    drop(client);
    wait_until(LIMIT, "the end of the slow answer", || model.requests()[0].ending == Ending::DroppedByClient).unwrap();
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    let model = MockModel::start().unwrap();
    let mut client = Client::connect(&model);
    let body = |messages: Value| chat_body(&messages, false).to_string();
    let result =
        |id: Value| json!([{"role": "user", "content": "x"}, {"role": "tool", "content": "", "tool_call_id": id}]);
    for (body, why) in [
        ("{".to_owned(), "invalid chat request"),
        (json!({"messages": user("x")}).to_string(), "missing field `model`"),
        (json!({"model": "m"}).to_string(), "missing field `messages`"),
        (body(json!([])), "must not be empty"),
        (body(json!([{"role": "wizard", "content": "x"}])), "unknown role \"wizard\""),
        (body(result(json!("call_1"))), "no earlier message called a tool with the id \"call_1\""),
        (body(result(Value::Null)), "`tool_call_id` is missing"),
        (body(user("MOCK:DANCE")), "does not know the step \"DANCE\""),
    ] {
        client.send("POST", "/v1/chat/completions", &body);
        let answer = client.answer();
        let error = &answer.json()["error"];
        assert_eq!(answer.status, 400, "{body}");
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    for (method, path, status) in [("GET", "/v1/engines", 404), ("GET", "/v1/chat/completions", 405)] {
        client.send(method, path, "");
        assert_eq!(client.answer().status, status);
    }
    client.send("GET", "/v1/models", "");
    assert_eq!(client.answer().json()["data"][0]["id"], "mock-model");
}
