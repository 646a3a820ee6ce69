//! The text formats of metrics: Prometheus 0.0.4, which every collector reads, and OpenMetrics for
//! those that request it.

use std::fmt::Write as _;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' own: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Form {
    /// The format that a client requests with these values of the header `accept`.
    pub fn accepted<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let mut quality = 1.0_f64;
            let mut version = None;
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            if media.eq_ignore_ascii_case("application/openmetrics-text")
                && version.is_none_or(|version| version == "1.0.0")
            {
                open = quality.max(open);
            } else if media.eq_ignore_ascii_case("text/plain") {
                plain = quality.max(plain);
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Converts a page of OpenMetrics to this format.
    pub fn of_open_metrics(self, page: String) -> String {
        match self {
            Self::OpenMetrics => page,
            Self::Prometheus => prometheus(&page),
        }
    }
}

/// Converts a page to Prometheus' format. There the descriptor of a counter or an info has the name
/// of its samples, an info is a gauge, and there is no end mark.
fn prometheus(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            // Writing to a string cannot fail.
            if let Some((_, text)) = help.take() {
                let _ = writeln!(out, "# HELP {name}{suffix} {text}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_open_metrics_if_it_asks_for_that() {
        let accepted = |values: &[&str]| Form::accepted(values.iter().copied());
        for values in [
            &[][..],
            &[""],
            &["*/*"],
            &["text/plain"],
            &["text/html,application/xhtml+xml,*/*;q=0.8"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=0.2, text/plain;q=0.5"],
            &["application/openmetrics-text;version=9.0.0"],
            &["application/json"],
        ] {
            assert_eq!(accepted(values), Form::Prometheus, "{values:?}");
        }
        for values in [
            &["application/openmetrics-text"][..],
            &["application/openmetrics-text; version=1.0.0; charset=utf-8"],
            // As Prometheus 2.42 sends it.
            &["application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
               version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"],
            &["text/plain;q=0.5", "Application/OpenMetrics-Text; Version=\"1.0.0\""],
        ] {
            assert_eq!(accepted(values), Form::OpenMetrics, "{values:?}");
        }
    }

    #[test]
    fn a_page_has_the_descriptors_of_prometheus() {
        let page = "# HELP a A counter.\n# TYPE a counter\na_total{b=\"# c\"} 1\n\
                    # HELP d An info.\n# TYPE d info\nd_info{v=\"1\"} 1\n\
                    # HELP e A gauge.\n# TYPE e gauge\n# UNIT e x\ne 2\n# EOF\n";
        let expected = "# HELP a_total A counter.\n# TYPE a_total counter\na_total{b=\"# c\"} 1\n\
                        # HELP d_info An info.\n# TYPE d_info gauge\nd_info{v=\"1\"} 1\n\
                        # HELP e A gauge.\n# TYPE e gauge\ne 2\n";
        assert_eq!(Form::Prometheus.of_open_metrics(page.to_owned()), expected);
        assert_eq!(Form::OpenMetrics.of_open_metrics(page.to_owned()), page);
    }
}
