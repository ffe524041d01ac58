//! Sums over the ledger, entry by entry.

use std::collections::BTreeMap;

use boocoder_model::{Dimension, GroupValue, Task, TaskId};
use jiff::Timestamp;

use super::tables::Tables;
use crate::{Groups, StatsQuery, TurnCounts, UsageSum};

impl Tables {
    pub(super) fn usage(&self, query: &StatsQuery) -> Groups<UsageSum> {
        let entries = self.usage_entries.values();
        let placed = entries.filter_map(|entry| Some((self.group(query, entry.task_id, entry.at)?, entry)));
        gather(query, placed, |sum: &mut UsageSum, entry| sum.add(entry))
    }

    pub(super) fn turn_counts(&self, query: &StatsQuery) -> Groups<TurnCounts> {
        let turns = self.turns.values();
        let placed = turns.filter_map(|turn| Some((self.group(query, turn.task_id, turn.started_at)?, turn)));
        gather(query, placed, |counts: &mut TurnCounts, turn| {
            counts.add(turn.outcome.as_ref().map(|outcome| outcome.status), 1);
        })
    }

    /// The group of something that was done for a task at a time, if it is asked for.
    fn group(&self, query: &StatsQuery, task: TaskId, at: Timestamp) -> Option<Vec<GroupValue>> {
        let task = self.tasks.get(&task)?;
        let fits = query.from.is_none_or(|from| at >= from)
            && query.to.is_none_or(|to| at < to)
            && query.project_id.is_none_or(|id| task.project_id == id)
            && (query.session_id.is_none() || task.session_id == query.session_id)
            && (query.chat_id.is_none() || task.chat_id == query.chat_id)
            && query.task_id.is_none_or(|id| task.id == id)
            && query.agent.as_ref().is_none_or(|agent| task.agent == *agent);
        fits.then(|| query.group_by.iter().map(|dimension| value(*dimension, task, at)).collect())
    }
}

fn gather<T: Default, I>(
    query: &StatsQuery,
    placed: impl Iterator<Item = (Vec<GroupValue>, I)>,
    mut add: impl FnMut(&mut T, I),
) -> Groups<T> {
    let mut groups = BTreeMap::new();
    for (key, item) in placed {
        add(groups.entry(key).or_default(), item);
        if groups.len() > query.groups {
            return None;
        }
    }
    Some(groups)
}

fn value(dimension: Dimension, task: &Task, at: Timestamp) -> GroupValue {
    match dimension {
        Dimension::Agent => GroupValue::Agent(task.agent.clone()),
        Dimension::Project => GroupValue::Project(task.project_id),
        Dimension::Session => GroupValue::Session(task.session_id),
        Dimension::Chat => GroupValue::Chat(task.chat_id),
        Dimension::Task => GroupValue::Task(task.id),
        Dimension::Model => GroupValue::Model(task.model.clone()),
        Dimension::Day => GroupValue::day(at),
        Dimension::Hour => GroupValue::hour(at),
    }
}
