//! Search and GetRecord over the wire.

use crate::support::{self, Client, Tail, after, at, gap, numbered, pb, search, sequences};
use pb::get_record_request::Key;
use prost::Message as _;
use tonic::{Code, Status};

/// What gRPC clients take unless told otherwise.
const CLIENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// No search here takes more pages.
const PAGES_MAX: usize = 50;

/// A search with pages of seven records.
fn in_order(order: pb::Order) -> pb::SearchRequest {
    pb::SearchRequest { order: order.into(), page_size: 7, ..Default::default() }
}

/// The pages from `request` on; `between` runs before each but the first.
async fn pages(
    client: &mut Client,
    mut request: pb::SearchRequest,
    mut between: impl AsyncFnMut(&mut Client),
) -> Vec<pb::SearchResponse> {
    let mut pages: Vec<pb::SearchResponse> = Vec::new();
    loop {
        let page = search(client, request.clone()).await;
        request.page_token.clone_from(&page.next_page_token);
        pages.push(page);
        if request.page_token.is_empty() {
            return pages;
        }
        assert!(pages.len() < PAGES_MAX, "the search does not end");
        between(client).await;
    }
}

fn found(pages: &[pb::SearchResponse]) -> Vec<u64> {
    pages.iter().flat_map(|page| sequences(&page.records)).collect()
}

/// Emits ten events each time it is called.
fn emitting(from: u64) -> impl AsyncFnMut(&mut Client) {
    let mut next = from;
    async move |client: &mut Client| {
        support::emit_all(client, numbered(next..=next + 9)).await;
        next += 10;
    }
}

#[tokio::test]
async fn pages_neither_repeat_nor_miss_while_events_arrive() {
    for order in [pb::Order::NewestFirst, pb::Order::OldestFirst] {
        let gateway = support::start().await;
        let mut client = support::connect(&gateway).await;
        support::emit_all(&mut client, numbered(1..=120)).await;
        let pages = pages(&mut client, in_order(order), emitting(121)).await;
        let mut expected: Vec<_> = (1..=120).collect();
        if order == pb::Order::NewestFirst {
            expected.reverse();
        }
        assert_eq!(found(&pages), expected, "{order:?}");
        assert!(pages.iter().all(|page| page.records.len() <= 7 && page.gaps.is_empty()));
        assert!(pages.iter().map(|page| page.examined).sum::<u64>() >= 120);
        assert!(support::status(&mut client).await.last_sequence > 120);

        // Each page's cursor goes on where the log ended at the first page.
        for page in &pages {
            assert_eq!(page.cursor, pages[0].cursor);
        }
        let (mut tail, _) = Tail::begin(&mut client, after(&pages[0].cursor)).await;
        assert_eq!(sequences(&tail.records(170).await), (121..=290).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_empty_log_has_one_empty_page_whose_cursor_misses_nothing() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let page = search(&mut client, pb::SearchRequest::default()).await;
    assert!(page.records.is_empty() && page.next_page_token.is_empty());
    support::emit_all(&mut client, numbered(1..=2)).await;
    let (mut tail, _) = Tail::begin(&mut client, after(&page.cursor)).await;
    assert_eq!(sequences(&tail.records(2).await), [1, 2]);
}

#[tokio::test]
async fn what_is_evicted_between_pages_is_a_gap() {
    for order in [pb::Order::NewestFirst, pb::Order::OldestFirst] {
        let gateway = support::start_small().await;
        let mut client = support::connect(&gateway).await;
        support::emit_all(&mut client, numbered(1..=60)).await;
        let pages = pages(&mut client, in_order(order), emitting(61)).await;
        let gaps: Vec<_> = pages.iter().flat_map(|page| page.gaps.clone()).collect();
        assert!(!gaps.is_empty(), "{order:?}: the ring has moved past the search");
        // Records and gaps together are what there was, once.
        let mut told = found(&pages);
        for found in &gaps {
            assert_eq!(found.reason(), pb::GapReason::Evicted);
            told.extend(found.first_sequence..=found.last_sequence);
        }
        if order == pb::Order::OldestFirst {
            assert!(found(&pages).is_sorted());
        } else {
            assert!(found(&pages).is_sorted_by(|a, b| a > b));
        }
        told.sort_unstable();
        assert_eq!(told, (1..=60).collect::<Vec<_>>(), "{order:?}");
    }
}

#[tokio::test]
async fn a_search_that_was_evicted_as_a_whole_is_one_gap() {
    for order in [pb::Order::NewestFirst, pb::Order::OldestFirst] {
        let gateway = support::start_small().await;
        let mut client = support::connect(&gateway).await;
        support::emit_all(&mut client, numbered(1..=20)).await;
        let first = search(&mut client, in_order(order)).await;
        for number in 21..=300 {
            support::emit_all(&mut client, numbered(number..=number)).await;
        }
        let request =
            pb::SearchRequest { page_token: first.next_page_token.clone(), ..in_order(order) };
        let second = search(&mut client, request).await;
        assert!(second.records.is_empty() && second.next_page_token.is_empty());
        let expected = match order {
            pb::Order::OldestFirst => gap(8, 20, pb::GapReason::Evicted),
            _ => gap(1, 13, pb::GapReason::Evicted),
        };
        assert_eq!(second.gaps, [expected], "{order:?}");
    }
}

#[tokio::test]
async fn a_page_is_no_larger_than_clients_take() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    for number in 0..12 {
        support::emit(&mut client, support::large(&format!("e-{number}"), 900_000)).await;
    }
    let request = pb::SearchRequest { page_size: 1_000, ..Default::default() };
    let pages = pages(&mut client, request, async |_| {}).await;
    assert_eq!(found(&pages), (1..=12).rev().collect::<Vec<_>>());
    assert_eq!(pages.len(), 3, "four of them fit a page");
    assert!(pages.iter().all(|page| page.encoded_len() < CLIENT_BYTES_MAX));
}

#[tokio::test]
async fn page_sizes_have_a_default_and_a_limit() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, numbered(1..=1_100)).await;
    for (asked, got) in [(0, 50), (1, 1), (1_000, 1_000), (5_000, 1_000), (i32::MAX, 1_000)] {
        let request = pb::SearchRequest { page_size: asked, ..Default::default() };
        assert_eq!(search(&mut client, request).await.records.len(), got, "asked for {asked}");
    }
}

#[tokio::test]
async fn times_are_the_events_own_and_the_end_is_outside() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_at(&mut client, &[300, 100, 200, 400]).await;
    let before_1970 = at(-1_000);
    let rows = [
        (None, None, vec![1, 2, 3, 4]),
        (at(200), None, vec![1, 3, 4]),
        (None, at(200), vec![2]),
        (at(100), at(300), vec![2, 3]),
        (at(401), None, vec![]),
        (before_1970, at(250), vec![2, 3]),
        (at(350), at(253_402_300_799), vec![4]),
    ];
    for (start_time, end_time, expected) in rows {
        let request = pb::SearchRequest {
            start_time,
            end_time,
            order: pb::Order::OldestFirst.into(),
            ..Default::default()
        };
        assert_eq!(sequences(&search(&mut client, request.clone()).await.records), expected);
        let request = pb::CountRecordsRequest { start_time, end_time, ..Default::default() };
        let counted = client.count_records(request).await.expect("counted").into_inner();
        let total: i64 = counted.buckets[0].counts.values().sum();
        assert_eq!(total, expected.len() as i64, "{start_time:?} to {end_time:?}");
    }
}

async fn get(client: &mut Client, key: Key) -> Result<pb::Record, Status> {
    let response =
        support::soon(client.get_record(pb::GetRecordRequest { key: Some(key) })).await?;
    Ok(response.into_inner().record.expect("a record"))
}

#[tokio::test]
async fn one_record_is_found_by_id_and_by_sequence() {
    let gateway = support::start_small().await;
    let mut client = support::connect(&gateway).await;
    let empty = get(&mut client, Key::Sequence(1)).await.expect_err("nothing is kept");
    assert_eq!(empty.message(), "record 1 is not kept: no record is");
    let without_id = pb::Event { id: None, ..support::login("", "alice") };
    let given = support::emit(&mut client, without_id).await.id;
    support::emit_all(&mut client, numbered(2..=3)).await;

    let page = search(&mut client, pb::SearchRequest::default()).await;
    for record in page.records {
        let by_sequence = get(&mut client, Key::Sequence(record.sequence)).await;
        assert_eq!(by_sequence.expect("kept"), record);
        let id = record.event.as_ref().unwrap().id().to_owned();
        assert_eq!(get(&mut client, Key::Id(id)).await.expect("kept"), record);
    }
    assert_eq!(get(&mut client, Key::Id(given.clone())).await.expect("kept").sequence, 1);

    for number in 4..=200 {
        support::emit_all(&mut client, numbered(number..=number)).await;
    }
    let kept = support::status(&mut client).await.first_sequence;
    let rows = [
        (Key::Id("nobody's".into()), "no record with the id \"nobody's\" is kept".to_owned()),
        (Key::Id(given.clone()), format!("no record with the id {given:?} is kept")),
        (Key::Sequence(0), format!("record 0 is not kept: those from {kept} to 200 are")),
        (Key::Sequence(1), format!("record 1 is not kept: those from {kept} to 200 are")),
        (Key::Sequence(201), format!("record 201 is not kept: those from {kept} to 200 are")),
        (
            Key::Sequence(u64::MAX),
            format!("record {} is not kept: those from {kept} to 200 are", u64::MAX),
        ),
    ];
    for (key, sentence) in rows {
        let refused = get(&mut client, key).await.expect_err("not kept");
        assert_eq!((refused.code(), refused.message()), (Code::NotFound, sentence.as_str()));
    }
}
