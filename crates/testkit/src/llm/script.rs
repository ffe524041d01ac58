//! The scripts by which a prompt tells the mock model what to answer.

use std::time::Duration;

use crate::limits;
use crate::llm::protocol::Refusal;

/// What stands before the first step of a script.
const MARK: &str = "MOCK:";
/// What stands between two steps.
const SEPARATOR: &str = " ;; ";

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Text(String),
    Reason(String),
    Slow { pace: Duration, chunks: u32 },
    Write { path: String, content: String },
    Shell { command: String },
    Error { status: u16 },
    Hang,
}

impl Step {
    /// Whether the step calls a tool, which ends the model's answer.
    pub(crate) fn calls_tool(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Shell { .. })
    }
}

/// Reads the script in the last line of what the user said; `None` if there is none.
///
/// Only the last line counts, so that an earlier turn quoted above it is not run again.
pub(crate) fn parse(words: &str) -> Result<Option<Vec<Step>>, Refusal> {
    let line = words.lines().last().unwrap_or_default();
    let Some(start) = line.find(MARK) else { return Ok(None) };
    let steps = line.split_at(start).1.split(SEPARATOR).map(|step| {
        let step = step.trim();
        let step = step.strip_prefix(MARK).unwrap_or(step);
        parse_step(step).ok_or_else(|| Refusal::bad_request(format!("the mock model does not know the step {step:?}")))
    });
    steps.collect::<Result<_, _>>().map(Some)
}

fn parse_step(step: &str) -> Option<Step> {
    let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
    Some(match verb {
        "TEXT" => Step::Text(rest.to_owned()),
        "REASON" => Step::Reason(rest.to_owned()),
        "SLOW" => parse_slow(rest)?,
        "WRITE" => {
            let (path, content) = rest.strip_prefix("path=")?.split_once(" content=")?;
            Step::Write { path: path.to_owned(), content: content.replace("\\n", "\n") }
        }
        "SHELL" => Step::Shell { command: rest.strip_prefix("cmd=")?.to_owned() },
        "ERROR" => {
            let status = rest.strip_prefix("code=")?.parse().ok()?;
            if !(400..600).contains(&status) {
                return None;
            }
            Step::Error { status }
        }
        "HANG" if rest.is_empty() => Step::Hang,
        _ => return None,
    })
}

fn parse_slow(rest: &str) -> Option<Step> {
    let (mut ms, mut chunks) = (200, 20);
    for word in rest.split_whitespace() {
        match word.split_once('=')? {
            ("ms", value) => ms = value.parse().ok()?,
            ("chunks", value) => chunks = value.parse().ok().filter(|&chunks| chunks <= limits::MAX_SLOW_CHUNKS)?,
            _ => return None,
        }
    }
    Some(Step::Slow { pace: Duration::from_millis(ms), chunks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_script_and_the_mark_may_be_repeated() {
        let steps =
            parse("MOCK:HANG\nplease MOCK:TEXT a b ;; MOCK:SLOW ms=5 ;; WRITE path=/w/a b content=x\\ny").unwrap();
        let expected = vec![
            Step::Text("a b".to_owned()),
            Step::Slow { pace: Duration::from_millis(5), chunks: 20 },
            Step::Write { path: "/w/a b".to_owned(), content: "x\ny".to_owned() },
        ];
        assert_eq!(steps, Some(expected));
        assert_eq!(parse("MOCK:HANG\nhello").unwrap(), None);
    }

    #[test]
    fn a_step_that_is_not_known_is_refused_and_not_said() {
        for step in ["DANCE", "SLOW fast", "ERROR code=200", "SHELL ls", "HANG 5"] {
            let refusal = parse(&format!("MOCK:{step}")).unwrap_err();
            assert!(refusal.message.contains(step), "{refusal:?}");
        }
    }
}
