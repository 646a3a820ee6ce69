//! `auditgate doctor`: what is wrong with a gateway, or soon will be, and what to do.

mod checks;
mod clients;
mod deliveries;
mod shared;
mod storage;

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::client::GatewayArgs;
use super::numbers::counted;
use super::terminal::{Color, TextStyle};
use super::{Error, ExitKind, escape, interruptible, print, terminal};
use crate::proto::pb;
use checks::CHECKS;

/// The right to see and control deliveries.
const DELIVERIES: &str = "deliveries";
/// Width of the words for severities, in columns.
const WORD: usize = 8;

/// Diagnose the gateway: what is wrong or soon will be, and what to do
///
/// Looks at the log, its disk, the certificates, the clock, the proof, the accounts of
/// clients, subscribers, deliveries and the last reload. It needs the right `status`,
/// `subscribers` to look at other clients than yourself, and `deliveries` to look at those.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate doctor
  auditgate doctor --server https://audit.example.org:50051 --token-file ops.token
  auditgate doctor -o json || page-somebody

Exit status: 0 if nothing needs attention; 1 for a warning (something will need it soon);
3 for a critical finding; 2 if the arguments are wrong, or the gateway cannot be
reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = DiagnosisFormat::Pretty)]
    output: DiagnosisFormat,
    #[command(flatten)]
    page: terminal::PageArgs,
    #[command(flatten)]
    server: GatewayArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiagnosisFormat {
    /// A page for people
    Pretty,
    /// JSON array of findings
    Json,
}

/// The answers of a gateway, which the checks look at.
pub struct Evidence<'a> {
    /// The caller.
    pub caller: &'a pb::GetCallerResponse,
    /// The status of the gateway.
    pub status: &'a pb::GetStatusResponse,
    /// Its deliveries, if the caller may see them.
    pub deliveries: &'a [pb::Delivery],
    /// When the answer arrived, by the local clock.
    pub now: Timestamp,
    /// The time from the request to the answer.
    pub answer_time: Duration,
    /// The time zone in which times are shown.
    pub zone: TimeZone,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// For information.
    Note,
    /// Something will fail soon, or partly fails.
    Warning,
    /// Something fails.
    Critical,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Its severity.
    pub severity: Grade,
    /// The check that found it.
    pub check: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// The section of the runbook that describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<&'static str>,
}

impl Diagnosis {
    /// A finding without a section in the runbook.
    pub fn new(severity: Grade, what: String, advice: impl Into<String>) -> Self {
        Self { severity, check: "", what, advice: advice.into(), runbook: None }
    }

    /// The same, with its section in the runbook.
    pub fn see(self, section: &'static str) -> Self {
        Self { runbook: Some(section), ..self }
    }
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let client = args.server.client().await?;
    interruptible(async {
        let caller = client.get_caller().await?;
        let asked = Instant::now();
        let status = client.get_status().await?;
        // A caller who may not see deliveries gets no findings about them.
        let deliveries = match caller.rights.iter().any(|right| right == DELIVERIES) {
            true => client.list_deliveries().await?,
            false => Vec::new(),
        };
        let evidence = Evidence {
            caller: &caller,
            status: &status,
            deliveries: &deliveries,
            now: Timestamp::now(),
            answer_time: asked.elapsed(),
            zone: args.page.zone(),
        };
        let findings = diagnose(&evidence);
        print(&match args.output {
            DiagnosisFormat::Pretty => {
                let terminal = std::io::stdout().is_terminal();
                draw(&status, &findings, terminal::width(), args.page.color(terminal))
            }
            DiagnosisFormat::Json => {
                let text = serde_json::to_string_pretty(&findings);
                let text = text.expect("findings have a JSON form");
                format!("{}\n", escape::json(&text))
            }
        })?;
        Ok(match findings.iter().map(|found| found.severity).max() {
            None | Some(Grade::Note) => ExitKind::All,
            Some(Grade::Warning) => ExitKind::Some,
            Some(Grade::Critical) => ExitKind::Wrong,
        })
    })
    .await
}

/// Runs all checks; the worst findings come first.
fn diagnose(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let run = |(name, check): &(&'static str, fn(&Evidence<'_>) -> Vec<Diagnosis>)| {
        let name = *name;
        check(evidence).into_iter().map(move |found| Diagnosis { check: name, ..found })
    };
    let mut findings: Vec<Diagnosis> = CHECKS.iter().flat_map(run).collect();
    findings.sort_by_key(|found| std::cmp::Reverse(found.severity));
    findings
}

fn draw(
    status: &pb::GetStatusResponse,
    findings: &[Diagnosis],
    width: Option<usize>,
    color: Color,
) -> String {
    let count = |grade| findings.iter().filter(|found| found.severity == grade).count();
    let warnings = counted(count(Grade::Warning) as u64, "warning");
    let summary = match (count(Grade::Critical), count(Grade::Warning)) {
        (0, 0) => "nothing needs attention".to_owned(),
        (0, _) => format!("nothing critical, {warnings}"),
        (critical, _) => format!("{critical} critical, {warnings}"),
    };
    let mut out = format!("auditgate {}: {summary}\n", escape::escaped(&status.version));
    for found in findings {
        let (word, style) = match found.severity {
            Grade::Critical => ("CRITICAL", TextStyle::Alarm),
            Grade::Warning => ("WARNING", TextStyle::Notable),
            Grade::Note => ("NOTE", TextStyle::Faint),
        };
        out.push('\n');
        row(&mut out, &color.paint(style, &terminal::fitted(word, WORD)), &found.what, width);
        let see = found.runbook.map(|section| format!(" (runbook: {section})")).unwrap_or_default();
        row(&mut out, &" ".repeat(WORD), &format!("do: {}{see}", found.advice), width);
    }
    let is_fine = |name: &&str| !findings.iter().any(|found| found.check == *name);
    let fine: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).filter(is_fine).collect();
    if !fine.is_empty() {
        out.push('\n');
        let word = color.paint(TextStyle::Good, &terminal::fitted("FINE", WORD));
        row(&mut out, &word, &fine.join(", "), width);
    }
    out
}

fn row(out: &mut String, name: &str, text: &str, width: Option<usize>) {
    for line in terminal::labelled(name, WORD, &escape::escaped(text), width) {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// The date of a time.
fn day(time: &prost_types::Timestamp, zone: &TimeZone) -> String {
    super::times::format(time, zone, "%F")
}

#[cfg(test)]
mod tests;
