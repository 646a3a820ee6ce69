//! Conformance tests of repeated events: what counts as a repeat, and what the comparison costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;

use super::{ALL, CHECK_EACH, EACH, ROOMY, append, draft, draft_of, event};
use crate::log::{Append, Appended, Bounds, Conflict, ConflictReason, Error, Log};
use crate::proto::pb;
use crate::record::{Draft, Sequence};

/// An event of some bytes in many fields, the most work to compare.
fn large(id: &str, bytes: usize, first: &str) -> pb::Event {
    let labels = (0..bytes / 16).map(|number| (format!("{number:06}"), first.to_owned()));
    pb::Event { labels: labels.collect(), ..event(id, "ls") }
}

/// The same event, its fields in another order.
fn reordered(event: &pb::Event) -> Vec<u8> {
    let rest = pb::Event { labels: event.labels.clone(), ..pb::Event::default() };
    let first = pb::Event { labels: Default::default(), ..event.clone() };
    [first.encode_to_vec(), rest.encode_to_vec()].concat()
}

fn outcomes(placed: &[Appended]) -> Vec<Result<(u64, bool), Option<u64>>> {
    let outcome = |placed: &Appended| match placed {
        Ok(placed) => Ok((placed.sequence.0, placed.duplicate)),
        Err(conflict) => Err(conflict.sequence.map(|sequence| sequence.0)),
    };
    placed.iter().map(outcome).collect()
}

/// Each draft gets the outcome that it would get alone, whatever precedes it.
pub async fn drafts_with_one_key_are_each_compared_with_the_record(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    let log = open(ROOMY).await;
    append(&log, vec![draft("a", "ls")]).await;
    let backwards = |id: &str| {
        let mut bytes = pb::Event { id: None, ..event(id, "ls") }.encode_to_vec();
        bytes.extend(pb::Event { id: Some(id.into()), ..Default::default() }.encode_to_vec());
        draft_of(bytes, "")
    };
    let drafts = vec![
        draft("a", "rm"),
        draft("a", "ls"),
        backwards("a"),
        draft("a", "rm"),
        backwards("b"),
        draft("b", "rm"),
        draft("b", "ls"),
    ];
    let expected = [
        Err(Some(1)),
        Ok((1, true)),
        Ok((1, true)),
        Err(Some(1)),
        Ok((2, false)),
        Err(None),
        Ok((2, true)),
    ];
    let placed = log.append(&drafts, EACH).await.expect("each by itself");
    assert_eq!(outcomes(&placed), expected);
    // Once more: `b` is a record now.
    let placed = log.append(&drafts, EACH).await.expect("each by itself");
    assert_eq!(outcomes(&placed)[4..], [Ok((2, true)), Err(Some(2)), Ok((2, true))]);
    let refused = log.append(&drafts, ALL).await;
    assert!(matches!(refused, Err(Error::Conflict(Conflict { position: 1, .. }))), "{refused:?}");
    assert_eq!(log.extent().last, Sequence(2));
}

pub async fn a_large_repeat_in_another_order_is_a_repeat(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    let log = open(ROOMY).await;
    // Larger than what is compared on the spot.
    let whole = large("large", 300_000, "x");
    append(&log, vec![draft_of(whole.encode_to_vec(), "")]).await;
    let other = large("large", 300_000, "y");
    let drafts = vec![
        draft_of(reordered(&whole), ""),
        draft_of(reordered(&other), ""),
        draft_of(whole.encode_to_vec(), ""),
        draft("new", "ls"),
    ];
    let placed = log.append(&drafts, EACH).await.expect("each by itself");
    let expected = [Ok((1, true)), Err(Some(1)), Ok((1, true)), Ok((2, false))];
    assert_eq!(outcomes(&placed), expected);
}

/// Ten thousand events of a few bytes, with the id of a large one: that is kept, or
/// comes first in the same call. What takes long here takes minutes if the large one is
/// copied or compared for each of them.
pub async fn small_repeats_of_a_large_record_are_cheap(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    let whole = draft_of(large("large", 1_000_000, "x").encode_to_vec(), "");
    let small: Vec<Draft> = (0..10_000).map(|number| draft("large", &number.to_string())).collect();
    let first = || std::iter::once(whole.clone()).chain(small.clone()).collect::<Vec<_>>();
    let begun = Instant::now();
    for validate_only in [true, false] {
        let placed =
            log.append(&first(), Append::Each { validate_only }).await.expect("each by itself");
        assert!(placed[0].is_ok() && placed[1..].iter().all(Result::is_err));
        let refused = log.append(&first(), Append::AllOrNothing { validate_only }).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }
    for validate_only in [true, false] {
        let placed =
            log.append(&small, Append::Each { validate_only }).await.expect("each by itself");
        let taken = |placed: &Appended| {
            placed.as_ref().is_err_and(|conflict| conflict.sequence == Some(Sequence(1)))
        };
        assert!(placed.iter().all(taken));
        let refused = log.append(&small, Append::AllOrNothing { validate_only }).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }
    assert_eq!(log.extent().last, Sequence(1));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// A call whose events have the ids of many records that are long to look at pays for
/// that, until it may not use more.
pub async fn a_comparison_is_bounded_by_what_was_handed_in(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    const RECORDS: usize = 12;
    let log = open(ROOMY).await;
    // The id comes last, so all of the event is read to find it.
    let padded = |id: &str| {
        let event = pb::Event { id: None, ..event(id, "ls") };
        let mut bytes = event.encode_to_vec();
        while bytes.len() < 1_000_000 {
            // An empty `labels`, again and again.
            bytes.extend_from_slice(&[14 << 3 | 2, 0]);
        }
        bytes.extend(pb::Event { id: Some(id.into()), ..Default::default() }.encode_to_vec());
        draft_of(bytes, "")
    };
    for number in 0..RECORDS {
        append(&log, vec![padded(&number.to_string())]).await;
    }
    let small: Vec<Draft> = (0..RECORDS).map(|number| draft(&number.to_string(), "rm")).collect();
    let placed = log.append(&small, CHECK_EACH).await.expect("each by itself");
    let reasons: Vec<_> = placed
        .iter()
        .map(|placed| placed.as_ref().map_err(|conflict| conflict.reason).expect_err("taken"))
        .collect();
    let unchecked = reasons.iter().filter(|reason| **reason == ConflictReason::Unchecked).count();
    assert!(reasons.starts_with(&[ConflictReason::Content; 4]), "{reasons:?}");
    assert_eq!(unchecked, RECORDS - 4, "4 MiB are enough for four: {reasons:?}");
    // What is sent pays for itself.
    let again: Vec<Draft> = (0..3).map(|number| padded(&number.to_string())).collect();
    let placed = log.append(&again, ALL).await.expect("repeats");
    assert!(placed.iter().flatten().all(|receipt| receipt.duplicate));
}
