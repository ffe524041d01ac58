//! A chat that sends one message after the other and looks what comes of each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::client::is_final;
use crate::message::{Deed, End, Message};
use crate::processes;
use crate::random::Random;
use crate::serving::LIMIT;
use crate::world::World;

/// The files that a chat writes, one after the other and again.
const FILES: u64 = 5;

/// The longest pause between two messages.
const PAUSE: Duration = Duration::from_secs(3);

/// What the commands of a chat have to have written.
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    /// Each line, and whether its turn completed.
    pub(crate) lines: Vec<(String, bool)>,
}

pub(crate) async fn talk(world: Arc<World>, session: String, chat: String, mut random: Random) -> Log {
    let short = chat.rsplit('-').next().unwrap_or_default().to_owned();
    let log = format!("log-{short}.txt");
    let mut lines = Vec::new();
    let mut number = 0_u64;
    while !world.is_over() {
        number += 1;
        let mark = format!("{short}-{number}");
        let message = Message::draw(&mut random, &mark, &log, &format!("file-{short}-{}.txt", number % FILES));
        let begun = Instant::now();
        let task = world.client.say(&session, &chat, &message.prompt, &mark).await;
        let stands = carry_out(&world, &session, &task, message.deed, &mut random).await;
        let ended = world.client.ended(&task).await;
        judge(&world, &message, &mark, &ended, begun, stands);
        if let Some(line) = message.line {
            lines.push((line, ended["state"] == "completed"));
        }
        sleep(random.pause(PAUSE)).await;
    }
    check_messages(&world, &session, &chat, number).await;
    Log { path: processes::worktree(&world.data_dir, &session).join(log), lines }
}

/// Does what is to be done to a turn. Says whether it counted.
async fn carry_out(world: &World, session: &str, task: &str, deed: Deed, random: &mut Random) -> bool {
    match deed {
        Deed::Nothing => true,
        Deed::Answer(option, longest) => {
            let Some(question) = question(world, session, task).await else { return false };
            sleep(random.pause(Duration::from_millis(longest))).await;
            let path = format!("/api/interactions/{question}");
            let (status, settled) = world.client.call("POST", &path, Some(json!({"option_id": option}))).await;
            if status != 200 && status != 409 {
                world.wrong(format!("an answer was refused: {status} {settled}"));
            }
            settled["outcome"]["option_id"] == option
        }
        Deed::Cancel(longest) => {
            sleep(random.pause(Duration::from_millis(longest))).await;
            world.client.post(&format!("/api/tasks/{task}/cancel"), json!({})).await;
            true
        }
    }
}

/// The id of the task's question; none if the task ends without one.
async fn question(world: &World, session: &str, task: &str) -> Option<String> {
    let looking = async {
        loop {
            let open = world.client.get(&format!("/api/interactions?session_id={session}")).await;
            let asked = open.as_array().expect("a list").iter().find(|question| question["task_id"] == task);
            if let Some(asked) = asked {
                return Some(asked["id"].as_str().expect("an id").to_owned());
            }
            if is_final(&world.client.get(&format!("/api/tasks/{task}")).await) {
                return None;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, looking).await.expect("there is a question in time")
}

fn judge(world: &World, message: &Message, mark: &str, task: &Value, begun: Instant, stands: bool) {
    let (state, decided_by) = (&task["state"], &task["outcome"]["decided_by"]);
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    world.count(&format!("turns: {} by {}", words(state), words(decided_by)));
    let crashed = state == "failed" && decided_by == "crash";
    let right = match &message.end {
        End::Says(answer) => state == "completed" && task["output"] == *answer && stands,
        End::Crashes => crashed,
        End::Cancelled => state == "cancelled" && decided_by == "user",
    };
    if !right && !(crashed && world.is_excused(begun)) {
        let mut output = words(&task["output"]);
        output.truncate(200);
        world.wrong(format!("{} {mark}: {state} {} {output:?}", message.name, task["outcome"]));
    }
}

/// Every message that was acknowledged is there, once.
async fn check_messages(world: &World, session: &str, chat: &str, count: u64) {
    let all = world.client.get(&format!("/api/sessions/{session}/messages?chat_id={chat}")).await;
    let kept = all.as_array().expect("a list").iter().filter(|message| message["role"] == "user").count() as u64;
    if kept != count {
        world.wrong(format!("{kept} messages are kept of {count} that were acknowledged"));
    }
}
