//! Measures the gateway against its peers.
//!
//! Each measure runs in turn with a peer that does the same without us, round
//! by round in one process, so that the ratio means something on a machine that
//! is busy with other things. `cargo bench --bench gateway -- --help` says how.

mod bare;
mod broker;
mod cold;
mod deliver;
mod durable;
mod emit;
mod evaluate;
mod events;
mod fanout;
mod filtered;
mod formats;
mod growth;
mod history;
mod import;
mod jetstream;
mod latency;
mod memory;
mod merkle;
mod nats;
mod redact;
mod report;
mod ring;
mod rounds;
mod search;
mod secured;
mod shared;
mod silent;
mod sqlite;
mod stage;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use rounds::Row;

/// What measures return: the message of an error is all that is done with it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measure the gateway against its peers, in turn.
#[derive(Debug, Parser)]
struct Args {
    /// Run the measure of this name, or those whose names begin with it.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,

    /// Write the results to this file as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Run each measure with tiny counts: shows that it works, not how fast.
    #[arg(long)]
    quick: bool,

    /// Be a process whose memory another one measures.
    #[arg(long, hide = true)]
    child: Option<memory::Child>,

    /// Be a process that opens the log in this directory.
    #[arg(long, hide = true, value_name = "DIR")]
    opens: Option<PathBuf>,

    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Measures that are set up together.
struct Group {
    names: &'static [&'static str],
    run: fn(&[&'static str], Scale) -> Result<Vec<Row>>,
}

const GROUPS: &[Group] = &[
    Group { names: emit::NAMES, run: emit::run },
    Group { names: durable::NAMES, run: durable::run },
    Group { names: deliver::NAMES, run: deliver::run },
    Group { names: jetstream::NAMES, run: jetstream::run },
    Group { names: shared::NAMES, run: shared::run },
    Group { names: fanout::NAMES, run: fanout::run },
    Group { names: broker::NAMES, run: broker::run },
    Group { names: filtered::NAMES, run: filtered::run },
    Group { names: latency::NAMES, run: latency::run },
    Group { names: search::NAMES, run: search::run },
    Group { names: cold::NAMES, run: cold::run },
    Group { names: growth::NAMES, run: growth::run },
    Group { names: memory::NAMES, run: memory::run },
    Group { names: merkle::NAMES, run: merkle::run },
    Group { names: silent::NAMES, run: silent::run },
    Group { names: ring::NAMES, run: ring::run },
    Group { names: secured::NAMES, run: secured::run },
    Group { names: redact::NAMES, run: redact::run },
    Group { names: formats::NAMES, run: formats::run },
    Group { names: import::NAMES, run: import::run },
];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Scale {
    quick: bool,
}

impl Scale {
    const ROUNDS: usize = 9;

    /// A count for measuring, or a tiny one.
    fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How often a measure and its peer run in turn.
    fn rounds(self) -> usize {
        self.pick(Self::ROUNDS, 1)
    }
}

fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    let scale = Scale { quick: args.quick };
    if let Some(child) = args.child {
        return memory::child(child, scale);
    }
    if let Some(path) = &args.opens {
        return cold::opens(path);
    }
    let selected = select(args.only.as_deref())?;
    check_events()?;
    let mut rows = Vec::new();
    for (group, names) in selected {
        rows.extend((group.run)(&names, scale)?);
    }
    report::print(&rows);
    if let Some(file) = &args.json {
        report::write(&rows, file)?;
    }
    Ok(())
}

/// The measures to run, by group: an exact name wins over a beginning.
fn select(only: Option<&str>) -> Result<Vec<(&'static Group, Vec<&'static str>)>> {
    let all = || GROUPS.iter().flat_map(|group| group.names);
    let exact = only.is_some_and(|only| all().any(|name| *name == only));
    let is_wanted = |name: &str| match only {
        None => true,
        Some(only) if exact => name == only,
        Some(only) => name.starts_with(only),
    };
    let selected: Vec<_> = GROUPS
        .iter()
        .map(|group| (group, group.names.iter().copied().filter(|name| is_wanted(name)).collect()))
        .filter(|(_, names): &(_, Vec<_>)| !names.is_empty())
        .collect();
    let names = || all().copied().collect::<Vec<_>>().join(", ");
    ensure(!selected.is_empty(), || format!("no measure has this name: there are {}", names()))?;
    Ok(selected)
}

/// The events are what they are said to be.
fn check_events() -> Result<()> {
    const SAMPLE: u64 = 10_000;
    let bytes: usize = events::encoded(0..SAMPLE).map(|event| event.len()).sum();
    let mean = bytes / SAMPLE as usize;
    ensure(events::MEAN_BYTES.contains(&mean), || {
        format!("the events have {mean} bytes on average, not {:?}", events::MEAN_BYTES)
    })
}

/// Fails with a message unless a condition holds.
fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(message().into()) }
}
