//! Statistics: what was used and how turns ended, in a range of time and in groups.

use std::collections::BTreeMap;

use boocoder_model::{Cost, Dimension, GroupValue};
use boocoder_store::{StatsQuery, UsageSum};
use boocoder_wire::Used;
use boocoder_wire::http::{Stats, StatsCost, StatsGroup, TurnCounts};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use warp::Filter;
use warp::http::StatusCode;

use super::{Route, query_id, reply, with};
use crate::app::App;
use crate::reject::ApiError;

/// The parameters of a query, in their order.
type Asked = Vec<(String, String)>;

pub(super) fn routes(app: &App) -> Route {
    warp::path!("api" / "stats")
        .and(warp::get())
        .and(warp::query())
        .and(with(app))
        .then(|asked, app| reply(StatusCode::OK, stats(asked, app)))
        .boxed()
}

async fn stats(asked: Asked, app: App) -> Result<Stats, ApiError> {
    let query = read(&asked)?;
    let too_many = || {
        let message = format!("there are more than {} groups; ask for a shorter time or fewer groupings", query.groups);
        ApiError::bad_request("too_many_groups", message)
    };
    let used = app.store().usage(&query).await?.ok_or_else(too_many)?;
    let turns = app.store().turn_counts(&query).await?.ok_or_else(too_many)?;
    let mut groups: BTreeMap<_, (UsageSum, boocoder_store::TurnCounts)> =
        used.into_iter().map(|(key, sum)| (key, (sum, boocoder_store::TurnCounts::default()))).collect();
    for (key, counts) in turns {
        groups.entry(key).or_default().1 = counts;
    }
    if groups.len() > query.groups {
        return Err(too_many());
    }
    let (mut sum, mut counts) = (UsageSum::default(), boocoder_store::TurnCounts::default());
    for (more, turns) in groups.values() {
        sum.add_all(more);
        counts.add_all(turns);
    }
    Ok(Stats {
        from: query.from,
        to: query.to,
        group_by: query.group_by.iter().map(ToString::to_string).collect(),
        groups: groups.iter().map(|(key, (sum, turns))| group(key, sum, *turns)).collect(),
        total: group(&[], &sum, counts),
    })
}

/// What is asked for. Whatever is not understood is refused: a misspelt limit must not pass for none.
fn read(asked: &Asked) -> Result<StatsQuery, ApiError> {
    let refused = |message: String| ApiError::bad_request("invalid_query", message);
    let mut given = BTreeMap::new();
    for (name, value) in asked {
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(refused(format!("unknown parameter {name:?}; there are {}", PARAMETERS.join(", "))));
        }
        if given.insert(name.as_str(), value.as_str()).is_some() {
            return Err(refused(format!("{name} is given twice")));
        }
    }
    let agent = match given.get("agent").copied() {
        Some("") => return Err(refused("agent is empty".to_owned())),
        Some(agent) if agent.contains('\0') => return Err(refused("agent has a NUL in it".to_owned())),
        agent => agent.map(Into::into),
    };
    let (from, to) = (time(given.get("from").copied(), "from")?, time(given.get("to").copied(), "to")?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(ApiError::bad_request("invalid_range", "from is not before to"));
    }
    Ok(StatsQuery {
        from,
        to,
        project_id: query_id(given.get("project_id").copied(), "project_id")?,
        session_id: query_id(given.get("session_id").copied(), "session_id")?,
        chat_id: query_id(given.get("chat_id").copied(), "chat_id")?,
        task_id: None,
        agent,
        group_by: group_by(given.get("group_by").copied())?,
        ..StatsQuery::default()
    })
}

const PARAMETERS: [&str; 7] = ["from", "to", "project_id", "session_id", "chat_id", "agent", "group_by"];

fn time(text: Option<&str>, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let message = format!("{name} is no time in RFC 3339, such as 2026-11-28T00:00:00Z (a plus sign is %2B)");
            ApiError::bad_request("invalid_time", message)
        })
    };
    text.map(parse).transpose()
}

fn group_by(text: Option<&str>) -> Result<Vec<Dimension>, ApiError> {
    let refused = |message: String| ApiError::bad_request("invalid_group_by", message);
    let mut dimensions = Vec::new();
    for name in text.into_iter().flat_map(|text| text.split(',')) {
        let known = || Dimension::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
        let dimension: Dimension = name.parse().map_err(|error| refused(format!("{error}; there are {}", known())))?;
        if dimensions.contains(&dimension) {
            return Err(refused(format!("{dimension} is given twice")));
        }
        dimensions.push(dimension);
    }
    Ok(dimensions)
}

fn group(key: &[GroupValue], sum: &UsageSum, turns: boocoder_store::TurnCounts) -> StatsGroup {
    let Used { input_tokens, output_tokens, cost, currency, costs: _ } = Used::from(&sum.totals());
    let cost_of = |((currency, source), nanos): (&(_, _), &u64)| {
        let cost = Cost::from_nanos(*nanos, *currency);
        StatsCost {
            currency: currency.to_string(),
            source: boocoder_model::UsageSource::to_string(source),
            amount: cost.amount(),
        }
    };
    let boocoder_store::TurnCounts { completed, failed, cancelled, running } = turns;
    StatsGroup {
        key: key.iter().map(named).collect(),
        input_tokens,
        output_tokens,
        cost,
        currency,
        costs: sum.costs.iter().map(cost_of).collect(),
        turns: TurnCounts { completed, failed, cancelled, running },
    }
}

/// A value under the name of its field.
fn named(value: &GroupValue) -> (String, Option<String>) {
    let (name, value) = match value {
        GroupValue::Agent(agent) => ("agent", Some(agent.to_string())),
        GroupValue::Project(id) => ("project_id", Some(id.to_string())),
        GroupValue::Session(id) => ("session_id", id.map(|id| id.to_string())),
        GroupValue::Chat(id) => ("chat_id", id.map(|id| id.to_string())),
        GroupValue::Task(id) => ("task_id", Some(id.to_string())),
        GroupValue::Model(model) => ("model", model.clone()),
        GroupValue::Day(at) => ("day", Some(at.to_zoned(TimeZone::UTC).date().to_string())),
        GroupValue::Hour(at) => ("hour", Some(at.to_string())),
    };
    (name.to_owned(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<StatsQuery, ApiError> {
        let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        read(&text.split('&').filter_map(pair).collect())
    }

    #[test]
    fn a_query_is_read_whole() {
        let id = "0190b5a4-0000-7000-8000-000000000001";
        let query = asked(
            &format!(
                "from=2026-11-28T01:00:00%2B01:00&to=2026-11-29T00:00:00Z&project_id={id}&agent=demo&group_by=day,agent"
            )
            .replace("%2B", "+"),
        );
        let query = query.expect("it is understood");
        assert_eq!(query.from.map(|at| at.to_string()).as_deref(), Some("2026-11-28T00:00:00Z"));
        assert_eq!(query.project_id.map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(query.group_by, [Dimension::Day, Dimension::Agent]);
        assert_eq!(asked(""), Ok(StatsQuery::default()));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_code() {
        for (text, code) in [
            ("form=2026-11-28T00:00:00Z", "invalid_query"),
            ("agent=a&agent=b", "invalid_query"),
            ("agent=", "invalid_query"),
            ("agent=a\0b", "invalid_query"),
            ("project_id=x", "invalid_query"),
            ("session_id=x", "invalid_query"),
            ("chat_id=", "invalid_query"),
            ("from=yesterday", "invalid_time"),
            ("from=", "invalid_time"),
            ("to=2026-11-28", "invalid_time"),
            ("from=2026-11-28T01:00:00 01:00", "invalid_time"),
            ("from=2026-11-28T00:00:00Z&to=2026-11-28T00:00:00Z", "invalid_range"),
            ("group_by=", "invalid_group_by"),
            ("group_by=agent,,day", "invalid_group_by"),
            ("group_by=week", "invalid_group_by"),
            ("group_by=day,agent,day", "invalid_group_by"),
        ] {
            let error = asked(text).expect_err(text);
            assert_eq!((error.status, error.problem.code.as_str()), (StatusCode::BAD_REQUEST, code), "{text}");
        }
    }
}
