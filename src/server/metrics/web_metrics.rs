//! The listener of the page.

use std::fmt;

use super::page::MetricsPage;
use super::{MetricSources, read};
use crate::server::connection::CutReason;

impl MetricSources {
    /// Nothing where there is no page.
    pub(super) fn web(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let Some(web) = &self.web else { return Ok(()) };
        let counters = &web.connections;
        page.gauge(
            "auditgate_web_connections",
            "Open connections of browsers",
            web.admission.count() as f64,
        )?;
        page.gauge(
            "auditgate_web_connections_limit",
            "Limit of open connections of browsers",
            web.admission.limits().connections as f64,
        )?;
        page.counter(
            "auditgate_web_connections_accepted",
            "Connections of browsers accepted",
            read(&counters.accepted),
        )?;
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
        page.counters(
            "auditgate_web_connections_cut",
            "Connections of browsers closed by the gateway, by reason",
            CutReason::ALL.into_iter().map(|why| ([("reason", why.name())], counters.cut(why))),
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
            requests.refused().map(|(check, count)| ([("check", check)], count)),
        )
    }
}
