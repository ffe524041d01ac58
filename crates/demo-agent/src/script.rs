//! The language of prompts: one verb a line, anything else is text to echo. Pure; never fails.

use std::time::Duration;

use crate::limits::MAX_STREAM_CHUNK;

/// One thing for a turn to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Echo(String),
    Say(String),
    Think(String),
    Write { path: String, text: String },
    Edit { path: String, old: String, new: String },
    Shell(String),
    Ask(String),
    Open(String),
    Stream { count: u64, bytes: usize },
    Sleep(Duration),
    Plan,
    Usage { input: u64, output: u64, cost: f64 },
    Commands,
    Remember(String),
    Recall,
    Pid,
    Mcp,
    Mode(String),
    Attach,
    Refuse,
    Crash,
    Hang,
    Garbage,
}

/// A verb as it is announced to the client.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) about: &'static str,
}

const fn verb(name: &'static str, arguments: &'static str, about: &'static str) -> Verb {
    Verb { name, arguments, about }
}

/// All verbs, in the order in which a newcomer may like to read them.
pub(crate) const VERBS: [Verb; 22] = [
    verb("say", "TEXT", "answers with the text"),
    verb("think", "TEXT", "thinks the text"),
    verb("write", "PATH TEXT", "writes a file, after asking for permission"),
    verb("edit", "PATH OLD => NEW", "replaces the first OLD in a file, after asking for permission"),
    verb("shell", "COMMAND", "runs a command in the client's terminal"),
    verb("ask", "QUESTION", "asks you a question and says your answer"),
    verb("open", "URL", "asks you to visit an address"),
    verb("stream", "N BYTES", "sends N chunks of BYTES each, flat out"),
    verb("sleep", "MS", "waits, and stops waiting when cancelled"),
    verb("plan", "", "sends a plan"),
    verb("usage", "IN OUT COST", "reports tokens and cost"),
    verb("commands", "", "announces these commands again"),
    verb("remember", "TEXT", "keeps the text in the session"),
    verb("recall", "", "says what was remembered"),
    verb("pid", "", "says its process id and session id"),
    verb("mcp", "", "names the MCP servers that it was given"),
    verb("mode", "ID", "switches its own mode"),
    verb("attach", "", "answers with an image"),
    verb("refuse", "", "ends the turn with a refusal"),
    verb("crash", "", "exits at once with status 101"),
    verb("hang", "", "never ends the turn, not even when cancelled"),
    verb("garbage", "", "writes broken lines to its output"),
];

/// Reads a prompt. Neighbouring lines without a verb become one echo, line breaks included, so that a prompt without
/// any verb is echoed exactly. Blank lines around verbs are dropped.
pub(crate) fn parse(prompt: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut echo = String::new();
    let mut only_echo = true;
    for line in prompt.split_inclusive('\n') {
        match parse_line(line.trim_end_matches(['\n', '\r'])) {
            None => echo.push_str(line),
            Some(step) => {
                only_echo = false;
                push_echo(&mut steps, &mut echo);
                steps.push(step);
            }
        }
    }
    if only_echo && !echo.is_empty() {
        return vec![Step::Echo(echo)];
    }
    push_echo(&mut steps, &mut echo);
    steps
}

fn push_echo(steps: &mut Vec<Step>, echo: &mut String) {
    let text = std::mem::take(echo);
    let text = text.trim_matches(['\n', '\r']);
    if !text.trim().is_empty() {
        steps.push(Step::Echo(text.to_owned()));
    }
}

/// The step that a line asks for, if it begins with a verb and its arguments are well formed. A leading slash is
/// allowed, as clients send announced commands with one.
fn parse_line(line: &str) -> Option<Step> {
    let line = line.strip_prefix('/').unwrap_or(line).trim_end();
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let text = || (!rest.is_empty()).then(|| rest.to_owned());
    let alone = |step: Step| rest.is_empty().then_some(step);
    match verb {
        "say" => text().map(Step::Say),
        "think" => text().map(Step::Think),
        "write" => {
            let (path, text) = rest.split_once(' ')?;
            Some(Step::Write { path: non_empty(path)?, text: text.to_owned() })
        }
        "edit" => {
            let (path, change) = rest.split_once(' ')?;
            let (old, new) = change.split_once(" => ").or_else(|| Some((change.strip_suffix(" =>")?, "")))?;
            Some(Step::Edit { path: non_empty(path)?, old: non_empty(old)?, new: new.to_owned() })
        }
        "shell" => text().map(Step::Shell),
        "ask" => text().map(Step::Ask),
        "open" => one_word(rest).map(Step::Open),
        "stream" => {
            let (count, bytes) = rest.split_once(' ')?;
            let bytes = bytes.parse().ok().filter(|&bytes| bytes <= MAX_STREAM_CHUNK)?;
            Some(Step::Stream { count: count.parse().ok()?, bytes })
        }
        "sleep" => Some(Step::Sleep(Duration::from_millis(rest.parse().ok()?))),
        "plan" => alone(Step::Plan),
        "usage" => usage(rest),
        "commands" => alone(Step::Commands),
        "remember" => text().map(Step::Remember),
        "recall" => alone(Step::Recall),
        "pid" => alone(Step::Pid),
        "mcp" => alone(Step::Mcp),
        "mode" => one_word(rest).map(Step::Mode),
        "attach" => alone(Step::Attach),
        "refuse" => alone(Step::Refuse),
        "crash" => alone(Step::Crash),
        "hang" => alone(Step::Hang),
        "garbage" => alone(Step::Garbage),
        _ => None,
    }
}

fn usage(rest: &str) -> Option<Step> {
    let mut parts = rest.split_ascii_whitespace();
    let (input, output) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let cost = parts.next()?.parse().ok().filter(|cost: &f64| cost.is_finite() && *cost >= 0.0)?;
    parts.next().is_none().then_some(Step::Usage { input, output, cost })
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn one_word(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

/// A text cut before each word, so that the pieces together are the text again.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let after =
            |from: usize, wanted: fn(char) -> bool| rest[from..].find(wanted).map_or(rest.len(), |at| from + at);
        let word = after(0, |c| !c.is_whitespace());
        let gap = after(word, char::is_whitespace);
        let (piece, tail) = rest.split_at(after(gap, |c| !c.is_whitespace()));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Chunk `index` of a `stream`: exactly `bytes` long, beginning with its number, so that a reader can tell a lost, a
/// doubled and a misplaced chunk. Where the number does not fit, its last digits stand alone.
pub(crate) fn stream_chunk(index: u64, bytes: usize) -> String {
    let mut chunk = index.to_string();
    if chunk.len() >= bytes {
        return chunk.split_off(chunk.len() - bytes);
    }
    let filler = bytes - 1 - chunk.len();
    chunk.reserve(filler + 1);
    chunk.extend(std::iter::repeat_n('.', filler));
    chunk.push(' ');
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(step: impl Fn(String) -> Step, text: &str) -> Step {
        step(text.to_owned())
    }

    #[test]
    fn each_verb_is_understood() {
        let write = Step::Write { path: "a/b.txt".into(), text: "two  words".into() };
        let edit = Step::Edit { path: "a".into(), old: "x = 1".into(), new: "x => 2".into() };
        let cases = [
            ("say hello  there", text(Step::Say, "hello  there")),
            ("/say hello", text(Step::Say, "hello")),
            ("think hard", text(Step::Think, "hard")),
            ("write a/b.txt two  words", write),
            ("edit a x = 1 => x => 2", edit),
            ("edit a x =>", Step::Edit { path: "a".into(), old: "x".into(), new: String::new() }),
            ("shell echo hi | cat", text(Step::Shell, "echo hi | cat")),
            ("ask why?", text(Step::Ask, "why?")),
            ("open https://example.org/", text(Step::Open, "https://example.org/")),
            ("stream 5 10", Step::Stream { count: 5, bytes: 10 }),
            ("sleep 20\r", Step::Sleep(Duration::from_millis(20))),
            ("plan ", Step::Plan),
            ("usage 1 2 0.5", Step::Usage { input: 1, output: 2, cost: 0.5 }),
            ("commands", Step::Commands),
            ("remember the milk", text(Step::Remember, "the milk")),
            ("recall", Step::Recall),
            ("pid", Step::Pid),
            ("mcp", Step::Mcp),
            ("mode auto", text(Step::Mode, "auto")),
            ("attach", Step::Attach),
            ("refuse", Step::Refuse),
            ("crash", Step::Crash),
            ("hang", Step::Hang),
            ("garbage", Step::Garbage),
        ];
        for (line, step) in &cases {
            assert_eq!(parse(line), std::slice::from_ref(step), "{line}");
        }
        for verb in &VERBS {
            let shown = cases.iter().any(|(line, _)| line.split_whitespace().next() == Some(verb.name));
            assert!(shown, "{} is announced but not tested", verb.name);
        }
    }

    #[test]
    fn what_is_no_verb_is_echoed_exactly() {
        let lines = [
            "hello world",
            "say",
            "plan my holiday",
            "sleep well",
            "stream 5",
            "stream -1 5",
            "stream 1 999999999",
            "usage 1 2 -3",
            "usage 1 2 NaN",
            "write notes",
            "edit a b",
            "  say hi",
            "Say hi",
            "two\nlines\n\nand a gap\n",
            " ",
        ];
        for line in lines {
            assert_eq!(parse(line), [Step::Echo(line.to_owned())], "{line:?}");
        }
        assert_eq!(parse(""), []);
    }

    #[test]
    fn lines_run_in_order_and_blank_ones_between_verbs_vanish() {
        let steps = parse("say a\n\nfree\ntext\n\nsay b\n\n");
        assert_eq!(steps, [text(Step::Say, "a"), text(Step::Echo, "free\ntext"), text(Step::Say, "b")]);
    }

    #[test]
    fn words_together_are_the_text() {
        let cases: [(&str, &[&str]); 6] = [
            ("hello big world", &["hello ", "big ", "world"]),
            ("  lead  and trail ", &["  lead  ", "and ", "trail "]),
            ("ünï cödé\nnext", &["ünï ", "cödé\n", "next"]),
            ("", &[]),
            (" \n", &[" \n"]),
            ("one", &["one"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text:?}");
            assert_eq!(words(text).collect::<String>(), text);
        }
    }

    #[test]
    fn stream_chunks_have_their_size_and_number() {
        assert_eq!(stream_chunk(7, 5), "7... ");
        assert_eq!(stream_chunk(123, 4), "123 ");
        assert_eq!(stream_chunk(123, 3), "123");
        assert_eq!(stream_chunk(12345, 2), "45");
        assert_eq!(stream_chunk(1, 0), "");
        assert!((0..2000).all(|index| stream_chunk(index, 100).len() == 100));
        assert_eq!(stream_chunk(5, MAX_STREAM_CHUNK).len(), MAX_STREAM_CHUNK);
    }
}
