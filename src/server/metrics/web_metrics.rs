//! Metrics of the listener of the page.

use std::fmt;

use super::page::MetricsPage;
use super::{MetricSources, read};

impl MetricSources {
    /// Writes nothing if the page is off.
    pub(super) fn web(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let Some(web) = &self.web else { return Ok(()) };
        let counters = &web.connections;
        let whose = "Connections of browsers";
        page.connections("auditgate_web_connections", whose, &web.admission, counters)?;
        let refused = [
            ("full", &counters.refused_full),
            ("address", &counters.refused_peer),
            ("system", &counters.failed),
            ("tls", &counters.refused_tls),
        ];
        page.counters(
            "auditgate_web_connections_refused",
            "Connections of browsers refused, by exhausted limit or failed step",
            refused.into_iter().map(|(reason, count)| ([("reason", reason)], read(count))),
        )?;
        let requests = &web.requests;
        let answered = [("call", &requests.calls), ("file", &requests.files)];
        page.counters(
            "auditgate_web_requests",
            "Requests of browsers that passed the checks, by kind",
            answered.into_iter().map(|(kind, count)| ([("kind", kind)], read(count))),
        )?;
        page.counters(
            "auditgate_web_requests_refused",
            "Requests of browsers refused, by check",
            requests.refused.counts().map(|(check, count)| ([("check", check.name())], count)),
        )
    }
}
