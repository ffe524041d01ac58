//! The records of a journal: one line each, numbered without a hole.

use std::path::PathBuf;

use boocoder_model::{AgentName, AgentSessionId, Answer, DecidedBy, InteractionId, Position, TurnId};
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::protocol::{
    AnswerForm, AsPath, By, ErrorForm, Form, InfoForm, LimitsForm, Named, PromptForm, Read, SessionEventForm, line,
};
use super::state::State;
use crate::{Limits, Prompt, SessionEvent, SessionInfo};

/// What happened, and as the how manieth thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// Its number. That of a [`Entry::State`] is the last record's so far.
    pub(crate) n: Position,
    pub(crate) entry: Entry,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// Something happened in the session.
    Event(SessionEvent),
    /// A command was given.
    Sent(Sent),
    /// The session is open.
    Opened(Box<SessionInfo>),
    /// A command came to nothing.
    Refused(Refused),
    /// Where the session stands: the first line of each segment, and no record of its own.
    State(Box<State>),
}

/// A command. Of the environment that an agent is opened with nothing is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sent {
    Open {
        agent: AgentName,
        #[serde(with = "AsPath")]
        cwd: PathBuf,
        resume: Option<AgentSessionId>,
        #[serde(with = "LimitsForm")]
        limits: Limits,
    },
    /// Written before the session gets the prompt.
    Prompt(#[serde(with = "PromptForm")] Prompt),
    /// Written when the session has taken the answer.
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
}

/// What came to nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refused {
    /// The session did not open.
    Open(ErrorForm),
    /// The turn did not begin. It may be tried again.
    Prompt { turn: TurnId, error: ErrorForm },
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("n", &self.n)?;
        match &self.entry {
            Entry::Event(event) => map.serialize_entry("event", &By::<SessionEventForm>(event))?,
            Entry::Sent(sent) => map.serialize_entry("sent", sent)?,
            Entry::Opened(info) => map.serialize_entry("opened", &By::<InfoForm>(info))?,
            Entry::Refused(refused) => map.serialize_entry("refused", refused)?,
            Entry::State(state) => map.serialize_entry("state", state)?,
        }
        map.end()
    }
}

/// A record whose kind is still to be told by the one field that is there.
#[derive(Deserialize)]
struct Fields {
    n: Position,
    event: Option<Read<SessionEventForm>>,
    sent: Option<Sent>,
    opened: Option<Read<InfoForm>>,
    refused: Option<Refused>,
    state: Option<Box<State>>,
}

impl Record {
    /// Its line, with the end.
    pub(crate) fn encode(&self) -> Vec<u8> {
        line(self)
    }

    /// Reads a line without its end.
    ///
    /// # Errors
    /// If it is no record, or one of a kind that this version does not know: passing over it would lose something.
    pub(crate) fn decode(line: &[u8]) -> serde_json::Result<Self> {
        let fields: Fields = serde_json::from_slice(line)?;
        let entry = if let Some(event) = fields.event {
            Entry::Event(event.0)
        } else if let Some(sent) = fields.sent {
            Entry::Sent(sent)
        } else if let Some(info) = fields.opened {
            Entry::Opened(Box::new(info.0))
        } else if let Some(refused) = fields.refused {
            Entry::Refused(refused)
        } else if let Some(state) = fields.state {
            Entry::State(state)
        } else {
            return Err(serde_json::Error::custom(format!("record {} is of a kind that is not known here", fields.n)));
        };
        Ok(Self { n: fields.n, entry })
    }

    /// The number of a line's record, read without the rest of it.
    pub(crate) fn number(line: &[u8]) -> serde_json::Result<Position> {
        #[derive(Deserialize)]
        struct Number {
            n: Position,
        }
        serde_json::from_slice::<Number>(line).map(|number| number.n)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::protocol::samples;
    use super::*;

    fn there_and_back(entry: Entry) {
        let record = Record { n: Position(7), entry };
        let line = record.encode();
        let (end, text) = line.split_last().expect("not empty");
        assert!(*end == b'\n' && !text.contains(&b'\n'), "one line");
        assert_eq!(Record::number(text).expect("a number"), record.n);
        assert_eq!(Record::decode(text).expect("readable"), record, "{}", String::from_utf8_lossy(text));
    }

    proptest! {
        #[test]
        fn every_event_is_read_back_as_it_was(event in samples::session_event()) {
            there_and_back(Entry::Event(event));
        }

        #[test]
        fn every_command_and_result_is_read_back_as_it_was(
            info in samples::session_info(), error in samples::error(), answer in samples::answer(), id in samples::id(),
            spec in samples::open_spec(), prompt in samples::prompt(),
        ) {
            let (turn, id) = (TurnId::from_uuid(id), InteractionId::from_uuid(id));
            let error = ErrorForm::from(&error);
            there_and_back(Entry::Opened(Box::new(info)));
            there_and_back(Entry::Refused(Refused::Open(error.clone())));
            there_and_back(Entry::Refused(Refused::Prompt { turn, error }));
            there_and_back(Entry::Sent(Sent::Answer { id, answer }));
            there_and_back(Entry::Sent(Sent::Cancel { turn, decided_by: DecidedBy::User }));
            there_and_back(Entry::Sent(Sent::Close));
            there_and_back(Entry::Sent(Sent::Prompt(prompt)));
            let (agent, limits) = (spec.agent.name, spec.agent.limits);
            there_and_back(Entry::Sent(Sent::Open { agent, cwd: spec.cwd, resume: spec.resume, limits }));
        }
    }

    #[test]
    fn a_record_of_an_unknown_kind_is_an_error_and_an_unknown_field_is_none() {
        let unknown = Record::decode(br#"{"n":7,"weather":{}}"#).expect_err("unknown").to_string();
        assert!(unknown.contains("record 7 is of a kind"), "{unknown}");
        Record::decode(br#"{"n":7,"event":{"weather":{}}}"#).expect_err("an unknown event");
        let more = br#"{"n":7,"event":{"exited":{"status":"gone","stderr":"","mood":1}},"at":"noon"}"#;
        let event = SessionEvent::Exited { status: "gone".into(), stderr: String::new() };
        assert_eq!(Record::decode(more).expect("readable"), Record { n: Position(7), entry: Entry::Event(event) });
    }
}
