//! Real qwen, goose and opencode, pinned, in front of a mock model, through a real server.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

use std::path::Path;

use boocoder_testkit::TestkitError;
use boocoder_testkit::agents::{self, AgentLaunch};
use boocoder_testkit::llm::MockModel;
use boocoder_testkit::process;
use serde_json::{Value, json};

use crate::serving::{LIMIT, Place, Serving};

type Launch = fn(&MockModel, &Path) -> Result<AgentLaunch, TestkitError>;

/// A server that knows one real agent.
struct Real {
    name: &'static str,
    /// What stands on the command line of each of its processes.
    program: String,
    place: Place,
    server: Serving,
    session: String,
    model: MockModel,
}

impl Real {
    async fn start(name: &'static str, launch: Launch) -> Self {
        let place = Place::new();
        let home = place.data_dir().with_file_name("home");
        // The first start installs the agents, which takes minutes.
        let (model, launched) = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&home).unwrap();
            let model = MockModel::start().unwrap();
            let launched = launch(&model, &home).unwrap();
            (model, launched)
        })
        .await
        .unwrap();
        // A script's own path tells more than its interpreter's.
        let program = launched.args.iter().find(|arg| arg.starts_with('/')).cloned();
        let program = program.unwrap_or_else(|| launched.command.display().to_string());
        place.configure(&table(name, &launched));
        let server = place.serve().await;
        let session = server.session(&place).await;
        Self { name, program, place, server, session, model }
    }

    async fn send(&self, content: &str) -> String {
        let message = json!({"content": content, "agent": self.name});
        let sent = self.server.post(&format!("/api/sessions/{}/messages", self.session), message).await;
        sent["task_id"].as_str().expect("an id").to_owned()
    }

    async fn answer(&self, content: &str) -> Value {
        let task = self.server.ended(&self.send(content).await).await;
        assert_eq!(task["state"], "completed", "{task}");
        task
    }

    /// Decides on the open question by the kind of the option, never by its place.
    async fn decide(&self, kind: &str) {
        let question = self.server.question(&self.session).await;
        assert_eq!((&question["kind"], &question["agent"]), (&json!("permission"), &json!(self.name)), "{question}");
        let options = question["options"].as_array().expect("options");
        let option = options.iter().find(|option| option["kind"] == kind).expect("the kind is on offer");
        let path = format!("/api/interactions/{}", question["id"].as_str().expect("an id"));
        self.server.post(&path, json!({"option_id": option["option_id"]})).await;
    }

    /// The agent's first process.
    fn process(&self) -> u32 {
        let is_agent = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&self.program)
        };
        process::descendants(self.server.info.pid).into_iter().filter(is_agent).min().expect("the agent runs")
    }

    /// The agent's worktree, as its own shell would name it.
    fn worktree(&self) -> std::path::PathBuf {
        self.place.data_dir().join("worktrees").join(format!("session-{}", self.session))
    }

    async fn writes(&self, file: &str, decision: &str) {
        let path = self.worktree().join(file);
        let task = self.send(&format!("MOCK:WRITE path={} content=hello ;; TEXT Written.", path.display())).await;
        self.decide(decision).await;
        assert_eq!(self.server.ended(&task).await["state"], "completed");
        let pending = self.server.get(&format!("/api/sessions/{}/pending", self.session)).await;
        let row = pending.as_array().unwrap().iter().find(|row| row["file_path"] == file);
        match decision {
            "allow_once" => {
                let row = row.unwrap_or_else(|| panic!("{file} is pending: {pending}"));
                assert_eq!((&row["agent"], &row["status"]), (&json!(self.name), &json!("pending")));
                assert!(row["diff"].as_str().unwrap().contains("+hello"), "{row}");
                assert!(!self.place.path().join(file).exists(), "the checkout is untouched");
            }
            _ => assert!(row.is_none() && !path.exists(), "{pending}"),
        }
    }

    async fn cancel_then_next(&self, task: &str, words: &str) {
        self.server.post(&format!("/api/tasks/{task}/cancel"), json!({})).await;
        let next = self.answer(&format!("MOCK:TEXT {words}")).await;
        assert_eq!(next["output"].as_str().unwrap().trim(), words, "it is answered by its own turn");
        let cancelled = self.server.ended(task).await;
        assert_eq!((&cancelled["state"], &cancelled["outcome"]["decided_by"]), (&json!("cancelled"), &json!("user")));
        let open = self.server.get(&format!("/api/interactions?session_id={}", self.session)).await;
        assert_eq!(open, json!([]), "no question outlives its turn");
    }
}

/// The agent as the configuration file tells of it.
fn table(name: &str, launch: &AgentLaunch) -> String {
    let command = launch.command.display().to_string();
    let mut table = format!("[agents.{name}]\ncommand = {command:?}\nargs = {:?}\n[agents.{name}.env]\n", launch.args);
    for (key, value) in &launch.env {
        table.push_str(&format!("{key} = '''{value}'''\n"));
    }
    table
}

async fn check(name: &'static str, launch: Launch) {
    let real = Real::start(name, launch).await;
    let mut frames = real.server.listen(&real.session, "?after=0").await;
    let first = real.send("MOCK:REASON because ;; TEXT first answer.").await;
    let seen = frames.until_end_of(&first).await;
    let reasoned = |frame: &Value| frame["type"] == "reasoning_delta";
    assert!(seen.iter().any(reasoned), "{seen:?}");
    assert_eq!(real.server.ended(&first).await["output"].as_str().unwrap().trim(), "first answer.");
    let first_process = real.process();
    real.answer("MOCK:TEXT second answer.").await;
    assert_eq!(real.process(), first_process, "the second message met the first one's process");
    let sessions = real.server.get(&format!("/api/sessions/{}/agent-sessions", real.session)).await;
    assert_eq!((sessions.as_array().unwrap().len(), &sessions[0]["has_session"]), (1, &json!(true)), "{sessions}");

    real.writes("no.txt", "reject_once").await;
    real.writes("yes.txt", "allow_once").await;

    let never = real.worktree().join("never.txt");
    let asking = real.send(&format!("MOCK:WRITE path={} content=x ;; TEXT Written.", never.display())).await;
    real.server.question(&real.session).await;
    real.cancel_then_next(&asking, "after the question").await;
    assert!(!never.exists());

    let running = real.worktree().join("running");
    let command = format!("echo $$ > {}; sleep 601; echo woke", running.display());
    let shell = real.send(&format!("MOCK:SHELL cmd={command} ;; TEXT Slept.")).await;
    real.decide("allow_once").await;
    let read = || std::fs::read_to_string(&running).is_ok_and(|pid| !pid.trim().is_empty());
    process::wait_until(LIMIT, "the command runs", read).unwrap();
    real.cancel_then_next(&shell, "after the command").await;

    assert_eq!(real.process(), first_process, "and so did all the others");
    let mut family = process::descendants(real.server.info.pid);
    family.push(std::fs::read_to_string(&running).unwrap().trim().parse().unwrap());
    real.server.stop().await;
    process::wait_until(LIMIT, "nothing is left running", || family.iter().all(|pid| !process::alive(*pid))).unwrap();
}

#[tokio::test]
async fn real_qwen_streams_asks_writes_and_is_cancelled() {
    check("qwen", agents::qwen).await;
}

#[tokio::test]
async fn real_goose_streams_asks_writes_and_is_cancelled() {
    check("goose", agents::goose).await;
}

impl Real {
    /// Kills the server where it is, and starts another one.
    async fn restart(self) -> Self {
        let Self { name, program, place, server, session, model } = self;
        server.signal(rustix::process::Signal::KILL);
        server.gone().await;
        let server = place.serve().await;
        Self { name, program, place, server, session, model }
    }

    async fn resumed(&self) -> Value {
        let sessions = self.server.get(&format!("/api/sessions/{}/agent-sessions", self.session)).await;
        sessions[0]["resumed"].clone()
    }
}

async fn survives(name: &'static str, launch: Launch) {
    let real = Real::start(name, launch).await;
    let path = real.worktree().join("kept.txt");
    let task = real.send(&format!("MOCK:WRITE path={} content=hello ;; TEXT Written.", path.display())).await;
    let asked = real.server.question(&real.session).await;
    let real = real.restart().await;
    assert_eq!(real.server.question(&real.session).await, asked, "it is still open, and the same");
    real.decide("allow_once").await;
    let ended = real.server.ended(&task).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    assert!(std::fs::read_to_string(&path).unwrap().contains("hello"));
    assert_eq!(real.resumed().await, "new", "it is the very session that it was");
    real.server.stop().await;
}

#[tokio::test]
async fn a_question_of_real_qwen_outlives_its_server() {
    survives("qwen", agents::qwen).await;
}

#[tokio::test]
async fn a_question_of_real_goose_outlives_its_server() {
    survives("goose", agents::goose).await;
}

#[tokio::test]
async fn real_qwen_resumes_its_own_session_when_runner_and_agent_are_gone() {
    let real = Real::start("qwen", agents::qwen).await;
    real.answer("MOCK:TEXT the first words.").await;
    let before = real.model.requests().len();
    let Real { name, program, place, server, session, model } = real;
    server.stop().await;
    let server = place.serve().await;
    let real = Real { name, program, place, server, session, model };
    real.answer("MOCK:TEXT the second words.").await;
    assert_eq!(real.resumed().await, "native");
    let asked =
        real.model.requests()[before..].iter().any(|request| format!("{request:?}").contains("the first words."));
    assert!(asked, "it remembers what was said in its process before");
    real.server.stop().await;
}

#[tokio::test]
async fn a_question_of_real_opencode_outlives_its_server() {
    survives("opencode", agents::opencode_server).await;
}

#[tokio::test]
async fn real_opencode_works_on_while_its_server_is_gone_and_counts_what_it_used() {
    let real = Real::start("opencode", agents::opencode_server).await;
    let mut frames = real.server.listen(&real.session, "?after=0").await;
    let task = real.send("MOCK:SLOW ms=100 chunks=40 ;; TEXT the end.").await;
    frames.until(|frame| frame["type"] == "delta").await;
    let server = opencode_pid(&real).expect("it runs");
    let real = real.restart().await;
    let ended = real.server.ended(&task).await;
    let words: Vec<_> = ended["output"].as_str().unwrap().split_whitespace().map(str::to_owned).collect();
    let numbers: Vec<_> = (1..=40).map(|number| number.to_string()).collect();
    assert_eq!((&words[..40], &words[40..]), (&numbers[..], &["the".to_owned(), "end.".to_owned()][..]));
    assert_eq!((&ended["execution_path"], opencode_pid(&real)), (&json!("opencode"), Some(server)), "{ended}");
    let used = real.model.usage();
    let tokens = used.prompt_tokens + used.completion_tokens;
    assert_eq!(ended["cost_tokens"], tokens, "it used what the model counted");
    let sessions = real.server.get(&format!("/api/sessions/{}/agent-sessions", real.session)).await;
    assert_eq!(sessions[0]["input_tokens"], used.prompt_tokens, "{sessions}");
    assert_eq!(sessions[0]["output_tokens"], used.completion_tokens, "{sessions}");
    real.server.stop().await;
    process::wait_until(LIMIT, "opencode's server is not left behind", || !process::alive(server)).unwrap();
}

#[tokio::test]
async fn a_chat_goes_from_real_opencode_to_another_agent_and_back() {
    let real = Real::start("opencode", agents::opencode_server).await;
    real.writes("one.txt", "allow_once").await;
    let demo = json!({"content": "write two.txt hello", "agent": "demo", "approval": "auto"});
    let sent = real.server.post(&format!("/api/sessions/{}/messages", real.session), demo).await;
    assert_eq!(real.server.ended(sent["task_id"].as_str().unwrap()).await["state"], "completed");
    let agent_sessions = format!("/api/sessions/{}/agent-sessions", real.session);
    // opencode's process and its server are gone in between, so that only its own session can know.
    let Real { name, program, place, server, session, model } = real;
    server.stop().await;
    let server = place.serve().await;
    let real = Real { name, program, place, server, session, model };
    let before = real.model.requests().len();
    real.writes("three.txt", "allow_once").await;
    let sessions = real.server.get(&agent_sessions).await;
    let opencode = sessions.as_array().unwrap().iter().find(|one| one["agent"] == "opencode").expect("its session");
    assert_eq!(opencode["resumed"], "native", "{sessions}");
    let knows = |request: &boocoder_testkit::llm::RecordedRequest| request.body.to_string().contains("one.txt");
    assert!(real.model.requests()[before..].iter().any(knows), "it knows what it did before");
    let pending = real.server.get(&format!("/api/sessions/{}/pending", real.session)).await;
    let mut rows: Vec<_> = pending.as_array().unwrap().iter().map(|row| (&row["file_path"], &row["agent"])).collect();
    rows.sort_by_key(|(path, _)| path.to_string());
    let expected = [("one.txt", "opencode"), ("three.txt", "opencode"), ("two.txt", "demo")];
    let expected = expected.map(|(path, agent)| (json!(path), json!(agent)));
    assert_eq!(rows, expected.iter().map(|(path, agent)| (path, agent)).collect::<Vec<_>>(), "{pending}");
    real.does_a_task_without_a_chat().await;
    real.server.stop().await;
}

impl Real {
    /// A task of its own gets a native session and a worktree of its own.
    async fn does_a_task_without_a_chat(&self) {
        let project = self.server.get("/api/projects").await[0]["id"].clone();
        let task = json!({"project_id": project, "agent": self.name, "input": "MOCK:TEXT on my own."});
        let id = self.server.post("/api/tasks", task).await["id"].as_str().unwrap().to_owned();
        let ended = self.server.ended(&id).await;
        assert_eq!((&ended["state"], &ended["chat_id"]), (&json!("completed"), &Value::Null), "{ended}");
        assert_eq!(ended["output"].as_str().unwrap().trim(), "on my own.");
        assert_eq!(ended["execution_path"], "opencode");
    }
}

/// The process of the server that opencode's sessions share. It is nobody's child.
fn opencode_pid(real: &Real) -> Option<u32> {
    let dir = real.place.data_dir().join("servers");
    let hosts = std::fs::read_dir(dir).ok()?.flatten();
    let addresses = hosts.filter_map(|host| std::fs::read_to_string(host.path().join("address.json")).ok());
    let pid = |text: String| serde_json::from_str::<Value>(&text).ok()?["pid"].as_u64()?.try_into().ok();
    addresses.filter_map(pid).find(|pid| process::alive(*pid))
}
