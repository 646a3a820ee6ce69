//! Accept times that were raised since the clock had gone back.

use prost_types::Duration;

use super::*;

/// A directory in which the accept time of record 20 was raised, to that of the record
/// before or to another.
fn with_raised(nanos: i64) -> Directory {
    let mut records: Vec<_> = (1..=RECORDS).map(record).collect();
    let mut raised = pb::Record::decode(records[19].as_slice()).unwrap();
    raised.accept_time = Some(Time(1_700_000_000_000_000_000 + 19 + nanos).timestamp());
    raised.accept_time_raised = Some(Duration { seconds: 2_592_000, nanos: 0 });
    records[19] = raised.encode_to_vec();
    let directory = Directory { records, ..Directory::new(0) };
    directory.write_segments();
    directory.write_tree(RECORDS);
    directory
}

#[test]
fn an_accept_time_is_raised_to_that_of_the_record_before_and_no_further() {
    let report = with_raised(0).audit();
    assert!(report.is_good(), "{:#?}", report.findings);
    let report = with_raised(1).audit();
    blames(&report, 20);
    let told = report.findings.first().map(|finding| finding.what.as_str());
    assert!(told.unwrap().ends_with("it is not that of the record before it"), "{told:?}");
}
