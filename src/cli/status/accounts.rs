//! Describes the memory accounts of clients in one line.

use crate::cli::numbers::counted;
use crate::cli::units::size;
use crate::proto::pb;

/// The memory that clients hold, and the client that holds most.
pub fn clients(status: &pb::GetStatusResponse) -> Option<String> {
    let most = status.accounts.first()?;
    let (all, of_most) = (held(status.holding.as_ref()?), held(most.holding.as_ref()?));
    let count = counted(status.account_count, "client");
    Some(format!("{} held by {count}, {} by {}", size(all), size(of_most), most.client))
}

fn held(holding: &pb::MemoryHolding) -> u64 {
    let pb::MemoryHolding {
        connection_bytes,
        call_bytes,
        receiving_bytes,
        filter_bytes,
        room_bytes,
        read_bytes,
    } = holding;
    connection_bytes + call_bytes + receiving_bytes + filter_bytes + room_bytes + read_bytes
}
