//! What an agent may ask of us: files and terminals, request by request.

use boocoder_backend::SessionEvent;
use boocoder_model::{AgentEvent, ContentPart, DecidedBy, ToolContent};
use boocoder_testkit::process::alive;
use serde_json::{Value, json};

use crate::support::{Home, PATIENCE, Rig, Turn, in_both_homes};

in_both_homes! {
    files_are_read_and_written_inside_the_worktree,
    a_terminal_runs_a_line_as_goose_sends_it_and_keeps_the_end_of_its_output,
    a_terminal_with_arguments_needs_no_shell_and_truncates_at_a_character,
    a_terminal_is_killed_and_still_tells_what_it_said,
    a_background_process_outlives_its_command_and_not_its_terminal,
    terminals_stay_in_the_worktree_and_within_their_number,
    terminals_end_with_their_session,
    a_tool_call_shows_what_its_terminal_said,
}

impl Rig {
    /// Lets the agent make a request and says what it was answered.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        let end = self.run(&format!("call {method} {params}")).await;
        serde_json::from_str(&end.text()).expect("an answer")
    }
}

async fn files_are_read_and_written_inside_the_worktree(home: Home) {
    let mut rig = Rig::script(home).await;
    let path = rig.at("deep/a.txt");
    let written = rig.call("fs/write_text_file", json!({ "sessionId": "s", "path": path, "content": "a\nb\n" })).await;
    assert_eq!(written["result"], json!({}));
    let read = rig.call("fs/read_text_file", json!({ "sessionId": "s", "path": path, "line": 2 })).await;
    assert_eq!(read["result"]["content"], "b\n");
    let missing = rig.call("fs/read_text_file", json!({ "sessionId": "s", "path": rig.at("no") })).await;
    assert_eq!(missing["error"]["code"], -32002);
    let outside = rig.call("fs/read_text_file", json!({ "sessionId": "s", "path": "/etc/passwd" })).await;
    assert_eq!(outside["error"]["code"], -32602);
    let nonsense = rig.call("fs/read_text_file", json!([1])).await;
    assert_eq!(nonsense["error"]["code"], -32602);
    let unknown = rig.call("vendor/do_it", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601);
}

async fn a_terminal_runs_a_line_as_goose_sends_it_and_keeps_the_end_of_its_output(home: Home) {
    let mut rig = Rig::script(home).await;
    let line = "echo hi; sleep 0.1; echo \"$GREETING\" >&2; pwd; exit 3";
    let env = json!([{ "name": "GREETING", "value": "bye" }]);
    let made =
        rig.call("terminal/create", json!({ "sessionId": "s", "command": line, "env": env, "cwd": rig.at("") })).await;
    let id = made["result"]["terminalId"].clone();
    let exit = rig.call("terminal/wait_for_exit", json!({ "sessionId": "s", "terminalId": id })).await;
    assert_eq!(exit["result"], json!({ "exitCode": 3, "signal": null }));
    let output = rig.call("terminal/output", json!({ "sessionId": "s", "terminalId": id })).await["result"].clone();
    let tree = rig.at("").canonicalize().expect("there");
    assert_eq!(output["output"], format!("hi\nbye\n{}\n", tree.display()));
    assert_eq!((output["truncated"].clone(), output["exitStatus"]["exitCode"].clone()), (json!(false), json!(3)));
    rig.call("terminal/release", json!({ "sessionId": "s", "terminalId": id })).await;
    let gone = rig.call("terminal/output", json!({ "sessionId": "s", "terminalId": id })).await;
    assert_eq!(gone["error"]["code"], -32602);
}

async fn a_terminal_with_arguments_needs_no_shell_and_truncates_at_a_character(home: Home) {
    let mut rig = Rig::script(home).await;
    let params = json!({ "sessionId": "s", "command": "printf", "args": ["%s", "äöü;$(x)"], "outputByteLimit": 8 });
    let id = rig.call("terminal/create", params).await["result"]["terminalId"].clone();
    rig.call("terminal/wait_for_exit", json!({ "sessionId": "s", "terminalId": id })).await;
    let output = rig.call("terminal/output", json!({ "sessionId": "s", "terminalId": id })).await;
    assert_eq!((&output["result"]["output"], &output["result"]["truncated"]), (&json!("ü;$(x)"), &json!(true)));
}

async fn a_terminal_is_killed_and_still_tells_what_it_said(home: Home) {
    let mut rig = Rig::script(home).await;
    let params = json!({ "sessionId": "s", "command": "echo $$; exec sleep 600" });
    let id = rig.call("terminal/create", params).await["result"]["terminalId"].clone();
    let pid = loop {
        let output = rig.call("terminal/output", json!({ "sessionId": "s", "terminalId": id })).await;
        if let Ok(pid) = output["result"]["output"].as_str().unwrap_or_default().trim().parse::<u32>() {
            break pid;
        }
    };
    assert!(alive(pid));
    rig.call("terminal/kill", json!({ "sessionId": "s", "terminalId": id })).await;
    assert!(!alive(pid));
    let output = rig.call("terminal/output", json!({ "sessionId": "s", "terminalId": id })).await;
    assert_eq!(output["result"]["exitStatus"]["signal"], "SIGTERM");
    assert_eq!(output["result"]["output"], format!("{pid}\n"));
}

async fn a_background_process_outlives_its_command_and_not_its_terminal(home: Home) {
    let mut rig = Rig::script(home).await;
    let params = json!({ "sessionId": "s", "command": "sleep 600 & echo $!" });
    let id = rig.call("terminal/create", params).await["result"]["terminalId"].clone();
    rig.call("terminal/wait_for_exit", json!({ "sessionId": "s", "terminalId": id })).await;
    let output = rig.call("terminal/output", json!({ "sessionId": "s", "terminalId": id })).await;
    let pid: u32 = output["result"]["output"].as_str().expect("text").trim().parse().expect("a pid");
    assert!(alive(pid));
    rig.call("terminal/release", json!({ "sessionId": "s", "terminalId": id })).await;
    let gone = tokio::task::spawn_blocking(move || {
        boocoder_testkit::process::wait_until(PATIENCE, "the end of it", || !alive(pid))
    });
    gone.await.expect("no panic").expect("it is dead");
}

async fn terminals_stay_in_the_worktree_and_within_their_number(home: Home) {
    let mut rig = Rig::script(home).await;
    for cwd in [json!("/"), json!(rig.at("..")), json!("../.."), json!(rig.at("nowhere"))] {
        let refused = rig.call("terminal/create", json!({ "sessionId": "s", "command": "pwd", "cwd": cwd })).await;
        assert_eq!(refused["error"]["code"], -32602, "{cwd}: {refused}");
    }
    let missing = rig.call("terminal/create", json!({ "command": "no-such-program", "args": ["x"] })).await;
    assert_eq!(missing["error"]["code"], -32602, "{missing}");
    let mut spec = crate::support::agent(&["script"]);
    spec.limits.terminals = 2;
    let mut rig = Rig::open(home, spec).await;
    for expected in [true, true, false] {
        let made = rig.call("terminal/create", json!({ "command": "true" })).await;
        assert_eq!(made["result"]["terminalId"].is_string(), expected, "{made}");
    }
}

async fn terminals_end_with_their_session(home: Home) {
    let mut rig = Rig::script(home).await;
    let params = json!({ "sessionId": "s", "command": "trap '' TERM HUP; echo $$; while :; do sleep 1; done" });
    let id = rig.call("terminal/create", params).await["result"]["terminalId"].clone();
    let pid = loop {
        let output = rig.call("terminal/output", json!({ "sessionId": "s", "terminalId": id })).await;
        if let Ok(pid) = output["result"]["output"].as_str().unwrap_or_default().trim().parse::<u32>() {
            break pid;
        }
    };
    rig.close().await;
    assert!(!alive(pid));
}

async fn a_tool_call_shows_what_its_terminal_said(home: Home) {
    let mut rig = Rig::demo(home).await;
    let said = |event: &SessionEvent| match event {
        SessionEvent::Agent { event: AgentEvent::ToolUpdate(call), .. } => match &call.content[..] {
            [ToolContent::Terminal { .. }, ToolContent::Part(ContentPart::Text(text))] => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    let shown = |turn: &Turn| turn.events.iter().rev().find_map(said).expect("a tool call with a terminal");
    let turn = rig.run("shell printf 'one\\ntwo\\n'").await;
    assert_eq!(shown(&turn), "one\ntwo\n");
    let turn = rig.run("shell yes 0123456789abcde | head -c 200000").await;
    let text = shown(&turn);
    assert!(text.starts_with("[earlier output is left out]\n") && text.len() < 70_000, "{}", text.len());

    // While it runs as well.
    let running = rig.start("shell echo begun; while [ ! -e go ]; do sleep 0.1; done; echo gone on; sleep 600").await;
    rig.until(|event| said(event).as_deref() == Some("begun\n")).await;
    std::fs::write(rig.at("go"), "").expect("a file");
    rig.until(|event| said(event).as_deref() == Some("begun\ngone on\n")).await;
    rig.session.cancel(running, DecidedBy::User).await.expect("it runs");
    assert_eq!(shown(&rig.end(running).await), "begun\ngone on\n", "also of one that was cut short");
}
