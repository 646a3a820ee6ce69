//! `docs/EVENTS.md` is what the protocol says.

use std::collections::BTreeSet;

use auditgate::{catalog, reference};

#[test]
fn the_page_is_current() {
    let page = include_str!("../../docs/EVENTS.md");
    assert!(
        page == reference::markdown(),
        "docs/EVENTS.md is not what the protocol says: renew it with \
         `cargo run -- types --markdown > docs/EVENTS.md`"
    );
}

#[test]
fn each_type_has_a_section_and_each_link_a_target() {
    let page = reference::markdown();
    let headings: Vec<&str> =
        page.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' ')).collect();
    for (_, event_type) in catalog::all() {
        assert!(headings.contains(&event_type.name), "{}", event_type.name);
    }
    let anchor = |heading: &str| heading.to_lowercase().replace('.', "").replace(' ', "-");
    let anchors: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches(['#', ' '])))
        .collect();
    let sections = page.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(anchors.len(), sections, "two sections with the same anchor");
    for target in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(anchors.contains(target), "#{target}");
    }
}
