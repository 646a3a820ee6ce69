//! What an import takes of a processor: lines of Teleport's log as encoded events, against
//! `serde_json`, which reads the same lines into values.

use auditgate::proto::pb;
use auditgate::teleport::{self, LineOrdinals};
use prost::Message as _;
use serde_json::Value;

use crate::rounds::{Better, Duel, Row, Sample, Stopwatch};
use crate::{Result, Scale, events};

/// The measures of this file: of lines with a uid, and of lines whose id is made of their
/// content.
pub const NAMES: &[&str] = &["import_lines", "import_lines_without_uid"];

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let measure = |name: &'static str| {
        let lines = lines(scale, name == "import_lines")?;
        let peer = "serde_json, the same lines as Value";
        let duel = Duel { name, unit: "ns/line", better: Better::Less, peer };
        let mut ordinals = LineOrdinals::default();
        let import =
            || each(&lines, |line| Ok(teleport::import_line(line, &mut ordinals)?.encoded.len()));
        let parse = || each(&lines, |line| Ok(serde_json::from_str::<Value>(line)?.is_object()));
        duel.run(scale.rounds(), import, parse)
    };
    wanted.iter().map(|name| measure(name)).collect()
}

/// Lines of Teleport's log, as an export writes them.
fn lines(scale: Scale, with_uid: bool) -> Result<Vec<String>> {
    let events = events::encoded(0..scale.pick(100_000, 2_000));
    let line = |encoded: bytes::Bytes| {
        let mut event = pb::Event::decode(encoded)?;
        event.time.get_or_insert(prost_types::Timestamp { seconds: 1, nanos: 0 });
        if !with_uid {
            event.unmapped.insert("uid".to_owned(), String::new());
        }
        Ok(teleport::export(&event)?.to_string())
    };
    events.map(line).collect()
}

fn each<T>(lines: &[String], mut handle: impl FnMut(&str) -> Result<T>) -> Result<Sample> {
    let watch = Stopwatch::start();
    for line in lines {
        std::hint::black_box(handle(line)?);
    }
    let took = watch.stop();
    Ok(Sample { value: took.cpu.as_nanos() as f64 / lines.len() as f64, cpu: None })
}
