//! Creates a folder whose files appear all at once, or not at all.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::new_file::write_new;

/// Mode of created folders.
const MODE: u32 = 0o700;

/// Files that are being written into a folder. They are written to a temporary folder beside it,
/// and are moved when all are complete. Dropping this removes them.
pub struct NewFolder {
    target: PathBuf,
    /// Where files are written.
    staged: PathBuf,
    /// The temporary folder, which holds `staged` or is it.
    temporary: PathBuf,
    /// The path to which the temporary folder is renamed; `None` if the target exists, and the
    /// files are linked into it.
    becomes: Option<PathBuf>,
    names: Vec<String>,
}

impl NewFolder {
    /// Begins to write the folder at `target`, which may exist already.
    ///
    /// # Errors
    /// If no folder can be created there.
    pub fn begin(target: &Path) -> Result<Self, Error> {
        let absolute = std::path::absolute(target).map_err(|error| failed(target, error))?;
        let missing = absolute.ancestors().take_while(|folder| !is_there(folder)).last();
        let becomes = missing.map(Path::to_owned);
        let parent = becomes.as_deref().map_or(Some(&*absolute), Path::parent);
        let parent = parent.unwrap_or(&absolute);
        let temporary = parent.join(format!(".auditgate-{:016x}.tmp", fastrand::u64(..)));
        let below = becomes.as_deref().and_then(|becomes| absolute.strip_prefix(becomes).ok());
        let staged = match below {
            Some(below) if !below.as_os_str().is_empty() => temporary.join(below),
            _ => temporary.clone(),
        };
        let made = DirBuilder::new().recursive(true).mode(MODE).create(&staged);
        let own = Self { target: target.to_owned(), staged, temporary, becomes, names: Vec::new() };
        made.map_err(|error| failed(target, error))?;
        Ok(own)
    }

    /// Writes a file of the folder.
    ///
    /// # Errors
    /// If it cannot be written, or the folder has one of this name.
    pub fn write(&mut self, name: &str, text: &str, mode: u32) -> Result<(), Error> {
        let file = self.target.join(name);
        if is_there(&file) {
            let what = format!(
                "{} already exists: choose another directory, or remove it first",
                file.display()
            );
            return Err(Error::Usage(what));
        }
        write_new(&self.staged.join(name), text, mode)?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Moves all files to the target.
    ///
    /// # Errors
    /// If one cannot be moved; then none is.
    pub fn finish(self) -> Result<(), Error> {
        sync(&self.staged).map_err(|error| failed(&self.target, error))?;
        let done = match &self.becomes {
            Some(becomes) => fs::rename(&self.temporary, becomes)
                .and_then(|()| sync(becomes.parent().unwrap_or(becomes))),
            None => self.link_all(),
        };
        done.map_err(|error| failed(&self.target, error))
    }

    /// Links the files into the existing folder. A link never overwrites.
    fn link_all(&self) -> io::Result<()> {
        for (position, name) in self.names.iter().enumerate() {
            if let Err(error) = fs::hard_link(self.staged.join(name), self.target.join(name)) {
                for linked in self.names.iter().take(position) {
                    let _ = fs::remove_file(self.target.join(linked));
                }
                return Err(error);
            }
        }
        sync(&self.target)
    }
}

/// Removes the rest of the temporary folder.
impl Drop for NewFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

/// Whether the path exists, also as a dangling link.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(folder: &Path, error: io::Error) -> Error {
    Error::WriteFile { file: folder.display().to_string(), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_appear_all_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let before = fs::metadata(parent.path()).unwrap().permissions().mode() & 0o777;
        for (target, first) in [("new", "new"), ("a/b/c", "a"), (".", "one")] {
            let folder = parent.path().join(target);
            let mut new = NewFolder::begin(&folder).unwrap();
            new.write("one", "1", 0o600).unwrap();
            assert!(!parent.path().join(first).exists(), "{target}");
            new.write("two", "2", 0o644).unwrap();
            new.finish().unwrap();
            assert_eq!(fs::read_to_string(folder.join("two")).unwrap(), "2");
            let mode = fs::metadata(&folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, if target == "." { before } else { MODE }, "{target}");
        }
        assert_eq!(names(parent.path()), ["a", "new", "one", "two"], "and nothing beside");
    }

    #[test]
    fn nothing_is_left_of_what_was_given_up() {
        let parent = tempfile::tempdir().unwrap();
        for target in ["a/b", "."] {
            let mut new = NewFolder::begin(&parent.path().join(target)).unwrap();
            new.write("one", "1", 0o600).unwrap();
            assert_eq!(names(parent.path()).len(), 1, "the temporary folder");
            drop(new);
            assert_eq!(names(parent.path()), [""; 0], "{target}");
        }
        // What appears meanwhile is not overwritten, and the others are taken back.
        let mut new = NewFolder::begin(parent.path()).unwrap();
        new.write("one", "1", 0o600).unwrap();
        new.write("two", "2", 0o600).unwrap();
        fs::write(parent.path().join("two"), "mine").unwrap();
        let refused = new.finish().unwrap_err().to_string();
        assert!(refused.contains("exists"), "{refused}");
        assert_eq!(names(parent.path()), ["two"]);
        let mut new = NewFolder::begin(parent.path()).unwrap();
        let refused = new.write("two", "2", 0o600).unwrap_err().to_string();
        assert!(refused.contains("two"), "{refused}");
        drop(new);
        assert_eq!(fs::read_to_string(parent.path().join("two")).unwrap(), "mine");
    }

    #[test]
    fn a_folder_below_a_file_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("file"), "").unwrap();
        for target in ["file/a", "file"] {
            let refused = NewFolder::begin(&parent.path().join(target)).map(drop).unwrap_err();
            assert!(refused.to_string().contains(target), "{refused}");
        }
        assert_eq!(names(parent.path()), ["file"]);
    }
}
