//! The command line: `run`, `agents`, `doctor`, and what is told on which output.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::serving::{LIMIT, Place};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The session and the chat that `run` named on standard error.
fn ids(stderr: &str) -> (String, String) {
    let words: Vec<&str> = stderr.split_whitespace().collect();
    let after =
        |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1].to_owned()).expect(name);
    (after("session"), after("chat"))
}

#[tokio::test]
async fn a_first_turn_needs_nothing_but_a_repository() {
    let place = Place::new();
    let said = place.output(&["run", "say hello"]).await;
    assert_eq!((text(&said.stdout).as_str(), said.status.code()), ("hello\n", Some(0)), "{}", text(&said.stderr));
    assert!(!place.data_dir().join("server.json").exists(), "the server of one turn is gone with it");

    let (session, chat) = ids(&text(&said.stderr));
    place.output(&["run", "--session", &session, "--chat", &chat, "remember me"]).await;
    let recalled = place.output(&["run", "--session", &session, "--chat", &chat, "recall"]).await;
    assert_eq!(text(&recalled.stdout), "me\n", "the agent's own session outlives both servers");
}

#[tokio::test]
async fn a_running_server_is_used_and_its_agent_stays_warm() {
    let place = Place::new();
    let server = place.serve().await;
    let first = place.output(&["run", "pid"]).await;
    let (session, _) = ids(&text(&first.stderr));
    let second = place.output(&["run", "--session", &session, "pid"]).await;
    assert_eq!(text(&first.stdout), text(&second.stdout), "the same process answers");
    assert_eq!(server.get("/api/sessions").await.as_array().unwrap().len(), 1);

    let framed = place.output(&["run", "--json", "--session", &session, "think hm\nsay done"]).await;
    let frames: Vec<Value> = text(&framed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(frames.iter().any(|frame| frame["type"] == "reasoning_delta" && frame["content"] == "hm"), "{frames:?}");
    assert_eq!(frames.last().unwrap()["type"], "task_updated");
    let numbers: Vec<u64> = frames.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] > pair[0]), "{numbers:?}");
    server.stop().await;
}

#[tokio::test]
async fn the_exit_status_tells_how_the_turn_ended() {
    let place = Place::new();
    let server = place.serve().await;
    let crashed = place.output(&["run", "say partly\ncrash"]).await;
    assert_eq!((text(&crashed.stdout).as_str(), crashed.status.code()), ("partly\n", Some(1)));
    assert!(text(&crashed.stderr).contains("failed (crash)"), "{}", text(&crashed.stderr));
    let refused = place.output(&["run", "refuse"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let unknown = place.output(&["run", "--agent", "nobody", "hi"]).await;
    assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(1), 0));
    assert!(text(&unknown.stderr).contains("nobody"), "{}", text(&unknown.stderr));

    let mut slow = place.command(&["run", "say begun\nsleep 600000"]).spawn().unwrap();
    let mut lines = BufReader::new(slow.stdout.take().unwrap());
    let mut begun = [0; 5];
    timeout(LIMIT, tokio::io::AsyncReadExt::read_exact(&mut lines, &mut begun)).await.unwrap().unwrap();
    kill_process(Pid::from_raw(slow.id().unwrap() as i32).unwrap(), Signal::INT).unwrap();
    let ended = timeout(LIMIT, slow.wait_with_output()).await.unwrap().unwrap();
    assert_eq!((&begun, ended.status.code()), (b"begun", Some(130)), "{}", text(&ended.stderr));
    let tasks = server.get("/api/tasks").await;
    assert_eq!((&tasks[0]["state"], &tasks[0]["outcome"]["decided_by"]), (&"cancelled".into(), &"user".into()));
    server.stop().await;
}

#[tokio::test]
async fn without_a_terminal_a_permission_stays_open_unless_it_was_given_before() {
    let place = Place::new();
    let server = place.serve().await;
    let auto = place.output(&["run", "--approve", "auto", "write a.txt hi"]).await;
    assert_eq!(auto.status.code(), Some(0), "{}", text(&auto.stderr));
    assert!(text(&auto.stderr).contains("held back until you decide: a.txt (create)"), "{}", text(&auto.stderr));
    let (session, _) = ids(&text(&auto.stderr));
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    let apply = format!("POST {}/api/pending/{}/apply", server.info.url, pending[0]["id"].as_str().unwrap());
    assert!(text(&auto.stderr).contains(&apply), "{}", text(&auto.stderr));

    let mut asked = place.command(&["run", "write b.txt hi"]).spawn().unwrap();
    let mut lines = BufReader::new(asked.stderr.take().unwrap()).lines();
    let told = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("/api/interactions/") && line.contains("--approve auto") {
                return line;
            }
        }
        panic!("it says that nobody can answer");
    };
    timeout(LIMIT, told).await.unwrap();
    let open = server.get("/api/interactions").await;
    let question = open[0]["id"].as_str().unwrap();
    let options = open[0]["options"].as_array().unwrap();
    let reject = options.iter().find(|option| option["kind"] == "reject_once").unwrap();
    server.post(&format!("/api/interactions/{question}"), serde_json::json!({"option_id": reject["option_id"]})).await;
    assert!(timeout(LIMIT, asked.wait()).await.unwrap().unwrap().code().is_some());
    server.stop().await;
}

#[tokio::test]
async fn outside_of_a_repository_run_says_what_is_missing() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let lost = place.command(&["run", "hi"]).current_dir(elsewhere.path()).output().await.unwrap();
    assert_eq!(lost.status.code(), Some(1));
    assert!(text(&lost.stderr).contains("--project"), "{}", text(&lost.stderr));
    assert!(!place.data_dir().exists(), "nothing was started for it");

    let begun = place.output(&["run", "--approve", "auto", "remember me\nwrite a.txt hi"]).await;
    let hint = text(&begun.stderr);
    assert!(hint.contains("boocoder serve") && hint.contains("POST /api/pending/"), "its server is gone: {hint}");
    let (session, chat) = ids(&hint);
    let mut further = place.command(&["run", "--session", &session, "--chat", &chat, "recall"]);
    let recalled = further.current_dir(elsewhere.path()).output().await.unwrap();
    assert_eq!(text(&recalled.stdout), "me\n", "a session has its project: {}", text(&recalled.stderr));
}

#[tokio::test]
async fn options_that_a_running_server_does_not_see_are_said_to_count_for_nothing() {
    let place = Place::new();
    let server = place.serve().await;
    let plain = place.output(&["run", "say hi"]).await;
    assert!(!text(&plain.stderr).contains("configuration"), "{}", text(&plain.stderr));
    let other = place.output(&["run", "--database-url", "postgres://127.0.0.1:1/none", "say hi"]).await;
    let named = format!("(process {}, {}) uses its own configuration", server.info.pid, server.info.url);
    assert!(text(&other.stderr).contains(&named), "{}", text(&other.stderr));
    assert_eq!((text(&other.stdout).as_str(), other.status.code()), ("hi\n", Some(0)));
    server.stop().await;
}

#[tokio::test]
async fn where_a_configuration_is_or_would_be_is_said() {
    let place = Place::new();
    for (args, output) in [(&["doctor"][..], "doctor"), (&["agents", "--json"], "agents")] {
        let without = place.output(args).await;
        let said = text(&without.stdout) + &text(&without.stderr);
        assert!(said.contains("none at ") && said.contains("config/boocoder/config.toml"), "{output}: {said}");
    }
    place.configure("");
    let with = place.output(&["agents"]).await;
    let said = text(&with.stderr);
    assert!(said.contains("config/boocoder/config.toml") && !said.contains("none at"), "{said}");
}

#[tokio::test]
async fn serve_prints_the_address_alone_and_announces_itself_privately() {
    let place = Place::new();
    let mut server = place.serve().await;
    let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
    let address = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert_eq!(address, format!("{}/?token={}", server.info.url, server.info.token));
    for file in ["server.json", "token"] {
        let mode = place.data_dir().join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let token = server.info.token.clone();
    let (status, log) = server.stop().await;
    assert!(status.success() && !log.contains(&token), "the token is not logged: {log}");
    assert_eq!(timeout(LIMIT, lines.next_line()).await.unwrap().unwrap(), None, "nothing else on standard output");

    let server = place.serve_with(&["--log-format", "json"]).await;
    assert_eq!(server.info.token, token, "the token is kept");
    let (_, log) = server.stop().await;
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not JSON: {line}");
    }
}

#[tokio::test]
async fn a_configuration_with_a_mistake_is_refused_by_name() {
    let place = Place::new();
    place.configure("[agents.mine]\ncomand = \"mine\"\n");
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["run", "hi"], &["agents"], &["doctor"]] {
        let refused = place.output(args).await;
        let said = text(&refused.stderr) + &text(&refused.stdout);
        assert!(
            !refused.status.success() && said.contains("comand") && said.contains("config.toml"),
            "{args:?}: {said}"
        );
    }
}

#[tokio::test]
async fn agents_and_doctor_tell_what_is_there() {
    let place = Place::new();
    place.configure("[agents.mine]\ncommand = \"/nonexistent/mine\"\nlabel = \"Mine\"\n");
    let agents = place.output(&["agents", "--json"]).await;
    let agents: Value = serde_json::from_slice(&agents.stdout).unwrap();
    let of = |name: &str| agents.as_array().unwrap().iter().find(|agent| agent["name"] == name).unwrap().clone();
    let demo = of("demo");
    assert_eq!((&demo["found"], &demo["warm"], &demo["enabled"]), (&true.into(), &true.into(), &true.into()));
    assert!(demo["version"].as_str().unwrap().contains(boocoder::VERSION), "{demo}");
    assert_eq!((&of("mine")["found"], &of("mine")["label"]), (&false.into(), &"Mine".into()));
    let table = place.output(&["agents"]).await;
    assert!(text(&table.stdout).lines().any(|line| line.starts_with("demo ") && line.contains("warm")));

    let alone = place.output(&["doctor"]).await;
    let report = text(&alone.stdout);
    assert!(alone.status.success(), "{report}");
    for about in ["git", "data directory", "database", "demo", "mine"] {
        assert!(report.contains(about), "{about}: {report}");
    }
    let server = place.serve().await;
    let beside = place.output(&["doctor"]).await;
    assert!(
        beside.status.success() && text(&beside.stdout).contains("its database answers"),
        "{}",
        text(&beside.stdout)
    );
    server.stop().await;
}

#[tokio::test]
async fn the_demo_agent_ends_with_its_client() {
    let place = Place::new();
    let mut agent = place.command(&["demo-agent"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(agent.stdin.take());
    let ended = timeout(LIMIT, agent.wait_with_output()).await.unwrap().unwrap();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(0), 0), "a client that leaves is no error");
}
