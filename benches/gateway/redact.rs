//! What redaction costs: the check of an event with rules for its content, against the
//! check alone.

use auditgate::content::{Action, Config, ContentPolicy, EventIntake};
use auditgate::time::Time;
use bytes::Bytes;

use crate::rounds::{Better, Duel, Row, Sample, Stopwatch};
use crate::{Result, Scale, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["redact_presets", "redact_secrets"];

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let events: Vec<Bytes> = events::encoded(0..scale.pick(200_000, 2_000)).collect();
    let plain = EventIntake::default();
    let measure = |name: &'static str| {
        // SQL and command lines are in few types; secrets are looked for in every text.
        let config = match name {
            "redact_secrets" => Config { secrets: true, ..Config::default() },
            _ => Config {
                sql: Some(Action::Mask),
                commands: Some(Action::Mask),
                ..Config::default()
            },
        };
        let redacting =
            EventIntake { policy: ContentPolicy::compile(config)?, ..EventIntake::default() };
        let peer = "the check of an event alone";
        let duel = Duel { name, unit: "ns/event", better: Better::Less, peer };
        duel.run(scale.rounds(), || admit(&redacting, &events), || admit(&plain, &events))
    };
    wanted.iter().map(|name| measure(name)).collect()
}

fn admit(intake: &EventIntake, events: &[Bytes]) -> Result<Sample> {
    let watch = Stopwatch::start();
    for event in events {
        std::hint::black_box(intake.admit(event.clone(), Time::now())?);
    }
    let took = watch.stop();
    Ok(Sample { value: took.cpu.as_nanos() as f64 / events.len() as f64, cpu: None })
}
