//! The file of records that a destination refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::delivery::batch::ItemSource;
use crate::delivery::destination::Rejection;
use crate::hub::{Gap, GapReason};
use crate::log::disk::storage::FILE_MODE;
use crate::printable::Printable;
use crate::record::Sequence;
use crate::text::truncated;
use crate::time::Time;

/// The most bytes of the dead letters of one delivery. A delivery that would exceed it is blocked.
pub const DEAD_LETTER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most bytes of a destination's answer that are kept.
pub const WORDS_BYTES_MAX: usize = 1024;

/// Records that a destination refused, and why: a file of JSON lines.
#[derive(Debug)]
pub struct DeadLetters {
    file: PathBuf,
    /// The file of letters that are being sent again.
    replayed: PathBuf,
    count: u64,
    bytes: u64,
    bytes_max: u64,
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The stable id of the record or gap.
    pub id: String,
    /// Its sequence, or the first one of a gap.
    pub sequence: u64,
    /// The last sequence of a gap; 0 if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sequence: Option<u64>,
    /// Why there is a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the destination refused it.
    pub time: String,
    /// The status of the answer, such as `400`.
    pub status: String,
    /// The text of the answer.
    pub words: String,
    /// The encoded `auditgate.v1.Record`, in base64; absent for a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

/// Why a dead letter cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The file would become too large.
    #[error(
        "the dead letters have reached their limit of {limit} bytes: see what the destination refuses, fix it, and run auditgate delivery replay"
    )]
    Full {
        /// The limit.
        limit: u64,
    },
    /// The file cannot be written.
    #[error("cannot write the dead letters: {0}")]
    Unwritable(#[from] io::Error),
}

impl DeadLetters {
    /// Opens the dead letters of the delivery `name` in a directory. Letters of an interrupted
    /// replay become dead letters again.
    ///
    /// # Errors
    /// The error of the system.
    pub fn open(directory: &Path, name: &str) -> io::Result<Self> {
        let mut letters = Self {
            file: directory.join(format!("{name}.dead")),
            replayed: directory.join(format!("{name}.replay")),
            count: 0,
            bytes: 0,
            bytes_max: DEAD_LETTER_BYTES_MAX,
        };
        letters.restore()?;
        Ok(letters)
    }

    /// Makes the letters of an interrupted replay dead letters again, and counts all.
    fn restore(&mut self) -> io::Result<()> {
        // A line that a crash cut off is removed first, because appended text would become part of
        // it.
        self.recount()?;
        if let Ok(interrupted) = fs::read(&self.replayed) {
            let mut file = self.append()?;
            file.write_all(&interrupted)?;
            file.sync_all()?;
            fs::remove_file(&self.replayed)?;
            self.recount()?;
        }
        Ok(())
    }

    /// The number of dead letters.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The size of the file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps letters. On return they are on stable storage.
    ///
    /// # Errors
    /// If they would exceed the limit, or the file cannot be written; then none is kept.
    pub fn keep(&mut self, letters: &[DeadLetter]) -> Result<(), DeadLetterError> {
        let mut lines = Vec::new();
        for letter in letters {
            serde_json::to_writer(&mut lines, letter).map_err(io::Error::from)?;
            lines.push(b'\n');
        }
        if self.bytes + lines.len() as u64 > self.bytes_max {
            return Err(DeadLetterError::Full { limit: self.bytes_max });
        }
        let mut file = self.append()?;
        if let Err(error) = file.write_all(&lines).and_then(|()| file.sync_all()) {
            // Partly written letters would be read as damaged lines.
            let _ = file.set_len(self.bytes);
            return Err(error.into());
        }
        self.count += letters.len() as u64;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Moves all letters to another file, to send them again; [`DeadLetters::end_replay`] ends the
    /// replay. `None` if there are none. No other replay may be active.
    ///
    /// # Errors
    /// The error of the system.
    pub fn begin_replay(&mut self) -> io::Result<Option<Replay>> {
        if self.replayed.exists() {
            self.restore()?;
        }
        if self.count == 0 {
            return Ok(None);
        }
        fs::rename(&self.file, &self.replayed)?;
        self.sync_directory()?;
        (self.count, self.bytes) = (0, 0);
        let lines = BufReader::new(File::open(&self.replayed)?);
        Ok(Some(Replay { lines }))
    }

    /// Ends a replay, after all readable letters are delivered or dead letters again. If some are
    /// damaged, their file is kept for a person, and its new name returned.
    ///
    /// # Errors
    /// The error of the system.
    pub fn end_replay(&mut self, some_are_damaged: bool) -> io::Result<Option<PathBuf>> {
        if !some_are_damaged {
            fs::remove_file(&self.replayed)?;
            return Ok(None);
        }
        let mut names = (1..).map(|number| self.file.with_extension(format!("damaged-{number}")));
        let Some(kept) = names.find(|name| !name.exists()) else { return Ok(None) };
        fs::rename(&self.replayed, &kept)?;
        self.sync_directory()?;
        Ok(Some(kept))
    }

    /// Opens the file for appending. A new file is made durable.
    fn append(&self) -> io::Result<File> {
        let is_new = !self.file.exists();
        let file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(&self.file)?;
        if is_new {
            self.sync_directory()?;
        }
        Ok(file)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    fn recount(&mut self) -> io::Result<()> {
        (self.count, self.bytes) = (0, 0);
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if line.last() != Some(&b'\n') {
                // The end of a write that a crash cut off: the record will be sent again.
                self.append()?.set_len(self.bytes)?;
                break;
            }
            self.bytes += line.len() as u64;
            self.count += 1;
            line.clear();
        }
        Ok(())
    }
}

/// Dead letters that are being sent again.
#[derive(Debug)]
pub struct Replay {
    lines: BufReader<File>,
}

impl Replay {
    /// The next letter; `None` after the last one. Damaged lines are skipped and counted in
    /// `damaged`.
    ///
    /// # Errors
    /// The error of the system.
    pub fn next(&mut self, damaged: &mut u64) -> io::Result<Option<ItemSource>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if self.lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            let letter = serde_json::from_slice::<DeadLetter>(&line).ok();
            match letter.and_then(|letter| letter.source()) {
                Some(source) => return Ok(Some(source)),
                None => *damaged += 1,
            }
        }
    }
}

impl DeadLetter {
    /// The letter about an item that was refused.
    pub fn new(source: &ItemSource, id: String, rejection: &Rejection) -> Self {
        let (gap, record) = match source {
            ItemSource::Record(bytes) => (None, Some(BASE64.encode(bytes))),
            ItemSource::Gap(gap) => (Some(gap), None),
        };
        Self {
            id,
            sequence: source.sequence().0,
            last_sequence: gap.map(|gap| gap.last.0),
            reason: gap.map(|gap| gap.reason.name().to_owned()),
            time: Time::now().to_string(),
            status: rejection.status.clone(),
            words: shown(&rejection.words),
            record,
        }
    }

    fn source(&self) -> Option<ItemSource> {
        if let Some(record) = &self.record {
            return Some(ItemSource::Record(BASE64.decode(record).ok()?.into()));
        }
        let reason = self.reason.as_deref()?;
        Some(ItemSource::Gap(Gap {
            first: Sequence(self.sequence),
            last: Sequence(self.last_sequence?),
            reason: GapReason::ALL.into_iter().find(|known| known.name() == reason)?,
        }))
    }
}

/// The text of a destination's answer, made safe for people: without control characters, and cut.
pub fn shown(words: &str) -> String {
    let mut printable = Printable::default();
    let mut escaped = String::new();
    for letter in words.chars() {
        if escaped.len() > WORDS_BYTES_MAX {
            break;
        }
        match printable.accepts(letter) {
            true => escaped.push(letter),
            false => escaped.extend(letter.escape_default()),
        }
    }
    truncated(escaped, WORDS_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::format::testing;

    fn letter(sequence: u64, words: &str) -> DeadLetter {
        let source = ItemSource::Record(testing::record(sequence).into());
        let rejection = Rejection { status: "400".into(), words: words.into() };
        DeadLetter::new(&source, format!("log/{sequence}"), &rejection)
    }

    fn replayed(replay: &mut Replay) -> Vec<u64> {
        let mut damaged = 0;
        let mut sequences = Vec::new();
        while let Some(source) = replay.next(&mut damaged).expect("it is read") {
            sequences.push(source.sequence().0);
        }
        sequences
    }

    #[test]
    fn letters_survive_a_restart_and_an_interrupted_replay() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || DeadLetters::open(folder.path(), "siem").expect("they open");
        let mut letters = open();
        assert!(letters.begin_replay().expect("no error").is_none(), "there are none");
        letters.keep(&[letter(1, "no"), letter(2, "no")]).expect("they are kept");
        let mut letters = open();
        assert_eq!(letters.count(), 2);
        let mut replay = letters.begin_replay().expect("no error").expect("there are some");
        assert_eq!(replayed(&mut replay), [1, 2]);
        letters.keep(&[letter(2, "still no")]).expect("it is kept");
        assert_eq!(letters.count(), 1);
        // The gateway is killed before the replay ends.
        let mut letters = open();
        assert_eq!(letters.count(), 3);
        let mut replay = letters.begin_replay().expect("no error").expect("there are some");
        assert_eq!(replayed(&mut replay), [2, 1, 2]);
        assert_eq!(letters.end_replay(false).expect("it ends"), None);
        assert_eq!(open().count(), 0);
    }

    #[test]
    fn a_file_with_damaged_lines_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 1..3 {
            let mut letters = DeadLetters::open(folder.path(), "siem").expect("they open");
            letters.keep(&[letter(1, "no")]).expect("it is kept");
            letters.begin_replay().expect("no error").expect("there is one");
            let kept = letters.end_replay(true).expect("it ends").expect("it is kept");
            assert_eq!(kept, folder.path().join(format!("siem.damaged-{number}")));
            assert!(fs::read_to_string(kept).expect("it is there").contains("/1"));
        }
    }

    /// Letters are kept while others are replayed, and a crash may cut one of them off.
    #[test]
    fn an_interrupted_replay_is_not_glued_to_a_cut_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || DeadLetters::open(folder.path(), "siem").expect("they open");
        let mut letters = open();
        letters.keep(&[letter(1, "no")]).expect("it is kept");
        letters.begin_replay().expect("no error").expect("there is one");
        letters.keep(&[letter(2, "no")]).expect("it is kept");
        let path = folder.path().join("siem.dead");
        let mut text = fs::read(&path).expect("it is there");
        text.extend_from_slice(b"{\"id\":");
        fs::write(&path, text).expect("it is cut off");
        let mut letters = open();
        assert_eq!(letters.count(), 2);
        let mut replay = letters.begin_replay().expect("no error").expect("there are some");
        assert_eq!(replayed(&mut replay), [2, 1]);
    }

    #[test]
    fn a_cut_line_is_forgotten_and_the_limit_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut letters = DeadLetters::open(folder.path(), "siem").expect("they open");
        letters.keep(&[letter(1, "no")]).expect("it is kept");
        let whole = letters.bytes();
        let path = folder.path().join("siem.dead");
        let mut text = fs::read(&path).expect("it is there");
        text.extend_from_slice(b"{\"id\":");
        fs::write(&path, text).expect("it is damaged");
        let mut letters = DeadLetters::open(folder.path(), "siem").expect("they open");
        assert_eq!((letters.count(), letters.bytes()), (1, whole));
        letters.bytes_max = whole * 2 - 1;
        assert!(matches!(letters.keep(&[letter(2, "no")]), Err(DeadLetterError::Full { .. })));
        assert_eq!(DeadLetters::open(folder.path(), "siem").expect("they open").count(), 1);
    }

    #[test]
    fn the_words_of_a_destination_are_cut_and_escaped() {
        let kept = letter(1, &format!("\u{1b}[31mno\n\u{202e}{}", "x".repeat(5_000)));
        assert!(kept.words.len() <= WORDS_BYTES_MAX + '…'.len_utf8(), "{}", kept.words.len());
        assert!(kept.words.starts_with("\\u{1b}[31mno\\n\\u{202e}xxx"), "{}", kept.words);
    }
}
