//! What statistics are grouped by.

use jiff::Timestamp;

use crate::text_enum::text_enum;
use crate::{AgentName, ChatId, ProjectId, SessionId, TaskId};

text_enum! {
    /// Something by which usage and turns can be told apart.
    pub enum Dimension ("grouping") {
        /// The agent.
        Agent = "agent",
        /// The project that was worked on.
        Project = "project",
        /// The session, if the work came from one.
        Session = "session",
        /// The chat, if the work came from one.
        Chat = "chat",
        /// The task.
        Task = "task",
        /// The model that was asked for, if one was.
        Model = "model",
        /// The day, in UTC.
        Day = "day",
        /// The hour, in UTC.
        Hour = "hour",
    }
}

/// Where something stands in a [`Dimension`]. Values of one dimension have an order: what is none comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupValue {
    /// This agent.
    Agent(AgentName),
    /// This project.
    Project(ProjectId),
    /// This session, or none.
    Session(Option<SessionId>),
    /// This chat, or none.
    Chat(Option<ChatId>),
    /// This task.
    Task(TaskId),
    /// This model, or the agent's own choice.
    Model(Option<String>),
    /// The day that begins then.
    Day(Timestamp),
    /// The hour that begins then.
    Hour(Timestamp),
}

impl GroupValue {
    /// The day, in UTC, that a time is in.
    pub fn day(at: Timestamp) -> Self {
        Self::Day(floor(at, 86_400))
    }

    /// The hour, in UTC, that a time is in.
    pub fn hour(at: Timestamp) -> Self {
        Self::Hour(floor(at, 3_600))
    }
}

/// The last multiple of so many seconds that is not after a time. The first moment that there is stands for what would
/// be before it.
fn floor(at: Timestamp, seconds: i64) -> Timestamp {
    // A time before the epoch has a fraction below zero, which belongs to the second before.
    let whole = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(whole - whole.rem_euclid(seconds)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_begin_at_utc() {
        let hour = |text: &str| {
            let GroupValue::Hour(at) = GroupValue::hour(text.parse().expect("a time")) else { unreachable!() };
            at.to_string()
        };
        assert_eq!(hour("2026-11-28T03:59:59.999999999Z"), "2026-11-28T03:00:00Z");
        assert_eq!(hour("2026-11-28T03:00:00Z"), "2026-11-28T03:00:00Z");
        assert_eq!(hour("1969-12-31T23:59:59.5Z"), "1969-12-31T23:00:00Z");
        assert_eq!(hour("1969-12-31T22:59:59.5Z"), "1969-12-31T22:00:00Z");
        let day = GroupValue::day("2026-11-28T03:59:59Z".parse().expect("a time"));
        assert_eq!(day, GroupValue::Day("2026-11-28T00:00:00Z".parse().expect("a time")));
    }
}
