//! Conformance tests of finding records by event id.

use super::*;
use crate::filter::TypeSet;

/// The newest record with this id, of any type.
pub async fn find(log: &dyn Log, id: &str) -> Option<Sequence> {
    log.find(id, &Arc::new(TypeSet::all())).await.expect("readable")
}

pub async fn the_same_id_of_another_principal_is_another_event(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    let log = open(ROOMY).await;
    let by =
        |principal: &str, command: &str| draft_of(event("a", command).encode_to_vec(), principal);
    append(&log, vec![by("one", "ls")]).await;
    let other = append(&log, vec![by("two", "rm")]).await;
    assert_eq!((other[0].sequence, other[0].duplicate), (Sequence(2), false));
    assert!(append(&log, vec![by("one", "ls")]).await[0].duplicate);
    assert_eq!(find(&*log, "a").await, Some(Sequence(2)), "the newest with this id");
}

pub async fn records_are_found_by_id(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    for number in 0..500 {
        append(&log, vec![draft(&format!("id-{number}"), "ls")]).await;
    }
    assert_eq!(find(&*log, "id-0").await, Some(Sequence(1)));
    assert_eq!(find(&*log, "id-417").await, Some(Sequence(418)));
    assert_eq!(find(&*log, "id-500").await, None);
    let of_type = |pattern: &str| {
        let types = TypeSet::compile("types", &[pattern.to_owned()]).expect("a type");
        Arc::new(types)
    };
    let login = pb::Event {
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..event("id-7", "ls")
    };
    append(&log, vec![draft_of(login.encode_to_vec(), "other")]).await;
    assert_eq!(find(&*log, "id-7").await, Some(Sequence(501)), "the newest");
    assert_eq!(log.find("id-7", &of_type("exec")).await, Ok(Some(Sequence(8))));
    assert_eq!(log.find("id-7", &of_type("user.*")).await, Ok(Some(Sequence(501))));
    assert_eq!(log.find("id-7", &of_type("db.*")).await, Ok(None));
}
