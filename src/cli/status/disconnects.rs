//! Draws the connections and streams that ended lately.

use crate::cli::columns::{Cell, Column, Grid};
use crate::cli::{escape, times};
use crate::proto::pb;

use super::Screen;

/// The table: its headings and at most `most` rows.
pub fn lines(status: &pb::GetStatusResponse, screen: &Screen, most: usize) -> Vec<String> {
    let rows: Vec<Vec<Cell>> =
        status.disconnects.iter().take(most).map(|one| row(one, screen)).collect();
    let columns = vec![
        Column::new("ENDED", 14, 14),
        Column::new("WHAT", 12, 12),
        Column::new("PRINCIPAL", 10, 24),
        Column::new("PEER", 12, 22),
        Column::new("REASON", 12, 30),
    ];
    let mut grid = Grid::new(columns, screen.width);
    grid.fit(rows.iter().map(Vec::as_slice));
    let rows = rows.iter().map(|row| grid.line(row, screen.color));
    std::iter::once(grid.headings(screen.color)).chain(rows).collect()
}

fn row(ended: &pb::Disconnect, screen: &Screen) -> Vec<Cell> {
    let time = ended.time.map(|time| times::format(&time, &screen.zone, "%m-%d %T"));
    let what = match ended.kind() {
        pb::DisconnectKind::Unspecified => "-",
        pb::DisconnectKind::Connection => "connection",
        pb::DisconnectKind::Subscription => "subscription",
        pb::DisconnectKind::EmitStream => "emit stream",
    };
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let texts = [
        time.unwrap_or_default(),
        what.to_owned(),
        or_none(&ended.principal),
        or_none(&ended.peer),
        sentence(&ended.reason),
    ];
    texts.map(|text| Cell::plain(escape::escaped(&text))).to_vec()
}

/// Explains reasons whose names say little.
fn sentence(reason: &str) -> String {
    match reason {
        "client_left" => "the client left".to_owned(),
        "not_reading" => "the client did not read".to_owned(),
        "silent" => "no HTTP/2 preface in time".to_owned(),
        "unfinished" => "frame or headers unfinished".to_owned(),
        "idle_frames" => "too many empty frames".to_owned(),
        reason => reason.to_owned(),
    }
}
