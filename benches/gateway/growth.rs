//! How much longer a search takes in a history ten times as long.

use crate::history::{History, Wanted};
use crate::rounds::{Better, Duel, Row};
use crate::{Result, Scale};

/// The measures of this file.
pub const NAMES: &[&str] = &["search_growth"];

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(_: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let short = History::new(scale.pick(400_000, 10_000))?;
    let long = History::new(scale.pick(4_000_000, 100_000))?;
    let searches = scale.pick(400, 5);
    let rare_type = vec![Wanted::rare_type(); searches];
    let user: Vec<Wanted> = (0..searches as u64).map(Wanted::user).collect();
    let duel = |name, wanted: &[Wanted]| {
        let duel =
            Duel { name, unit: "us p50", better: Better::Less, peer: "a tenth of the records" };
        duel.run(scale.rounds(), || long.search_all(wanted), || short.search_all(wanted))
    };
    let rows = [duel("search_growth", &rare_type)?, duel("search_growth", &user)?];
    // The worse of the two stands for both.
    let ratio = |row: &Row| row.peer.as_ref().map_or(0.0, |peer| peer.ratio.median);
    Ok(rows.into_iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b))).into_iter().collect())
}
