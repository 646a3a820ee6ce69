//! Events of many kinds, and filters of many kinds, each said twice: as the
//! gateway has it, and in the plainest way.

use crate::support::{Random, pb};
use pb::event::Payload;

const USERS: [&str; 12] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory",
    "trent",
];
const CITIES: [&str; 4] = ["Oslo", "Lima", "Kyoto", "Quito"];

fn filled<T: Default>() -> T {
    T::default()
}

/// An event of some kind: type, user, code, outcome, labels and trace vary.
pub fn some_event(random: &mut Random, id: String) -> pb::Event {
    let payload = match random.below(7) {
        0 => Payload::UserLogin(filled()),
        1 => Payload::Exec(filled()),
        2 => Payload::SessionCommand(pb::SessionCommand {
            path: Some(format!("/usr/bin/{}", random.one_of(&["vim", "curl", "Bash"]))),
            ..filled()
        }),
        3 => Payload::SessionConnect(filled()),
        4 => Payload::UserCreate(filled()),
        5 => Payload::CertGenerationMismatch(filled()),
        _ => Payload::Custom(pb::Custom { name: Some("door.open".into()), data: None }),
    };
    let code = [None, Some("T1000I"), Some("T1000W")];
    let success = [None, Some(true), Some(false)];
    pb::Event {
        id: Some(id),
        code: random.one_of(&code).map(str::to_owned),
        cluster_name: Some(format!("cluster-{}", random.below(5))),
        user: Some(pb::User {
            name: Some((*random.one_of(&USERS)).to_owned()),
            impersonator: (random.below(5) == 0).then(|| (*random.one_of(&USERS)).to_owned()),
            ..filled()
        }),
        session: Some(pb::Session { id: Some(format!("s-{}", random.below(20))), ..filled() }),
        outcome: Some(pb::Outcome { success: *random.one_of(&success), ..filled() }),
        labels: [
            ("city".to_owned(), (*random.one_of(&CITIES)).to_owned()),
            ("tier".to_owned(), random.below(3).to_string()),
        ]
        .into(),
        payload: Some(payload),
        ..filled()
    }
}

/// Whether a record, whose event is given, is wished for.
pub type Matches = Box<dyn Fn(&pb::Record, &pb::Event) -> bool + Send + Sync>;

/// A filter, and the same said again in the plainest way.
pub struct Wish {
    pub filter: pb::Filter,
    pub matches: Matches,
}

fn wish(
    filter: pb::Filter,
    matches: impl Fn(&pb::Record, &pb::Event) -> bool + Send + Sync + 'static,
) -> Wish {
    Wish { filter, matches: Box::new(matches) }
}

fn acts(event: &pb::Event, name: &str) -> bool {
    event.user.as_ref().is_some_and(|user| user.name() == name || user.impersonator() == name)
}

/// The wish of the subscriber with this number: eight kinds of them, each with
/// values that vary.
pub fn wish_of(number: usize) -> Wish {
    let mut random = Random(number as u64);
    let user = *random.one_of(&USERS);
    let users = vec![user.to_owned()];
    let city = *random.one_of(&CITIES);
    let session = format!("s-{}", random.below(20));
    match number % 50 {
        0 => wish(pb::Filter::default(), |_, _| true),
        1 => wish(
            pb::Filter {
                expression: format!("event.user.name == '{user}' && result == 'failure'"),
                ..filled()
            },
            move |record, event| {
                event.user.as_ref().is_some_and(|found| found.name() == user)
                    && record.result() == pb::Result::Failure
            },
        ),
        number => match number % 7 {
            0 => wish(
                pb::Filter { types: vec!["user.*".into(), "exec".into()], users, ..filled() },
                move |record, event| {
                    (record.r#type.starts_with("user.") || record.r#type == "exec")
                        && acts(event, user)
                },
            ),
            1 => wish(
                pb::Filter {
                    exclude_types: vec!["session.*".into()],
                    session_ids: vec![session.clone()],
                    ..filled()
                },
                move |record, event| {
                    !record.r#type.starts_with("session.")
                        && event.session.as_ref().is_some_and(|found| found.id() == session)
                },
            ),
            2 => wish(
                pb::Filter {
                    labels: [
                        ("city".to_owned(), city.to_owned()),
                        ("tier".to_owned(), "1".to_owned()),
                    ]
                    .into(),
                    ..filled()
                },
                move |_, event| event.labels["city"] == city && event.labels["tier"] == "1",
            ),
            3 => wish(
                pb::Filter { min_severity: pb::Severity::Warning.into(), users, ..filled() },
                move |record, event| {
                    record.severity >= pb::Severity::Warning as i32 && acts(event, user)
                },
            ),
            4 => wish(
                pb::Filter {
                    text: city.to_uppercase(),
                    types: vec!["custom.door.open".into()],
                    ..filled()
                },
                move |record, event| {
                    record.r#type == "custom.door.open" && event.labels["city"] == city
                },
            ),
            5 => wish(
                pb::Filter {
                    results: vec![pb::Result::Success.into()],
                    cluster_names: vec!["cluster-0".into(), "cluster-3".into()],
                    ..filled()
                },
                |record, event| {
                    record.result() == pb::Result::Success
                        && ["cluster-0", "cluster-3"].contains(&event.cluster_name())
                },
            ),
            _ => wish(
                pb::Filter {
                    codes: vec!["T1000W".into()],
                    categories: vec![pb::Category::User.into(), pb::Category::Session.into()],
                    ..filled()
                },
                |record, event| {
                    let family = record.r#type.split('.').next().unwrap_or_default();
                    event.code() == "T1000W" && ["user", "session"].contains(&family)
                },
            ),
        },
    }
}
