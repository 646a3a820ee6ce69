//! `auditgate keygen`: creates the key of a log or a witness.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::new_file::{PRIVATE, PUBLIC, write_new};
use super::{Error, ExitKind, print, say};
use crate::proof::SigningKey;
use crate::proof::key::SignatureKind;
use crate::secret_file;

/// Create a key that signs checkpoints, for a gateway or for a witness
///
/// Writes two files: the signing key, readable by its owner only, and beside it, with
/// the extension .pub, the verifier key. Keep the signing key secret: it signs in the
/// name of the log. The verifier key is public; keygen also prints it. Both use the
/// encodings of C2SP signed-note.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate keygen --name audit.example.com/prod --out prod.key
  auditgate serve --merkle --signing-key prod.key
  auditgate keygen --witness --name w1.example.org --out witness.key

Exit status: 0 if both files were written; 2 if not. Existing files are not changed.")]
pub struct Args {
    /// Name of the key: for a gateway the origin of its log, which every
    /// checkpoint repeats and which no other log may have; by custom a host and
    /// path without a scheme
    #[arg(long)]
    name: String,
    /// File for the signing key
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Create the key of a witness, which cosigns
    #[arg(long)]
    witness: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let kind = if args.witness { SignatureKind::Cosignature } else { SignatureKind::Log };
    let key =
        SigningKey::generate(&args.name, kind).map_err(|error| Error::Usage(error.to_string()))?;
    let mut public = args.out.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    write_new(&args.out, &format!("{}\n", key.encoded()), PRIVATE)?;
    write_new(&public, &format!("{}\n", key.verifier()), PUBLIC).inspect_err(|_| {
        // One file without the other is useless, and would block the next attempt.
        let _ = std::fs::remove_file(&args.out);
    })?;
    say(&format!(
        "the signing key is in {}: keep it secret; the verifier key, for everybody, in {}:",
        args.out.display(),
        public.display()
    ));
    print(&format!("{}\n", key.verifier()))
}

/// Reads a signing key of this kind from a file that only its owner may access.
pub fn read_signing_key(file: &Path, kind: SignatureKind) -> Result<SigningKey, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::Usage(format!("cannot use the key {}: {error}", file.display()))
    };
    let mut text = String::new();
    let mut opened = secret_file::open(file).map_err(|error| failed(&error))?;
    opened.read_to_string(&mut text).map_err(|error| failed(&error))?;
    let key = SigningKey::parse(&text).and_then(|key| key.used_for(kind));
    key.map_err(|error| Error::Usage(format!("{}: {error}", file.display())))
}

/// Reads a text file of an expected size.
pub fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::Read { file: file.display().to_string(), error })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_for_its_owner_alone_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a.key");
        let args = Args { name: "a.example/log".into(), out: out.clone(), witness: false };
        run(&args).unwrap();
        let mode = std::fs::metadata(&out).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE);
        let key = read_signing_key(&out, SignatureKind::Log).unwrap();
        assert_eq!(
            read(&folder.path().join("a.key.pub")).unwrap().trim(),
            key.verifier().to_string()
        );
        let refused = read_signing_key(&out, SignatureKind::Cosignature).map(drop).unwrap_err();
        assert!(refused.to_string().contains("is needed"), "{refused}");
        let readable = |mode| {
            std::fs::set_permissions(&out, std::fs::Permissions::from_mode(mode)).unwrap();
            read_signing_key(&out, SignatureKind::Log).map(drop).map_err(|error| error.to_string())
        };
        let said = readable(0o644).unwrap_err();
        assert!(said.ends_with("mode 0644: run chmod 600"), "{said}");
        assert_eq!([readable(0o400), readable(0o600)], [Ok(()), Ok(())]);
        let in_the_way = |file: &str| {
            let refused = run(&args).unwrap_err().to_string();
            assert!(refused.contains(file), "{refused}");
        };
        in_the_way("a.key");
        std::fs::remove_file(&out).unwrap();
        in_the_way("a.key.pub");
        assert!(!out.exists(), "nothing half done");
        write_new(&out, &format!("{}\n", key.encoded()), PRIVATE).unwrap();
        assert_eq!(read_signing_key(&out, SignatureKind::Log).unwrap().encoded(), key.encoded());
    }
}
