//! What this process counts, in the form that Prometheus reads.

use std::fmt;

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// What was counted so far. Clones share it.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Counts from now on, for the whole process.
    ///
    /// # Errors
    /// Something else counts already.
    pub fn install() -> anyhow::Result<Self> {
        PrometheusBuilder::new().install_recorder().map(Self).context("nothing can be counted")
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
