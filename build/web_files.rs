//! The files of the page: each is compressed and gets a tag, so that nothing of this is left for the gateway.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, Crc, GzBuilder};

/// What browsers call the content of a file, by its extension.
const MEDIA: [(&str, &str); 4] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// The source of a list of the files of `folder`; compressed forms are written to `out`.
pub fn source(folder: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let file = file.canonicalize()?;
        let name =
            file.file_name().and_then(|name| name.to_str()).ok_or("a name that is not UTF-8")?;
        let extension = file.extension().and_then(|extension| extension.to_str());
        let media = MEDIA.iter().find(|(known, _)| Some(*known) == extension);
        let (_, media) =
            media.ok_or_else(|| format!("{}: no media type is known", file.display()))?;
        let bytes = std::fs::read(&file)?;
        let packed = out.join(format!("{name}.gz"));
        // Without a time, equal files have equal bytes.
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(&bytes)?;
        std::fs::write(&packed, gzip.finish()?)?;
        let mut crc = Crc::new();
        crc.update(&bytes);
        let tag = format!("{:08x}-{:x}", crc.sum(), bytes.len());
        let path = format!("/{name}");
        let _ = writeln!(
            list,
            "    WebFile {{ path: {path:?}, media: {media:?}, tag: {tag:?}, plain: include_bytes!({file:?}), gzip: include_bytes!({packed:?}) }},"
        );
    }
    list.push(']');
    Ok(list)
}
