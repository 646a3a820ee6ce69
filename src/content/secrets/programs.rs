//! Programs of the command line, and which of their arguments are secrets.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::names::Lower;

/// What is known of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// Flags to which the secret is attached: `-pX`.
    pub(super) attached: &'static [&'static str],
    /// Flags that the secret follows: `-a X`.
    pub(super) separate: &'static [&'static str],
    /// Flags whose value is a name and a secret, and what stands between.
    pub(super) pair: &'static [&'static str],
    pub(super) between: u8,
    /// Words that the secret follows: `AUTH X`.
    pub(super) words: &'static [&'static str],
    /// Without this word before them its flags are others: `docker login`.
    pub(super) needs: &'static str,
    /// It reads secrets from its input.
    pub(super) reads: bool,
    /// Its words that are no flags, from this one on, are secrets.
    pub(super) from: Option<u8>,
    /// A bare word of it may be `name/secret@place`.
    pub(super) slash: bool,
}

/// What is the same for most.
const PLAIN: Program = Program {
    attached: &[],
    separate: &[],
    pair: &[],
    between: b':',
    words: &[],
    needs: "",
    reads: false,
    from: None,
    slash: false,
};

static PROGRAMS: LazyLock<HashMap<&'static [u8], Program, FixedState>> = LazyLock::new(|| {
    let attached = |attached| Program { attached, ..PLAIN };
    let separate = |separate| Program { separate, ..PLAIN };
    let both = |flags| Program { attached: flags, separate: flags, ..PLAIN };
    let pair = |pair| Program { pair, ..PLAIN };
    let login = |separate| Program { separate, attached: separate, needs: "login", ..PLAIN };
    let slash = Program { slash: true, ..PLAIN };
    let list: &[(&[&str], Program)] = &[
        (
            &[
                "mysql",
                "mysqldump",
                "mysqlimport",
                "mysqlshow",
                "mysqlcheck",
                "mysqlpump",
                "mysqlbinlog",
                "mysqlslap",
                "mysqlsh",
                "mysql_upgrade",
                "mariadb",
                "mariadb-dump",
                "mariadb-import",
                "mariadb-show",
                "mariadb-check",
                "mariadb-binlog",
                "mariabackup",
                "xtrabackup",
                "mycli",
                "mytop",
                "7z",
                "7za",
                "7zr",
            ],
            attached(&["-p"]),
        ),
        (&["mysqladmin", "mariadb-admin"], Program { words: &["password"], ..attached(&["-p"]) }),
        (&["rar", "unrar"], attached(&["-hp", "-p"])),
        (
            &[
                "sshpass",
                "cqlsh",
                "mongo",
                "mongosh",
                "mongodump",
                "mongorestore",
                "mongoexport",
                "mongoimport",
                "mongostat",
                "beeline",
                "rdesktop",
                "useradd",
                "usermod",
                "arangosh",
                "ldappasswd",
            ],
            both(&["-p"]),
        ),
        (
            &["sqlcmd", "bcp", "osql", "isql", "ipmitool", "zip", "unzip", "tsql", "fisql"],
            both(&["-P"]),
        ),
        (
            &["redis-cli", "valkey-cli"],
            Program { words: &["auth", "requirepass", "masterauth"], ..both(&["-a"]) },
        ),
        (&["keydb-cli"], both(&["-a"])),
        (
            &[
                "ldapsearch",
                "ldapmodify",
                "ldapadd",
                "ldapdelete",
                "ldapwhoami",
                "ldapcompare",
                "ldapmodrdn",
            ],
            both(&["-w"]),
        ),
        (
            &["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"],
            both(&["-A", "-X", "-c"]),
        ),
        (&["curl"], pair(&["-u", "-U", "--user", "--proxy-user"])),
        (&["http", "https", "xh"], pair(&["-a", "--auth"])),
        (&["ab", "siege"], pair(&["-A", "-P"])),
        (&["lftp"], Program { pair: &["-u"], between: b',', ..PLAIN }),
        (
            &["smbclient", "rpcclient", "smbmap", "smbget"],
            Program { pair: &["-U", "--user"], between: b'%', ..PLAIN },
        ),
        (
            &[
                "docker", "podman", "helm", "nerdctl", "buildah", "skopeo", "oras", "crane", "oc",
                "az", "argocd", "ibmcloud", "rancher",
            ],
            login(&["-p"]),
        ),
        (&["aws"], Program { words: &["aws_secret_access_key", "aws_session_token"], ..PLAIN }),
        (&["vault"], Program { words: &["login"], ..PLAIN }),
        (
            &["openssl"],
            Program {
                separate: &["-k", "-K", "-passin", "-passout", "-pass"],
                words: &["passwd"],
                ..PLAIN
            },
        ),
        (
            &["keytool", "jarsigner", "apksigner"],
            separate(&["-storepass", "-keypass", "-srcstorepass", "-deststorepass", "-new"]),
        ),
        (&["xfreerdp", "wfreerdp", "freerdp"], attached(&["/p:"])),
        (&["cmdkey", "runas"], attached(&["/pass:"])),
        (&["htpasswd"], Program { from: Some(2), ..PLAIN }),
        (&["chpasswd", "passwd", "kinit", "cryptsetup"], Program { reads: true, ..PLAIN }),
        (&["sqlplus", "rman", "expdp", "impdp", "sqlldr", "sqlcl"], slash),
    ];
    list.iter()
        .flat_map(|(names, program)| names.iter().map(|name| (name.as_bytes(), *program)))
        .collect()
});

/// What is known of the program by this name, of which a path was cut off.
pub(super) fn find(name: &[u8]) -> Option<&'static Program> {
    /// Of the longest name, in bytes.
    const NAME_BYTES_MAX: usize = 16;
    if name.len() > NAME_BYTES_MAX || name.len() < 2 {
        return None;
    }
    let lower = Lower::new(name);
    let lower = lower.get();
    PROGRAMS.get(lower.strip_suffix(b".exe").unwrap_or(lower))
}
