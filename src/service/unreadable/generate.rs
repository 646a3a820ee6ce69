//! Generates random events and filters for the property.

use proptest::prelude::*;

use super::{BEGAN, SECOND, SECRET};
use crate::proto::pb::{self, event::Payload};
use crate::time::Time;

const TYPES: [&str; 7] =
    ["user.login", "exec", "session.start", "user.create", "custom.a", "custom.ab", "custom.b"];
const USERS: [&str; 3] = ["alice", "bob", ""];

/// One event, as far as it matters here.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) type_name: &'static str,
    pub(super) user: &'static str,
    pub(super) session: u8,
    pub(super) id: u8,
    pub(super) emitter: u8,
    pub(super) says_secret: bool,
    pub(super) failed: bool,
    /// Seconds before its acceptance.
    pub(super) age: u16,
    pub(super) padding: u16,
}

/// A record of both logs; a hidden one has an event for each log.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) spec: Spec,
    pub(super) other: Spec,
}

pub(super) fn spec() -> impl Strategy<Value = Spec> {
    let who = (prop::sample::select(&TYPES[..]), prop::sample::select(&USERS[..]), 0..3_u8);
    let what = (any::<bool>(), any::<bool>(), 0..100_u16, prop_oneof![0..40_u16, 0..9_000_u16]);
    (who, what, 0..20_u8, 0..3_u8).prop_map(|(who, what, id, emitter)| {
        let (type_name, user, session) = who;
        let (says_secret, failed, age, padding) = what;
        Spec { type_name, user, session, id, emitter, says_secret, failed, age, padding }
    })
}

pub(super) fn places() -> impl Strategy<Value = Vec<Place>> {
    let place = (spec(), spec()).prop_map(|(spec, other)| Place { spec, other });
    prop::collection::vec(place, 0..150)
}

pub(super) fn filter() -> impl Strategy<Value = pb::Filter> {
    let mut filters = vec![pb::Filter::default()];
    let mut add = |set: &dyn Fn(&mut pb::Filter)| {
        let mut filter = pb::Filter::default();
        set(&mut filter);
        filters.push(filter);
    };
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    for types in [&["*"] as &[_], &["user.*"], &["custom.a*"], &["exec"], &["*.start", "custom"]] {
        add(&|filter| filter.types = texts(types));
    }
    add(&|filter| filter.exclude_types = texts(&["exec", "custom.ab"]));
    add(&|filter| filter.users = texts(&["alice"]));
    add(&|filter| filter.users = texts(&["alice", "bob"]));
    add(&|filter| filter.session_ids = texts(&["s-1"]));
    add(&|filter| {
        filter.session_ids = texts(&["s-0", "s-1"]);
        filter.users = texts(&["bob"]);
    });
    add(&|filter| filter.text = SECRET.to_owned());
    add(&|filter| {
        filter.text = "4929".to_owned();
        filter.users = texts(&["alice"]);
    });
    add(&|filter| filter.expression = format!("event.outcome.error.contains('{SECRET}')"));
    // Fails on some.
    add(&|filter| filter.expression = "int(event.session.id) > 1 || type == 'exec'".to_owned());
    add(&|filter| filter.results = vec![pb::Result::Failure.into()]);
    add(&|filter| filter.min_severity = pb::Severity::Warning.into());
    add(&|filter| filter.categories = vec![pb::Category::User.into(), pb::Category::Custom.into()]);
    add(&|filter| filter.labels = [("env".to_owned(), "1".to_owned())].into());
    prop::sample::select(filters)
}

pub(super) fn event(spec: &Spec, place: usize, hidden: bool) -> (pb::Event, pb::Emitter) {
    let secret = if spec.says_secret { SECRET } else { "" };
    let time = Time(BEGAN + place as i64 * SECOND - i64::from(spec.age) * SECOND);
    let payload = match spec.type_name {
        "user.login" => Payload::UserLogin(pb::UserLogin::default()),
        "exec" => Payload::Exec(pb::Exec::default()),
        "session.start" => Payload::SessionStart(pb::SessionStart::default()),
        "user.create" => Payload::UserCreate(pb::UserCreate::default()),
        custom => Payload::Custom(pb::Custom {
            name: Some(custom.trim_start_matches("custom.").to_owned()),
            ..Default::default()
        }),
    };
    // Ids of readable records are their emitter's own; hidden ones may have the same.
    let id = if hidden { usize::from(spec.id) } else { place };
    let user = pb::User { name: Some(spec.user.to_owned()), ..Default::default() };
    let session = pb::Session { id: Some(format!("s-{}", spec.session)), ..Default::default() };
    let event = pb::Event {
        id: Some(format!("e-{id}")),
        time: Some(time.timestamp()),
        user: (!spec.user.is_empty()).then_some(user),
        session: (spec.session > 0).then_some(session),
        outcome: Some(pb::Outcome {
            success: Some(!spec.failed),
            error: Some(format!("{secret}{}", "x".repeat(usize::from(spec.padding)))),
            ..Default::default()
        }),
        labels: [("env".to_owned(), spec.session.to_string())].into(),
        payload: Some(payload),
        ..Default::default()
    };
    let principal = match hidden {
        true => format!("hidden-{}-{place}", spec.emitter),
        false => "app".to_owned(),
    };
    (event, pb::Emitter { principal, peer: String::new() })
}
