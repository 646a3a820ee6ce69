//! A configuration file: it is refused with a sentence, or can be shown. Beside it what
//! stands in other files and in flags: sizes, times, keys of HMACs.
#![no_main]

use std::sync::LazyLock;

use auditgate::config::{ByteSize, LoadedSettings, Overrides, Period, display};
use auditgate::content::HmacKeys;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| NamedTempFile::new().expect("a file"));

fuzz_target!(|text: &str| {
    if let Ok(bytes) = text.parse::<ByteSize>() {
        assert_eq!(bytes.to_string().parse(), Ok(bytes));
    }
    if let Ok(period) = text.parse::<Period>() {
        assert_eq!(period.to_string().parse(), Ok(period));
    }
    let _ = HmacKeys::parse(text);
    std::fs::write(FILE.path(), text).expect("written");
    match LoadedSettings::read(Some(FILE.path()), &Overrides::default()) {
        Ok(loaded) => assert!(!display(&loaded).is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
