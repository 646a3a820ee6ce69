//! CountRecords over the wire.

use crate::support::{self, Client, Tail, at, earliest, emit_at, numbered, pb};

async fn count(client: &mut Client, request: pb::CountRecordsRequest) -> Vec<(i64, i64)> {
    let counted = support::soon(client.count_records(request)).await.expect("counted");
    let buckets = counted.into_inner().buckets.into_iter();
    buckets
        .map(|bucket| {
            (bucket.start_time.expect("a time").seconds, bucket.counts.values().sum::<i64>())
        })
        .collect()
}

#[tokio::test]
async fn buckets_begin_at_multiples_of_their_length() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    emit_at(&mut client, &[59, 60, 61, 119, 120, 600]).await;
    let bucket = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let all = pb::CountRecordsRequest { bucket, ..Default::default() };
    assert_eq!(count(&mut client, all).await, [(0, 1), (60, 3), (120, 1), (600, 1)]);
    // A range that begins within a bucket counts only what is in the range.
    let part = pb::CountRecordsRequest { bucket, start_time: at(61), ..Default::default() };
    assert_eq!(count(&mut client, part).await, [(60, 2), (120, 1), (600, 1)]);
}

#[tokio::test]
async fn without_a_bucket_there_is_one() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let mut expected = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let request = pb::CountRecordsRequest { start_time: at(1), ..Default::default() };
        let counted = client.count_records(request).await.expect("counted").into_inner();
        let [bucket] = counted.buckets.as_slice() else { panic!("{counted:?}") };
        assert_eq!(bucket.start_time, at(1));
        assert_eq!(bucket.counts, expected);
        support::emit_all(&mut client, numbered(1..=3)).await;
        expected.insert("user.login".to_owned(), 3);
    }
}

#[tokio::test]
async fn counts_are_by_type_and_custom_types_by_name() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let custom = |name: &str| {
        let name = Some(name.to_owned());
        pb::event::Payload::Custom(pb::Custom { name, data: None })
    };
    let payloads = [
        pb::event::Payload::Exec(pb::Exec::default()),
        custom("billing.refund"),
        pb::event::Payload::UserLogin(pb::UserLogin::default()),
        custom("billing.refund"),
        custom("door.open"),
    ];
    let events = payloads.map(|payload| pb::Event { payload: Some(payload), ..Default::default() });
    support::emit_all(&mut client, events.to_vec()).await;
    let counted = client.count_records(pb::CountRecordsRequest::default()).await.expect("counted");
    let expected =
        [("custom.billing.refund", 2), ("custom.door.open", 1), ("exec", 1), ("user.login", 1)];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(counted.into_inner().buckets[0].counts, expected.into());
    // The same names are in the records.
    let (mut tail, _) = Tail::begin(&mut client, earliest()).await;
    let types: Vec<_> = tail.records(5).await.into_iter().map(|record| record.r#type).collect();
    assert_eq!(types[1], "custom.billing.refund");
}
