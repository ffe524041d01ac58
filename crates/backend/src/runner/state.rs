//! Where a session stands, as the records of its journal tell: a fold, without files or clocks.

use std::collections::{BTreeMap, VecDeque};

use boocoder_model::{AgentEvent, Answer, DecidedBy, InteractionId, InteractionOutcome, Position, TurnId, TurnOutcome};
use serde::{Deserialize, Serialize};

use super::protocol::{AnswerForm, ErrorForm, Form, InfoForm, LimitsForm, Maybe};
use super::record::{Entry, Record, Refused, Sent};
use crate::limits::ANSWERS_KEPT;
use crate::{BackendError, Limits, RunnerState, SessionEvent, SessionInfo};

/// What is said of a session whose runner died before it could say anything itself.
const KILLED: &str = "the runner of the agent was killed";

/// Where a session stands. Each segment of a journal begins with it, so that it needs no older one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The last record.
    pub(crate) last: Position,
    /// The last record that is an event.
    pub(crate) last_event: Position,
    /// How far it has come with its opening.
    pub(crate) opening: Opening,
    /// What is known of it, once it is open.
    #[serde(with = "Maybe::<InfoForm>")]
    pub(crate) info: Option<SessionInfo>,
    /// The limits of the agent.
    #[serde(with = "Maybe::<LimitsForm>")]
    pub(crate) limits: Option<Limits>,
    /// The last turn whose prompt was given.
    pub(crate) turn: Option<TurnId>,
    /// The one before, in case that prompt is refused.
    before: Option<TurnId>,
    /// The turn, while it has no end.
    pub(crate) running: Option<TurnId>,
    /// Open questions, each with its turn.
    questions: BTreeMap<InteractionId, Option<TurnId>>,
    /// The last answers that were taken.
    answered: VecDeque<Answered>,
    /// The process has gone.
    pub(crate) ended: bool,
}

/// How far a session has come with its opening.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Opening {
    /// Nobody has asked for one.
    #[default]
    Idle,
    /// It is being opened.
    UnderWay,
    /// It is open, or was.
    Open,
    /// It did not open.
    Refused(ErrorForm),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answered {
    id: InteractionId,
    #[serde(with = "AnswerForm")]
    answer: Answer,
}

impl State {
    /// Takes in the next record.
    pub(crate) fn apply(&mut self, record: &Record) {
        self.last = record.n;
        match &record.entry {
            Entry::Event(event) => {
                self.last_event = record.n;
                self.apply_event(event);
            }
            Entry::Sent(sent) => self.apply_sent(sent),
            Entry::Opened(info) => {
                self.opening = Opening::Open;
                self.info = Some((**info).clone());
            }
            Entry::Refused(Refused::Open(error)) => self.opening = Opening::Refused(error.clone()),
            Entry::Refused(Refused::Prompt { turn, .. }) => {
                if self.running == Some(*turn) {
                    self.running = None;
                    self.turn = self.before.take();
                }
            }
            Entry::State(state) => *self = (**state).clone(),
        }
    }

    fn apply_event(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Agent { event: AgentEvent::ConfigOptions(options), .. } => {
                if let Some(info) = &mut self.info {
                    info.options.clone_from(options);
                }
            }
            SessionEvent::Agent { .. } => {}
            SessionEvent::Asked { turn, id, .. } => {
                self.questions.insert(*id, *turn);
            }
            SessionEvent::Withdrawn { id, .. } => {
                self.questions.remove(id);
            }
            SessionEvent::TurnEnded { turn, .. } => {
                self.running.take_if(|running| running == turn);
                self.questions.retain(|_, of| *of != Some(*turn));
            }
            SessionEvent::Exited { .. } => {
                self.ended = true;
                self.running = None;
                self.questions.clear();
            }
        }
    }

    fn apply_sent(&mut self, sent: &Sent) {
        match sent {
            Sent::Open { limits, .. } => {
                self.opening = Opening::UnderWay;
                self.limits = Some(limits.clone());
            }
            Sent::Prompt(prompt) => {
                self.before = self.turn.replace(prompt.turn);
                self.running = Some(prompt.turn);
            }
            Sent::Answer { id, answer } => {
                self.questions.remove(id);
                if self.answered.len() == ANSWERS_KEPT {
                    self.answered.pop_front();
                }
                self.answered.push_back(Answered { id: *id, answer: answer.clone() });
            }
            Sent::Cancel { .. } | Sent::Close => {}
        }
    }

    /// Whether this very answer was taken already.
    pub(crate) fn has_taken(&self, id: InteractionId, answer: &Answer) -> bool {
        self.answered.iter().any(|answered| answered.id == id && answered.answer == *answer)
    }

    /// What became of the opening, if it is decided.
    pub(crate) fn opened(&self) -> Option<Result<SessionInfo, BackendError>> {
        match &self.opening {
            Opening::Idle | Opening::UnderWay => None,
            Opening::Open => self.info.clone().map(Ok),
            Opening::Refused(error) => Some(Err(error.clone().into())),
        }
    }

    /// How the session ends if its runner has died here: the same events under the same numbers, whoever asks.
    pub(crate) fn ending(&self) -> Vec<Record> {
        if self.ended || self.opening != Opening::Open {
            return Vec::new();
        }
        let withdrawn = self.questions.keys().map(|id| SessionEvent::Withdrawn {
            id: *id,
            outcome: InteractionOutcome::Cancelled,
            decided_by: DecidedBy::Crash,
        });
        let outcome = TurnOutcome::failed(DecidedBy::Crash, KILLED);
        let ended = self.running.map(|turn| SessionEvent::TurnEnded { turn, outcome });
        let exited = SessionEvent::Exited { status: KILLED.to_owned(), stderr: String::new() };
        let mut n = self.last;
        let number = |event| {
            n = n.next();
            Record { n, entry: Entry::Event(event) }
        };
        withdrawn.chain(ended).chain([exited]).map(number).collect()
    }

    /// The state at the end of it all, given what [`ending`](Self::ending) says.
    pub(crate) fn after(mut self, ending: &[Record]) -> Self {
        ending.iter().for_each(|record| self.apply(record));
        self
    }

    /// What the port tells of it.
    pub(crate) fn told(&self) -> RunnerState {
        RunnerState { last: self.last_event, turn: self.turn, questions: self.questions.keys().copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use boocoder_model::{Question, StopReason};
    use uuid::Uuid;

    use super::*;
    use crate::runner::protocol::samples;

    fn turn(number: u128) -> TurnId {
        TurnId::from_uuid(Uuid::from_u128(number))
    }

    fn question(number: u128) -> InteractionId {
        InteractionId::from_uuid(Uuid::from_u128(number))
    }

    fn asked(number: u128, of: Option<TurnId>) -> Entry {
        let form = Question::Url { title: "Log in".into(), url: "https://a.b".into() };
        Entry::Event(SessionEvent::Asked { turn: of, id: question(number), question: form })
    }

    fn prompted(number: u128) -> Entry {
        Entry::Sent(Sent::Prompt(samples::plain_prompt(turn(number))))
    }

    fn fold(entries: impl IntoIterator<Item = Entry>) -> State {
        let mut state = State::default();
        for entry in entries {
            let record = Record { n: state.last.next(), entry };
            state.apply(&record);
        }
        // What a segment begins with tells the same.
        let header = Record { n: state.last, entry: Entry::State(Box::new(state.clone())) };
        let line = header.encode();
        assert_eq!(Record::decode(line.trim_ascii_end()).expect("readable"), header);
        state
    }

    fn opened() -> Entry {
        Entry::Opened(Box::new(samples::info()))
    }

    #[test]
    fn a_turn_begins_with_its_prompt_and_ends_with_its_questions() {
        let answer = Answer::Select("yes".into());
        let state = fold([
            opened(),
            prompted(1),
            asked(1, Some(turn(1))),
            asked(2, Some(turn(1))),
            asked(3, None),
            Entry::Sent(Sent::Answer { id: question(1), answer: answer.clone() }),
        ]);
        assert_eq!((state.turn, state.running, state.last), (Some(turn(1)), Some(turn(1)), Position(6)));
        assert_eq!(state.told().questions, [question(2), question(3)].into());
        assert!(state.has_taken(question(1), &answer) && !state.has_taken(question(1), &Answer::Cancel));
        let end = SessionEvent::TurnEnded { turn: turn(1), outcome: TurnOutcome::stopped(&StopReason::EndTurn) };
        let state = state.after(&[Record { n: Position(7), entry: Entry::Event(end) }]);
        assert_eq!((state.turn, state.running), (Some(turn(1)), None));
        assert_eq!(state.told().questions, [question(3)].into());
    }

    #[test]
    fn a_refused_prompt_is_as_if_it_had_never_been() {
        let refused = Entry::Refused(Refused::Prompt { turn: turn(2), error: ErrorForm::Busy });
        let before = fold([opened(), prompted(1)]);
        let after = fold([opened(), prompted(1), prompted(2), refused]);
        assert_eq!((before.turn, after.turn, after.running), (Some(turn(1)), Some(turn(1)), None));
    }

    #[test]
    fn a_killed_runner_s_session_ends_in_one_way() {
        let state = fold([opened(), prompted(1), asked(2, Some(turn(1))), asked(1, None)]);
        let ending = state.ending();
        let numbers: Vec<u64> = ending.iter().map(|record| record.n.0).collect();
        assert_eq!(numbers, [5, 6, 7, 8]);
        assert_eq!(ending, state.ending());
        let outcome = TurnOutcome::failed(DecidedBy::Crash, KILLED);
        assert_eq!(ending[2].entry, Entry::Event(SessionEvent::TurnEnded { turn: turn(1), outcome }));
        let state = state.clone().after(&ending);
        assert_eq!((state.ended, state.running, state.told().questions.len()), (true, None, 0));
        assert!(state.ending().is_empty(), "it ends once");
        assert!(fold([]).ending().is_empty(), "what never opened has nothing to end");
    }

    #[test]
    fn only_the_last_answers_are_kept() {
        let answer = |number| Entry::Sent(Sent::Answer { id: question(number), answer: Answer::Decline });
        let state = fold((0..200).map(answer));
        assert!(state.has_taken(question(199), &Answer::Decline) && !state.has_taken(question(1), &Answer::Decline));
        assert_eq!(state.answered.len(), ANSWERS_KEPT);
    }
}
