//! `docs/MAPPINGS.md` is what the mapping tables say.

use auditgate::{catalog, reference};

#[test]
fn the_page_is_current() {
    let page = include_str!("../../docs/MAPPINGS.md");
    assert!(
        page == reference::mappings(),
        "docs/MAPPINGS.md is not what the tables in catalog/ say: renew it with \
         `cargo run -- types --mappings > docs/MAPPINGS.md`"
    );
}

#[test]
fn each_schema_has_a_row_for_each_type() {
    let page = reference::mappings();
    let sections: Vec<&str> = page.split(": types\n").skip(1).collect();
    assert_eq!(sections.len(), 4);
    for section in sections {
        for (_, event_type) in catalog::all() {
            let row = format!("\n| `{}` |", event_type.name);
            assert_eq!(section.matches(&row).count(), 1, "{row}");
        }
    }
}
