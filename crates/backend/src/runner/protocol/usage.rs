//! The form of what an agent reports to have used, and how the one of the version before is read.

use boocoder_model::{ContextUse, Cost, Currency, StepUsage, UsageReport, UsageSource};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::forms::Form;

/// A report. It is written as [`Report`], so that what version 1 wrote can be read beside it.
pub(super) struct UsageForm;

impl Form for UsageForm {
    type Of = UsageReport;

    fn serialize<S: Serializer>(report: &UsageReport, serializer: S) -> Result<S::Ok, S::Error> {
        Report::from(report).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UsageReport, D::Error> {
        Report::deserialize(deserializer)?.read().map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    /// A delta as version 1 wrote it, which knew no sources.
    Delta(Step),
    Used {
        source: String,
        #[serde(flatten)]
        used: Step,
    },
    RunningTotal(Step),
    Context {
        context: Context,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_cost: Option<Amount>,
    },
}

#[derive(Serialize, Deserialize)]
struct Step {
    input: u64,
    output: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<Amount>,
}

#[derive(Serialize, Deserialize)]
struct Context {
    used: u64,
    size: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Amount {
    Exact {
        nanos: u64,
        currency: String,
    },
    /// As version 1 wrote it: US dollars, and zero also where nobody had told a cost.
    Dollars(f64),
}

impl From<&UsageReport> for Report {
    fn from(report: &UsageReport) -> Self {
        match report {
            UsageReport::Delta { source, used } => Self::Used { source: source.to_string(), used: used.into() },
            UsageReport::RunningTotal(total) => Self::RunningTotal(total.into()),
            UsageReport::Context { context, total_cost } => Self::Context {
                context: Context { used: context.used, size: context.size },
                total_cost: total_cost.map(Into::into),
            },
        }
    }
}

impl Report {
    fn read(self) -> Result<UsageReport, boocoder_model::UnknownName> {
        Ok(match self {
            Self::Delta(used) => UsageReport::turn(used.read()?),
            Self::Used { source, used } => {
                UsageReport::Delta { source: source.parse::<UsageSource>()?, used: used.read()? }
            }
            Self::RunningTotal(total) => UsageReport::RunningTotal(total.read()?),
            Self::Context { context, total_cost } => UsageReport::Context {
                context: ContextUse { used: context.used, size: context.size },
                total_cost: read(total_cost)?,
            },
        })
    }
}

impl From<&StepUsage> for Step {
    fn from(used: &StepUsage) -> Self {
        Self { input: used.input, output: used.output, cost: used.cost.map(Into::into) }
    }
}

impl Step {
    fn read(self) -> Result<StepUsage, boocoder_model::UnknownName> {
        Ok(StepUsage { input: self.input, output: self.output, cost: read(self.cost)? })
    }
}

impl From<Cost> for Amount {
    fn from(cost: Cost) -> Self {
        Self::Exact { nanos: cost.nanos(), currency: cost.currency().to_string() }
    }
}

fn read(amount: Option<Amount>) -> Result<Option<Cost>, boocoder_model::UnknownName> {
    Ok(match amount {
        None => None,
        Some(Amount::Exact { nanos, currency }) => Some(Cost::from_nanos(nanos, currency.parse::<Currency>()?)),
        Some(Amount::Dollars(amount)) => Cost::usd(amount).filter(|cost| cost.nanos() > 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::protocol::forms::Read;

    fn report(text: &str) -> UsageReport {
        serde_json::from_str::<Read<UsageForm>>(text).expect(text).0
    }

    #[test]
    fn what_the_version_before_wrote_is_read() {
        let used = StepUsage { input: 5, output: 2, cost: Cost::usd(0.25) };
        assert_eq!(report(r#"{"delta":{"input":5,"output":2,"cost":0.25}}"#), UsageReport::turn(used));
        assert_eq!(report(r#"{"running_total":{"input":5,"output":2,"cost":0.25}}"#), UsageReport::RunningTotal(used));
        let untold = StepUsage { cost: None, ..used };
        assert_eq!(report(r#"{"delta":{"input":5,"output":2,"cost":0.0}}"#), UsageReport::turn(untold));
        for (cost, total_cost) in [("0.5", Cost::usd(0.5)), ("null", None)] {
            let text = format!(r#"{{"context":{{"context":{{"used":1,"size":2}},"total_cost":{cost}}}}}"#);
            assert_eq!(report(&text), UsageReport::Context { context: ContextUse { used: 1, size: 2 }, total_cost });
        }
    }

    #[test]
    fn a_source_or_a_currency_that_is_none_is_refused() {
        for text in [
            r#"{"used":{"source":"rumour","input":5,"output":2}}"#,
            r#"{"running_total":{"input":5,"output":2,"cost":{"nanos":1,"currency":""}}}"#,
        ] {
            assert!(serde_json::from_str::<Read<UsageForm>>(text).is_err(), "{text}");
        }
    }
}
