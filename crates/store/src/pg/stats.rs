//! Sums over the ledger and counts of turns, added up by the database.

use std::collections::BTreeMap;

use boocoder_model::{
    AgentName, ChatId, Cost, Currency, Dimension, GroupValue, ProjectId, SessionId, TaskId, TurnStatus, UsageSource,
};
use tokio_postgres::types::ToSql;

use super::PgStore;
use super::conn::{Params, Query};
use super::table::Fields;
use crate::{Groups, StatsQuery, StoreError, TurnCounts, UsageSum};

/// What is summed up, and the column that says when it was.
struct Summed {
    what: &'static str,
    table: &'static str,
    time: &'static str,
    /// What tells the rows of one group apart.
    apart: &'static str,
    sums: &'static str,
}

/// A sum of numbers of the database may be greater than any of them. `least` alone would make the greatest of what is not
/// there.
const USAGE: Summed = Summed {
    what: "usage entry",
    table: "usage_entries",
    time: "usage_entries.at",
    apart: "usage_entries.currency, usage_entries.source",
    sums: "least(sum(usage_entries.input_tokens), 9223372036854775807)::bigint AS input_tokens, \
           least(sum(usage_entries.output_tokens), 9223372036854775807)::bigint AS output_tokens, \
           CASE WHEN count(usage_entries.cost_nanos) > 0 \
             THEN least(sum(usage_entries.cost_nanos), 9223372036854775807)::bigint END AS cost_nanos",
};

const TURNS: Summed = Summed {
    what: "turn",
    table: "turns",
    time: "turns.started_at",
    apart: "turns.outcome->>'status'",
    sums: "turns.outcome->>'status' AS status, count(*) AS turns",
};

impl PgStore {
    pub(super) async fn sum_usage(&self, query: &StatsQuery) -> Result<Groups<UsageSum>, StoreError> {
        self.groups(query, &USAGE, |fields, sum: &mut UsageSum| {
            let tokens = UsageSum {
                input: fields.count("input_tokens")?,
                output: fields.count("output_tokens")?,
                costs: BTreeMap::new(),
            };
            sum.add_all(&tokens);
            let Some(nanos) = fields.count_if_any("cost_nanos")? else { return Ok(()) };
            let currency = fields.name::<Currency>("currency")?;
            sum.add_cost(currency, fields.name::<UsageSource>("source")?, Cost::from_nanos(nanos, currency).nanos());
            Ok(())
        })
        .await
    }

    pub(super) async fn count_turns(&self, query: &StatsQuery) -> Result<Groups<TurnCounts>, StoreError> {
        self.groups(query, &TURNS, |fields, counts: &mut TurnCounts| {
            counts.add(fields.name_if_any::<TurnStatus>("status")?, fields.count("turns")?);
            Ok(())
        })
        .await
    }

    async fn groups<T: Default>(
        &self,
        query: &StatsQuery,
        summed: &Summed,
        mut add: impl FnMut(&Fields<'_>, &mut T) -> Result<(), StoreError>,
    ) -> Result<Groups<T>, StoreError> {
        let mut groups = BTreeMap::new();
        for row in self.rows(&statement(query, summed)).await? {
            let fields = Fields::new(&row, summed.what);
            let key = (0..).zip(&query.group_by).map(|(place, dimension)| value(&fields, place, *dimension));
            add(&fields, groups.entry(key.collect::<Result<Vec<_>, _>>()?).or_default())?;
        }
        Ok((groups.len() <= query.groups).then_some(groups))
    }
}

/// The rows of one group more than is allowed: whether there are too many shows without bringing all of them.
fn statement<'a>(query: &'a StatsQuery, summed: &Summed) -> Query<'a> {
    let Summed { table, time, apart, sums, .. } = summed;
    let mut params = Params::new();
    let mut conditions = Vec::new();
    let mut narrow = |condition: &str, value: Box<dyn ToSql + Sync + Send + 'a>| {
        params.push(value);
        conditions.push(format!("{condition} ${}", params.len()));
    };
    if let Some(from) = query.from {
        narrow(&format!("{time} >="), Box::new(from));
    }
    if let Some(to) = query.to {
        narrow(&format!("{time} <"), Box::new(to));
    }
    let ids = [
        ("project_id", query.project_id.map(ProjectId::as_uuid)),
        ("session_id", query.session_id.map(SessionId::as_uuid)),
        ("chat_id", query.chat_id.map(ChatId::as_uuid)),
        ("id", query.task_id.map(TaskId::as_uuid)),
    ];
    for (column, id) in ids {
        if let Some(id) = id {
            narrow(&format!("tasks.{column} ="), Box::new(id));
        }
    }
    if let Some(agent) = &query.agent {
        narrow("tasks.agent =", Box::new(agent.as_str()));
    }
    let narrowed = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    params.push(Box::new(i64::try_from(query.groups).unwrap_or(i64::MAX)));
    let keys: Vec<_> = query.group_by.iter().map(|dimension| column(*dimension, time)).collect();
    let named: String = (0..).zip(&keys).map(|(place, key): (usize, _)| format!("{key} AS k{place}, ")).collect();
    let grouped: String = keys.iter().map(|key| format!("{key}, ")).collect();
    let ranked = if keys.is_empty() { String::new() } else { format!("ORDER BY {}", keys.join(", ")) };
    let sql = format!(
        "SELECT * FROM (\
           SELECT {named}{apart_named}{sums}, dense_rank() OVER ({ranked}) AS place \
           FROM {table} JOIN tasks ON tasks.id = {table}.task_id {narrowed} GROUP BY {grouped}{apart}) AS sums \
         WHERE place - 1 <= ${limit}",
        apart_named = if summed.table == USAGE.table { format!("{apart}, ") } else { String::new() },
        limit = params.len(),
    );
    Query::new(sql, params)
}

/// What tells groups apart. A model is text in JSON, which has no order of its own.
fn column(dimension: Dimension, time: &str) -> String {
    match dimension {
        Dimension::Agent => "tasks.agent".to_owned(),
        Dimension::Project => "tasks.project_id".to_owned(),
        Dimension::Session => "tasks.session_id".to_owned(),
        Dimension::Chat => "tasks.chat_id".to_owned(),
        Dimension::Task => "tasks.id".to_owned(),
        Dimension::Model => "tasks.model::text".to_owned(),
        Dimension::Day => format!("date_trunc('day', {time}, 'UTC')"),
        Dimension::Hour => format!("date_trunc('hour', {time}, 'UTC')"),
    }
}

fn value(fields: &Fields<'_>, place: usize, dimension: Dimension) -> Result<GroupValue, StoreError> {
    let column = format!("k{place}");
    Ok(match dimension {
        Dimension::Agent => GroupValue::Agent(AgentName::from(fields.get::<String>(&column)?)),
        Dimension::Project => GroupValue::Project(fields.id(&column, ProjectId::from_uuid)?),
        Dimension::Session => GroupValue::Session(fields.id_if_any(&column, SessionId::from_uuid)?),
        Dimension::Chat => GroupValue::Chat(fields.id_if_any(&column, ChatId::from_uuid)?),
        Dimension::Task => GroupValue::Task(fields.id(&column, TaskId::from_uuid)?),
        Dimension::Model => {
            let text = fields.get::<Option<String>>(&column)?;
            let model = text.as_deref().map(serde_json::from_str).transpose();
            GroupValue::Model(model.map_err(|error| fields.corrupt("model", error))?)
        }
        Dimension::Day => GroupValue::Day(fields.get(&column)?),
        Dimension::Hour => GroupValue::Hour(fields.get(&column)?),
    })
}
