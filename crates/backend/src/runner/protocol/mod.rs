//! What crosses the socket between a server and a runner: lines of JSON.
//!
//! The server begins with a [`Hello`], which the runner answers by a [`Welcome`] or by silence and the end of the
//! connection. Then the server sends [`Request`]s and the runner answers each by a [`Told::Reply`]; in between it
//! tells how far its journal has come. The journal's records themselves are read from the journal's files, at the
//! reader's own pace, whether the runner still lives or not.
//!
//! Fields that a reader does not know are ignored, so that either side may add some without a new version.

mod agent;
mod errors;
mod forms;
#[cfg(test)]
pub(crate) mod samples;
mod session;
mod usage;

use boocoder_model::{Answer, DecidedBy, InteractionId, Position, TurnId};
use serde::{Deserialize, Serialize};

pub(crate) use self::errors::ErrorForm;
use self::forms::Boxed;
pub(crate) use self::forms::{AsPath, By, Form, Maybe, Named, Read};
pub(crate) use self::session::{AnswerForm, InfoForm, LimitsForm, OpenForm, PromptForm, SessionEventForm};
use crate::{OpenSpec, Prompt};

/// The version of the protocol, the journal's records included.
pub(crate) const PROTOCOL: u32 = 2;

/// How many versions back a server still understands a runner: an upgraded one meets runners of the version before.
const UNDERSTOOD: u32 = 1;

/// Whether a server can go on with a runner of this version.
pub(crate) const fn is_understood(protocol: u32) -> bool {
    protocol <= PROTOCOL && PROTOCOL - protocol <= UNDERSTOOD
}

/// The first line from a server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The server's version. It is the newer one and adapts.
    pub(crate) protocol: u32,
    /// What the server wrote down for this runner before it started it.
    pub(crate) secret: String,
}

/// The first line from a runner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// The runner's version.
    pub(crate) protocol: u32,
    /// The last record of the journal.
    pub(crate) written: Position,
}

/// What a server asks, with a number to answer it by.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) command: Command,
}

/// What is asked. Every command may come twice, from a server that lost its connection or its memory: it works once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Open(#[serde(with = "Boxed::<OpenForm>")] Box<OpenSpec>),
    Prompt(#[serde(with = "PromptForm")] Prompt),
    Answer {
        id: InteractionId,
        #[serde(with = "AnswerForm")]
        answer: Answer,
    },
    Cancel {
        turn: TurnId,
        #[serde(with = "Named::<DecidedBy>")]
        decided_by: DecidedBy,
    },
    Close,
    Acknowledge(Position),
}

/// What a runner tells after its welcome.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// The journal holds all up to this record.
    Written(Position),
    /// A request was carried out, or refused.
    Reply {
        id: u64,
        #[serde(default)]
        error: Option<ErrorForm>,
    },
    /// Another server has taken this one's place.
    Replaced,
}

/// One line of JSON with its end.
pub(crate) fn line(message: &impl Serialize) -> Vec<u8> {
    // Only a map with keys that are no text could fail, and there is none.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BackendError;

    fn there_and_back(command: Command) -> Command {
        let line = line(&Request { id: 3, command });
        let request: Request = serde_json::from_slice(&line).expect("readable");
        request.command
    }

    proptest! {
        #[test]
        fn every_command_is_read_back_as_it_was(
            spec in samples::open_spec(), prompt in samples::prompt(), answer in samples::answer(), id in samples::id(),
        ) {
            let Command::Open(read) = there_and_back(Command::Open(Box::new(spec.clone()))) else { panic!("another command") };
            prop_assert_eq!(*read, spec);
            let Command::Prompt(read) = there_and_back(Command::Prompt(prompt.clone())) else { panic!("another") };
            prop_assert_eq!(read, prompt);
            let id = InteractionId::from_uuid(id);
            let asked = there_and_back(Command::Answer { id, answer: answer.clone() });
            let Command::Answer { answer: read, .. } = asked else { panic!("another command") };
            prop_assert_eq!(read, answer);
        }

        #[test]
        fn every_error_is_read_back_as_it_was(error in samples::error()) {
            let line = line(&ErrorForm::from(&error));
            let read: ErrorForm = serde_json::from_slice(&line).expect("readable");
            let read = BackendError::from(read);
            prop_assert_eq!(read.to_string(), error.to_string());
            prop_assert_eq!(ErrorForm::from(&read), ErrorForm::from(&error));
            prop_assert_eq!(std::mem::discriminant(&read), std::mem::discriminant(&error));
        }
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over() {
        let hello: Hello = serde_json::from_str(r#"{"protocol":9,"secret":"s","mood":"good"}"#).expect("readable");
        assert_eq!(hello.protocol, 9);
        let told: Told = serde_json::from_str(r#"{"reply":{"id":4,"since":"noon"}}"#).expect("readable");
        assert!(matches!(told, Told::Reply { id: 4, error: None }));
        serde_json::from_str::<Told>(r#"{"weather":{}}"#).expect_err("unknown");
    }

    #[test]
    fn an_agent_that_was_told_of_before_there_were_command_lines_is_read_with_the_usual_settings() {
        let agent = crate::registry::builtins(std::path::Path::new("/bin/boocoder")).remove(0);
        let runner = boocoder_model::RunnerId::from_uuid(uuid::Uuid::from_u128(1));
        let spec = OpenSpec { agent, cwd: "/tree".into(), resume: None, runner };
        let mut old = serde_json::to_value(Command::Open(Box::new(spec.clone()))).expect("writable");
        let agent = old["open"]["agent"].as_object_mut().expect("an agent");
        agent.remove("command_line").expect("it is new");
        let limits = agent["limits"].as_object_mut().expect("limits");
        for new in ["run", "output"] {
            limits.remove(new).expect("it is new");
        }
        let Command::Open(read) = serde_json::from_value(old).expect("readable") else { panic!("another command") };
        assert_eq!(*read, spec);
    }

    #[test]
    fn this_version_and_the_one_before_are_understood() {
        assert!(is_understood(PROTOCOL) && is_understood(PROTOCOL - 1) && !is_understood(PROTOCOL + 1));
    }
}
