//! What the demo agent is told in a round, and what it answers to that.

use super::step::{Step, Victim};

/// How often the agent pauses while it streams, how many chunks it sends in between, and how large they are.
const BURSTS: (usize, usize, usize) = (20, 30, 40);

/// A prompt whose every effect happens once, and its whole answer.
pub(super) struct Script {
    pub(super) prompt: String,
    pub(super) answer: String,
    /// The file to which it adds a line, in the worktree.
    pub(super) log: String,
    /// The file that it asks to write, in the worktree.
    pub(super) made: String,
}

impl Script {
    /// The script of a step. `mark` is in everything that it leaves; `allow` says what its question will be answered.
    pub(super) fn new(step: Step, victim: Victim, mark: &str, allow: bool) -> Self {
        let (log, made) = (format!("log-{mark}.txt"), format!("made-{mark}.txt"));
        // An agent that is to die in the middle of its work has no end of it.
        let endless = victim.holds_the_turn() && step.is_in_prompt();
        let (mut lines, mut answer) = (Vec::new(), String::new());
        if step == Step::PromptSent {
            lines.push("sleep 300".to_owned());
        }
        let pause = if step == Step::ToolRunning { if endless { "; sleep 600" } else { "; sleep 0.5" } } else { "" };
        lines.push(format!("shell echo {mark} >> {log}{pause}"));
        answer.push_str("exit code 0");
        if step == Step::Streaming {
            let (bursts, chunks, bytes) = BURSTS;
            for _ in 0..bursts {
                lines.push(format!("stream {chunks} {bytes}\nsleep 10"));
                answer.extend((0..chunks).map(|index| chunk(index, bytes)));
            }
        }
        if matches!(step, Step::PermissionOpen | Step::PermissionAnswered) {
            lines.push(format!("write {made} words of {mark}"));
            let said = if allow { format!("wrote {made}") } else { format!("Write {made}: permission was rejected") };
            answer.push_str(&format!("\n{said}"));
        }
        if endless {
            lines.push("sleep 600000".to_owned());
        }
        lines.push(format!("say done {mark}"));
        answer.push_str(&format!("\ndone {mark}"));
        Self { prompt: lines.join("\n"), answer, log, made }
    }
}

/// A chunk as the demo agent streams it: its number, dots, and a space.
pub(crate) fn chunk(index: usize, bytes: usize) -> String {
    format!("{:.<1$} ", index, bytes - 1)
}
