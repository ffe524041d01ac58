//! The pinned agents against the mock model: the launch recipes hold, and the scripts find each agent's tools.

use std::path::Path;

use boocoder_testkit::TestkitError;
use boocoder_testkit::agents::{self, AgentLaunch};
use boocoder_testkit::llm::{Ending, MockModel};
use boocoder_testkit::repo::TestRepo;

use crate::acp::AcpClient;

/// Takes an agent through the turns that the product's own tests are made of.
fn check(recipe: fn(&MockModel, &Path) -> Result<AgentLaunch, TestkitError>) {
    let model = MockModel::start().unwrap();
    let home = tempfile::tempdir().unwrap();
    let repo = TestRepo::new().unwrap();
    let mut agent = AcpClient::open(&recipe(&model, home.path()).unwrap(), repo.path());

    assert_eq!(agent.prompt("MOCK:REASON hm, well ;; TEXT hello from the model").trim(), "hello from the model");
    assert_eq!(agent.said("agent_thought_chunk").trim(), "hm, well");
    let again = agent.prompt("and who am I?");
    assert_eq!(again.trim(), "You said: and who am I? (user message 2)", "the session carries its history");

    let file = repo.path().join("new.txt");
    let write = |path: &Path| format!("MOCK:WRITE path={} content=one\\ntwo ;; TEXT written", path.display());
    assert_eq!(agent.prompt(&write(&file)).trim(), "written");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), "one\ntwo");
    assert_eq!(agent.asked, 1, "the recipe chose the mode that asks");

    agent.prompt("MOCK:SHELL cmd=echo from the shell > made.txt ;; TEXT ran");
    assert_eq!(std::fs::read_to_string(repo.path().join("made.txt")).unwrap(), "from the shell\n");
    assert_eq!(agent.asked, 2);

    agent.choice = "reject_once";
    let refused = repo.path().join("refused.txt");
    agent.prompt(&write(&refused));
    assert_eq!(agent.asked, 3);
    assert!(!refused.exists());

    drop(agent);
    let requests = model.requests();
    let endings: Vec<Ending> = requests.iter().filter(|request| !request.is_side_call()).map(|r| r.ending).collect();
    assert!(endings.len() >= 6 && endings.iter().all(|&ending| ending == Ending::Complete), "{endings:?}");
    assert!(model.usage().prompt_tokens > 0);
}

#[test]
fn qwen() {
    check(agents::qwen);
}

#[test]
fn goose() {
    check(agents::goose);
}

#[test]
fn opencode() {
    check(agents::opencode);
}
