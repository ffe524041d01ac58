//! The small helpers: repository, processes, transcripts.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use boocoder_testkit::repo::{FIRST_COMMIT, TestRepo};
use boocoder_testkit::transcript::{Direction, Transcript};
use boocoder_testkit::{TestkitError, process};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_repository_is_clean_with_one_commit_that_is_the_same_everywhere() {
    let (repo, again) = (TestRepo::new().unwrap(), TestRepo::new().unwrap());
    let head = |repo: &TestRepo| repo.git(&["rev-parse", "HEAD"]).unwrap();
    assert_eq!(head(&repo), head(&again));
    assert_eq!(repo.git(&["status", "--porcelain"]).unwrap(), "");
    assert_eq!(repo.git(&["ls-files"]).unwrap().lines().count(), FIRST_COMMIT.len());
    repo.write("deep/new.txt", "x\n").unwrap();
    assert_eq!(repo.commit("second").unwrap(), head(&repo));
    let nothing = repo.commit("nothing to commit").unwrap_err();
    assert!(matches!(nothing, TestkitError::Command { .. }), "{nothing}");
}

#[test]
fn processes_are_seen_with_their_children_and_memory_until_they_end() {
    // The shell waits for its stdin, so it ends when the test closes it.
    let mut shell = Command::new("sh").args(["-c", "exec 3<&0; cat <&3 & wait"]).stdin(Stdio::piped()).spawn().unwrap();
    let pid = shell.id();
    process::wait_until(LIMIT, "the start of cat", || process::descendants(pid).len() == 1).unwrap();
    let child = process::descendants(pid)[0];
    assert!(process::alive(pid) && process::alive(child));
    assert!(process::descendants(std::process::id()).contains(&child));
    let (rss, private) = (process::rss_kib(pid).unwrap(), process::private_kib(pid).unwrap());
    assert!(private > 0 && private <= rss, "{private} of {rss}");
    shell.kill().unwrap();
    process::wait_until(LIMIT, "the death of the shell, a zombie still", || !process::alive(pid)).unwrap();
    shell.wait().unwrap();
    assert_eq!(process::rss_kib(pid), None);
    drop(shell);
    process::wait_until(LIMIT, "the end of cat", || !process::alive(child)).unwrap();
}

#[test]
fn waiting_ends_at_its_limit_and_says_for_what() {
    let late = process::wait_until(Duration::from_millis(30), "the year 3000", || false).unwrap_err();
    assert_eq!(late.to_string(), "the year 3000 did not happen within 30ms");
}

#[test]
fn a_transcript_keeps_the_very_text_of_its_messages() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let update = r#"{"sessionUpdate":"x",  "n":1.50}"#;
    writeln!(file, r#"{{"t":0.1,"dir":"note","text":"spawn"}}"#).unwrap();
    writeln!(file, r#"{{"t":0.2,"dir":"a2c","msg":{{"method":"session/update","params":{{"update":{update}}}}}}}"#)
        .unwrap();
    writeln!(file, r#"{{"t":0.3,"dir":"c2a","msg":{{"method":"session/update","params":{{"update":{{}}}}}}}}"#)
        .unwrap();
    writeln!(file, r#"{{"t":0.4,"dir":"a2c","msg":{{"id":1,"result":{{}}}}}}"#).unwrap();
    let transcript = Transcript::read(file.path()).unwrap();
    assert_eq!(transcript.entries.len(), 4);
    assert_eq!(transcript.entries[0].text.as_deref(), Some("spawn"));
    assert_eq!(transcript.entries[3].direction, Direction::A2c);
    let updates: Vec<&str> = transcript.updates().map(serde_json::value::RawValue::get).collect();
    assert_eq!(updates, [update]);
    writeln!(file, "half a li").unwrap();
    let broken = Transcript::read(file.path()).unwrap_err();
    assert!(broken.to_string().starts_with("line 5 of "), "{broken}");
}
