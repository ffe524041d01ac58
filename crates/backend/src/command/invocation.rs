//! What is started for a prompt.

use std::path::PathBuf;

use boocoder_model::ContentPart;

use crate::limits::PROMPT_ARGUMENT;
use crate::{AgentSpec, BackendError, Environment, Prompt, PromptBy};

/// Where the prompt goes among the arguments. Without it, it comes last.
const PLACEHOLDER: &str = "{prompt}";

/// What stays the same for each turn.
pub(super) struct Invocation {
    pub(super) agent: AgentSpec,
    pub(super) program: PathBuf,
    pub(super) environment: Environment,
    pub(super) cwd: PathBuf,
    pub(super) owner: Option<String>,
}

/// What a prompt adds to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// All arguments.
    pub(super) args: Vec<String>,
    /// What is written to standard input before its end.
    pub(super) input: Option<String>,
}

/// The arguments and the input of a turn.
///
/// # Errors
/// [`BackendError::Unsupported`] for anything that a command line cannot be told.
pub(super) fn given(agent: &AgentSpec, prompt: &Prompt) -> Result<Given, BackendError> {
    let no = |what: &str| Err(BackendError::Unsupported(what.to_owned()));
    if prompt.model.is_some() || prompt.mode.is_some() || prompt.thinking.is_some() {
        return no("the choice of a model, a mode or a thinking level: set it in its arguments");
    }
    let text = text(&prompt.content)?;
    if text.is_empty() {
        return no("an empty prompt");
    }
    if agent.command_line.prompt == PromptBy::Stdin {
        return Ok(Given { args: agent.args.clone(), input: Some(text) });
    }
    if text.contains('\0') {
        return no("NUL in a prompt that is an argument: give it on standard input (prompt = \"stdin\")");
    }
    let mut args = agent.args.clone();
    if !args.iter().any(|arg| arg.contains(PLACEHOLDER)) {
        args.push(PLACEHOLDER.to_owned());
    }
    let args: Vec<_> = args.into_iter().map(|arg| arg.replace(PLACEHOLDER, &text)).collect();
    if args.iter().any(|arg| arg.len() > PROMPT_ARGUMENT) {
        return no("a prompt of that length as an argument: give it on standard input (prompt = \"stdin\")");
    }
    Ok(Given { args, input: None })
}

/// A prompt as one text.
fn text(content: &[ContentPart]) -> Result<String, BackendError> {
    let no = |what: &str| Err(BackendError::Unsupported(format!("{what} in a prompt")));
    let mut texts = Vec::new();
    for part in content {
        texts.push(match part {
            ContentPart::Text(text) => text.clone(),
            ContentPart::ResourceLink { uri, name, .. } => format!("[{name}]({uri})"),
            ContentPart::Image { .. } => return no("images"),
            ContentPart::Audio { .. } => return no("audio"),
            ContentPart::Resource { .. } | ContentPart::ResourceBlob { .. } => return no("embedded resources"),
            ContentPart::Unknown(_) => return no("content of an unknown kind"),
        });
    }
    Ok(texts.join("\n\n"))
}

/// Tells programs that their terminal can do nothing but show text, unless the configuration tells them otherwise.
pub(super) fn plain(environment: &mut Environment, agent: &AgentSpec) {
    if !agent.env.contains_key("COLORTERM") {
        environment.remove(std::ffi::OsStr::new("COLORTERM"));
    }
    for (name, value) in [("TERM", "dumb"), ("NO_COLOR", "1"), ("PAGER", "cat"), ("GIT_PAGER", "cat")] {
        if !agent.env.contains_key(name) {
            environment.insert(name.into(), value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use boocoder_model::TurnId;
    use uuid::Uuid;

    use super::*;
    use crate::registry::builtins;
    use crate::{CommandLine, OutputForm};

    fn agent(args: &[&str], prompt: PromptBy) -> AgentSpec {
        AgentSpec {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            command_line: CommandLine { prompt, output: OutputForm::Text },
            ..builtins(Path::new("/bin/boocoder")).remove(0)
        }
    }

    fn prompt(text: &str) -> Prompt {
        let turn = TurnId::from_uuid(Uuid::from_u128(1));
        Prompt { turn, content: vec![ContentPart::Text(text.into())], model: None, mode: None, thinking: None }
    }

    fn args(args: &[&str], text: &str) -> Vec<String> {
        given(&agent(args, PromptBy::Argument), &prompt(text)).expect("an argument").args
    }

    #[test]
    fn the_prompt_takes_its_place_among_the_arguments_or_comes_last() {
        assert_eq!(args(&["-p"], "say {prompt}"), ["-p", "say {prompt}"]);
        assert_eq!(args(&["--ask={prompt}", "-v"], "what?"), ["--ask=what?", "-v"]);
        assert_eq!(args(&[], "$(no shell) \"sees\" it"), ["$(no shell) \"sees\" it"]);
        let by_input = given(&agent(&["-", "{prompt}"], PromptBy::Stdin), &prompt("x\0")).expect("any text");
        assert_eq!(by_input, Given { args: vec!["-".into(), "{prompt}".into()], input: Some("x\0".into()) });
    }

    #[test]
    fn what_a_command_line_cannot_be_told_is_refused() {
        let refused =
            |prompt: &Prompt| given(&agent(&[], PromptBy::Argument), prompt).expect_err("refused").to_string();
        assert!(refused(&prompt("")).contains("an empty prompt"));
        assert!(refused(&prompt("a\0b")).contains("NUL"));
        assert!(refused(&prompt(&"x".repeat(PROMPT_ARGUMENT + 1))).contains("stdin"));
        args(&[], &"x".repeat(PROMPT_ARGUMENT));
        assert!(refused(&Prompt { model: Some("m".into()), ..prompt("x") }).contains("model"));
        let image = ContentPart::Image { mime_type: "image/png".into(), data: String::new(), uri: None };
        assert!(refused(&Prompt { content: vec![image], ..prompt("") }).contains("images in a prompt"));
    }

    #[test]
    fn parts_of_a_prompt_become_one_text() {
        let link = ContentPart::ResourceLink { uri: "file:///a".into(), name: "a".into(), mime_type: None };
        let both = Prompt { content: vec![ContentPart::Text("look at".into()), link], ..prompt("") };
        assert_eq!(given(&agent(&[], PromptBy::Argument), &both).expect("text").args, ["look at\n\n[a](file:///a)"]);
    }

    #[test]
    fn programs_are_told_to_be_plain_and_the_configuration_has_the_last_word() {
        let mut environment = Environment::from([("COLORTERM".into(), "truecolor".into())]);
        let mut agent = agent(&[], PromptBy::Argument);
        agent.env.insert("TERM".into(), "xterm".into());
        environment.insert("TERM".into(), "xterm".into());
        plain(&mut environment, &agent);
        let names: Vec<_> = environment.iter().map(|(name, value)| (name.to_str(), value.to_str())).collect();
        let pair = |name, value| (Some(name), Some(value));
        let expected = [pair("GIT_PAGER", "cat"), pair("NO_COLOR", "1"), pair("PAGER", "cat"), pair("TERM", "xterm")];
        assert_eq!(names, expected);
    }
}
