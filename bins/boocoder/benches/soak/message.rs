//! The messages that a chat may send, and what has to come of each.

use crate::random::Random;

/// What is done to a turn while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Nothing,
    /// Its question is answered with the option after at most so many milliseconds.
    Answer(&'static str, u64),
    /// It is cancelled after at most so many milliseconds.
    Cancel(u64),
}

/// How a turn has to end, if its agent is left in peace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It completes with this answer.
    Says(String),
    Crashes,
    Cancelled,
}

pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) prompt: String,
    pub(crate) deed: Deed,
    pub(crate) end: End,
    /// The line that it appends to the chat's log.
    pub(crate) line: Option<String>,
}

impl Message {
    /// A message at random. `mark` is one of its own, `log` the chat's log, `file` one that it may write.
    pub(crate) fn draw(random: &mut Random, mark: &str, log: &str, file: &str) -> Self {
        let plain = |name, prompt: String, says: String| Self {
            name,
            prompt,
            deed: Deed::Nothing,
            end: End::Says(says),
            line: None,
        };
        let write = |name, option, says: String, longest| Self {
            deed: Deed::Answer(option, longest),
            ..plain(name, format!("write {file} words of {mark}"), says)
        };
        let wrote = format!("wrote {file}");
        match random.below(100) {
            0..25 => plain("say", format!("say {mark}"), mark.to_owned()),
            25..45 => {
                let (count, bytes) = (1 + random.below(400), 20 + random.below(200));
                let says = (0..count).map(|index| chunk(index, usize::try_from(bytes).expect("a few"))).collect();
                plain("stream", format!("stream {count} {bytes}"), says)
            }
            45..55 => write("write, allowed", "allow_once", wrote, 50),
            55..60 => {
                let says = format!("Write {file}: permission was rejected");
                write("write, rejected", "reject_once", says, 50)
            }
            60..67 => write("write, left open", "allow_once", wrote, 30_000),
            67..80 => {
                let message = plain("shell", format!("shell echo {mark} >> {log}"), "exit code 0".to_owned());
                Self { line: Some(mark.to_owned()), ..message }
            }
            80..85 => Self { end: End::Crashes, ..plain("crash", "say nearly\ncrash".to_owned(), String::new()) },
            85..87 => Self {
                deed: Deed::Cancel(3000),
                end: End::Cancelled,
                ..plain("hang", "say begun\nhang".to_owned(), String::new())
            },
            87..95 => Self {
                deed: Deed::Cancel(2000),
                end: End::Cancelled,
                ..plain("cancel", "stream 50 50\nsleep 600000".to_owned(), String::new())
            },
            _ => plain("garbage", "garbage".to_owned(), "garbage written".to_owned()),
        }
    }
}

/// A chunk as the demo agent streams it: its number, dots, and a space.
fn chunk(index: u64, bytes: usize) -> String {
    format!("{:.<1$} ", index, bytes - 1)
}
