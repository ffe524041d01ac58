//! One round: a turn is driven to a step, the victim is killed, and everybody looks what came of it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::checks;
use super::column::Column;
use super::script::Script;
use super::step::{Expect, Step, Victim};
use crate::client::{Client, is_final};
use crate::processes::{self, Process};
use crate::serving::LIMIT;
use crate::watcher::Watcher;

/// How long after the beginning of a request the kill comes at most that is to meet it.
const RACE: Duration = Duration::from_millis(12);

/// The pause between two looks at a file.
const LOOK: Duration = Duration::from_millis(1);

/// What there is of a round.
pub(super) struct Round {
    pub(super) client: Client,
    pub(super) session: String,
    pub(super) chat: String,
    pub(super) worktree: std::path::PathBuf,
    pub(super) script: Script,
    /// The option that is chosen if there is a question.
    pub(super) option: &'static str,
    pub(super) expect: Expect,
    pub(super) watcher: Watcher<Value>,
    /// The turn.
    pub(super) task: String,
    /// Another message behind it and its words, if there is one.
    pub(super) second: Option<(String, String)>,
    /// The question whose answer was acknowledged.
    pub(super) answered: Option<String>,
}

/// Runs a round, and says what is worth a note.
pub(super) async fn run(column: &mut Column, step: Step, name: &str) -> Option<String> {
    column.prepare().await;
    let victim = column.victim;
    let mark = format!("{}{name}", victim.name());
    let (client, data_dir) = (column.client.clone(), column.data_dir());
    let (session, chat) = client.session(&column.project).await;
    let watcher = Watcher::start(&client, &session, |frame| frame);
    let allow = column.random.chance(75);
    let race = column.random.chance(50);
    let mut round = Round {
        worktree: processes::worktree(&data_dir, &session),
        script: Script::new(step, victim, &mark, allow),
        option: if allow { "allow_once" } else { "reject_once" },
        expect: Expect::of(victim, step),
        watcher,
        task: String::new(),
        second: None,
        answered: None,
        client,
        session,
        chat,
    };
    if victim.holds_the_turn() && matches!(step, Step::Accepted | Step::Claimed) {
        // Nobody could be killed so early if the agent were not warm.
        let task = round.client.say(&round.session, &round.chat, "say warm", &format!("{mark}-warm")).await;
        assert_eq!(round.client.ended(&task).await["output"], "warm");
    }
    let known = files(&data_dir.join("demo-agent"));

    let gave_up = if step == Step::Accepted {
        let (client, session, chat) = (round.client.clone(), round.session.clone(), round.chat.clone());
        let prompt = round.script.prompt.clone();
        let saying = async move { client.say(&session, &chat, &prompt, &format!("{mark}-first")).await };
        let (task, gave_up) = strike(column, &round, step, saying, race).await;
        round.task = task;
        gave_up
    } else {
        let prompt = &round.script.prompt;
        round.task = round.client.say(&round.session, &round.chat, prompt, &format!("{mark}-first")).await;
        if step.is_in_prompt() && column.random.chance(50) {
            let words = format!("second {mark}");
            let prompt = format!("say {words}");
            let task = round.client.say(&round.session, &round.chat, &prompt, &format!("{mark}-second")).await;
            round.second = Some((task, words));
        }
        reach(&round, column, step, &known).await;
        match step {
            Step::PermissionAnswered => {
                let (client, option) = (round.client.clone(), round.option);
                let question = round.question().await;
                let asked = question.clone();
                let answering = async move { answer(&client, &asked, option).await };
                let (stands, gave_up) = strike(column, &round, step, answering, race).await;
                round.answered = stands.then_some(question);
                gave_up
            }
            Step::Settled => {
                let client = round.client.clone();
                let change = checks::change(&round).await;
                let applying = async move {
                    let applied = client.post(&format!("/api/pending/{change}/apply"), json!({})).await;
                    assert_eq!(applied["status"], "applied", "{applied}");
                };
                strike(column, &round, step, applying, race).await.1
            }
            Step::Accepted
            | Step::Claimed
            | Step::WorktreeMade
            | Step::PromptSent
            | Step::Streaming
            | Step::PermissionOpen
            | Step::ToolRunning
            | Step::PromptReturned
            | Step::Diffed => strike(column, &round, step, async {}, false).await.1,
        }
    };
    let unnoticed = finish(&mut round, victim, step).await;
    let note = if gave_up { Some("the server gave its database up") } else { unnoticed };
    note.map(str::to_owned)
}

/// Kills the victim a little after what is done, or, in a race, while it is done. Gives what came of it, and whether
/// the server gave its database up.
async fn strike<T: Send + 'static>(
    column: &mut Column,
    round: &Round,
    step: Step,
    doing: impl Future<Output = T> + Send + 'static,
    race: bool,
) -> (T, bool) {
    let mut doing = tokio::spawn(doing);
    let mut done = None;
    if !race {
        done = Some((&mut doing).await.expect("it is done"));
    }
    sleep(column.random.pause(if race { RACE } else { step.late() })).await;
    let seen = round.watcher.look(|seen| seen.frames.len());
    let gave_up = match column.victim {
        Victim::Server => {
            column.kill_server().await;
            false
        }
        Victim::Postgres => column.kill_database().await,
        Victim::Runner | Victim::Agent => {
            victim(column, round).await.kill();
            false
        }
    };
    let done = match done {
        Some(done) => done,
        None => doing.await.expect("it is done"),
    };
    let now = round.watcher.look(|seen| seen.frames.len());
    assert!(now >= seen, "a client keeps what it has seen");
    (done, gave_up)
}

/// The runner or the agent of the round's session, once there is one.
async fn victim(column: &Column, round: &Round) -> Process {
    let data_dir = column.data_dir();
    let looking = async {
        loop {
            let found = match column.victim {
                Victim::Runner => runner(&data_dir, &round.session),
                Victim::Agent => processes::agents(&data_dir, &round.session).into_iter().next(),
                Victim::Server | Victim::Postgres => None,
            };
            match found {
                Some(process) => return process,
                None => sleep(LOOK).await,
            }
        }
    };
    let message = || panic!("there is a {} of the session in time", column.victim.name());
    timeout(Duration::from_secs(10), looking).await.unwrap_or_else(|_| message())
}

/// The runner of a session: the one above its agent, else the only one that has none yet.
fn runner(data_dir: &Path, session: &str) -> Option<Process> {
    if let Some(agent) = processes::agents(data_dir, session).first() {
        return processes::runner_of(data_dir, agent);
    }
    let all = processes::of(data_dir);
    let mut runners = processes::runners(data_dir);
    runners.retain(|runner| !all.iter().any(|process| process.is_agent() && process.parent == runner.pid));
    runners.pop()
}

/// Waits until the step can be seen.
async fn reach(round: &Round, column: &mut Column, step: Step, known: &[String]) {
    let of_task = |frame: &&Value, kind: &str| frame["task_id"] == *round.task && frame["type"] == kind;
    let words = |frames: &[Value]| checks::said(frames, &round.task);
    match step {
        Step::Accepted => {}
        Step::Claimed => {
            let runs = |frame: &Value| of_task(&frame, "task_updated") && frame["state"] == "running";
            round.watcher.until("that the task runs", |frames| frames.iter().any(runs).then_some(())).await;
        }
        Step::WorktreeMade => {
            file("the worktree", || round.worktree.join(".git").exists()).await;
            if column.victim.holds_the_turn() {
                victim(column, round).await;
            }
        }
        Step::PromptSent => {
            let state = column.data_dir().join("demo-agent");
            let holds = |name: &String| contains(&state.join(name), &round.script.log);
            file("the prompt in the agent's session", || {
                files(&state).iter().filter(|name| !known.contains(name)).any(holds)
            })
            .await;
        }
        Step::Streaming => {
            let length = column.random.below(round.script.answer.len() as u64 / 2) as usize;
            let enough = |frames: &[Value]| (words(frames).len() > length.max(20)).then_some(());
            round.watcher.until("some of the answer", enough).await;
        }
        Step::PermissionOpen | Step::PermissionAnswered => drop(round.question().await),
        Step::ToolRunning => {
            let log = round.worktree.join(&round.script.log);
            file("the command's line", || contains(&log, "\n")).await;
        }
        Step::PromptReturned => {
            let whole = |frames: &[Value]| (words(frames).len() >= round.script.answer.len()).then_some(());
            round.watcher.until("the whole answer", whole).await;
        }
        Step::Diffed => {
            let name = format!(".git/refs/boocoder/turns/session-{}", round.session);
            let kept = column.place.path().join(name);
            file("what the turn changed", || kept.exists()).await;
        }
        Step::Settled => drop(round.end_of(&round.task).await),
    }
}

async fn file(what: &str, is_there: impl Fn() -> bool) {
    let looking = async {
        while !is_there() {
            sleep(LOOK).await;
        }
    };
    timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("{what} is there in time"));
}

fn contains(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|content| content.contains(text))
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Answers a question until that is acknowledged. Says whether the answer is the one that stands.
async fn answer(client: &Client, question: &str, option: &str) -> bool {
    let path = format!("/api/interactions/{question}");
    let (status, settled) = client.call("POST", &path, Some(json!({"option_id": option}))).await;
    assert!(status == 200 || (status == 409 && settled["code"] == "already_settled"), "{status} {settled}");
    let stands = settled["outcome"]["option_id"] == option;
    assert!(stands || status == 409, "{settled}");
    stands
}

impl Round {
    /// The id of the turn's question, once a frame has brought it.
    async fn question(&self) -> String {
        let asks = |frame: &&Value| frame["type"] == "interaction_requested" && frame["task_id"] == *self.task;
        let found = |frames: &[Value]| Some(frames.iter().find(asks)?["interaction"]["id"].as_str()?.to_owned());
        self.watcher.until("the question", found).await
    }

    /// How many frames there are up to the one that ends the task.
    async fn end_of(&self, task: &str) -> usize {
        let ends =
            |frame: &Value| frame["type"] == "task_updated" && frame["task_id"] == task && !frame["outcome"].is_null();
        let found = |frames: &[Value]| Some(frames.iter().position(ends)? + 1);
        self.watcher.until("the task's end", found).await
    }

    /// Says something more in the chat, which has to be answered by itself if it is answered.
    async fn say_next(&self, words: &str) -> (String, Value) {
        let request = format!("{words} {}", self.task);
        let task = self.client.say(&self.session, &self.chat, &format!("say {request}"), &request).await;
        let ended = self.client.ended(&task).await;
        assert!(ended["state"] != "completed" || ended["output"] == request, "it is answered by itself: {ended}");
        (task, ended)
    }

    /// Waits until the question is open again under its id, or its turn is over, which it then must not be.
    async fn is_still_open(&self, question: &str) -> bool {
        let path = format!("/api/interactions?session_id={}", self.session);
        let looking = async {
            loop {
                let open = self.client.get(&path).await;
                if let Some(asked) = open.as_array().expect("a list").first() {
                    assert_eq!(asked["id"], question, "it is the same question: {open}");
                    return true;
                }
                if is_final(&self.client.get(&format!("/api/tasks/{}", self.task)).await) {
                    return false;
                }
                sleep(LOOK * 20).await;
            }
        };
        timeout(LIMIT, looking).await.expect("the question is open in time")
    }
}

/// What happens after the kill, and what has to be so then. Says what is worth a note.
async fn finish(round: &mut Round, victim: Victim, step: Step) -> Option<&'static str> {
    if step == Step::PermissionOpen && !victim.holds_the_turn() {
        let question = round.question().await;
        if round.is_still_open(&question).await && answer(&round.client, &question, round.option).await {
            round.answered = Some(question);
        }
    }
    let ended = round.client.ended(&round.task).await;
    checks::outcome(round, &ended);
    if let Some((task, words)) = &round.second {
        let ended = round.client.ended(task).await;
        assert_eq!((&ended["state"], &ended["output"]), (&json!("completed"), &json!(words)), "the second: {ended}");
    }
    let mut note = None;
    let (mut next, mut last) = round.say_next("next").await;
    if victim.holds_the_turn() && ended["state"] == "completed" && last["outcome"]["decided_by"] == "crash" {
        // The victim died between two turns, and the second was given to it before anybody could know.
        note = Some("the death was noticed by the next turn only");
        (next, last) = round.say_next("after the next").await;
    }
    assert_eq!(
        (&last["state"], &last["outcome"]["decided_by"]),
        (&json!("completed"), &json!("agent")),
        "next: {last}"
    );
    let count = round.end_of(&next).await;
    checks::frames(round, count).await;
    checks::messages(round, &ended).await;
    checks::effects(round, &ended).await;
    checks::decisions(round).await;
    // Its agent goes with it.
    let path = format!("/api/sessions/{}?force=true", round.session);
    let removed = async {
        while round.client.call("DELETE", &path, None).await.0 == 409 {
            sleep(LOOK * 20).await;
        }
    };
    timeout(LIMIT, removed).await.expect("the session can be removed in time");
    note
}
