//! Two servers on one database.

use boocoder_local_pg::{LocalPg, LocalPgConfig};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::serving::{Place, Serving};

/// A database that belongs to none of the servers.
#[expect(clippy::disallowed_methods, reason = "a test looks for Postgres where a program would")]
async fn database(place: &Place) -> LocalPg {
    let home = place.data_dir().with_file_name("database");
    let mut config = LocalPgConfig::new(home.join("postgres"), home.join("cache"));
    config.search_path = std::env::var_os("PATH").unwrap_or_default();
    LocalPg::start(config).await.expect("a database")
}

async fn send(server: &Serving, session: &str, content: &str) -> String {
    let message = json!({"content": content, "agent": "demo"});
    let sent = server.post(&format!("/api/sessions/{session}/messages"), message).await;
    sent["task_id"].as_str().expect("an id").to_owned()
}

/// How many runners a place has.
fn runners(place: &Place) -> usize {
    std::fs::read_dir(place.data_dir().join("runners")).map_or(0, Iterator::count)
}

async fn said(server: &Serving, task: &str) -> Value {
    server.ended(task).await["output"].clone()
}

#[tokio::test]
async fn a_second_server_forwards_and_takes_over_when_the_first_is_gone() {
    let (here, there) = (Place::new(), Place::new());
    let database = database(&here).await;
    let url = database.connection_string();
    for place in [&here, &there] {
        place.configure("[limits.turns]\nlease = \"3s\"\nrenewal = \"1s\"\n");
    }
    let one = here.serve_with(&["--database-url", &url]).await;
    let other = there.serve_with(&["--database-url", &url]).await;
    let session = one.session(&here).await;
    let agent = said(&one, &send(&one, &session, "pid").await).await;
    // A task that no agent waits for goes to whoever is quicker. From here on the first is the one with the agent.
    let (first, second, home) = if runners(&here) == 1 { (one, other, &here) } else { (other, one, &there) };

    let mut frames = second.listen(&session, "?after=0").await;
    let task = send(&second, &session, "pid").await;
    assert_eq!(said(&second, &task).await, agent, "it ran where its agent is");
    let seen = frames.until_end_of(&task).await;
    let numbers: Vec<u64> = seen.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no hole");

    let asking = send(&first, &session, "write a.txt x").await;
    let asked = second.question(&session).await;
    let option = asked["options"].as_array().unwrap().iter().find(|option| option["kind"] == "allow_once").unwrap();
    let path = format!("/api/interactions/{}", asked["id"].as_str().unwrap());
    second.post(&path, json!({"option_id": option["option_id"]})).await;
    assert_eq!(first.ended(&asking).await["state"], "completed");

    let cancelled = send(&first, &session, "sleep 600000").await;
    first.until(&format!("/api/tasks/{cancelled}"), |task| (task["state"] == "running").then_some(())).await;
    second.post(&format!("/api/tasks/{cancelled}/cancel"), json!({})).await;
    assert_eq!(first.ended(&cancelled).await["outcome"]["decided_by"], "user");

    let lost = send(&first, &session, "say as far as this\nsleep 600000").await;
    frames.until_said("as far as this").await;
    first.signal(Signal::KILL);
    first.gone().await;
    let ended = second.ended(&lost).await;
    assert_eq!((&ended["state"], &ended["outcome"]["decided_by"]), (&json!("failed"), &json!("crash")), "{ended}");
    let back = said(&second, &send(&second, &session, "say back").await).await;
    assert!(back.as_str().unwrap().ends_with("back"), "{back}");

    // The first one comes back, and ends what it had left.
    let first = home.serve_with(&["--database-url", &url]).await;
    assert_eq!(runners(home), 0);
    assert_eq!(said(&first, &send(&first, &session, "say from here").await).await, "from here");
    first.stop().await;
    second.stop().await;
    database.stop().await;
}
