//! Programs of the command line, and which of their arguments are secrets.

use std::sync::LazyLock;

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
    /// It counts words without a flag for that.
    pub(super) always: bool,
    /// Words behind which others count, and how many come before the secrets: `add_user NAME X`.
    pub(super) after: &'static [(&'static str, u8)],
    /// The name of a secret is a word of its own, and the secret the next one: `setx TOKEN X`.
    pub(super) names: bool,
    /// A pair without what stands between is a secret as a whole.
    pub(super) whole: bool,
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
    always: false,
    after: &[],
    names: false,
    whole: false,
};

static PROGRAMS: LazyLock<Vec<(&'static [&'static str], Program)>> = LazyLock::new(|| {
    let attached = |attached| Program { attached, ..PLAIN };
    let separate = |separate| Program { separate, ..PLAIN };
    let both = |flags| Program { attached: flags, separate: flags, ..PLAIN };
    let pair = |pair| Program { pair, ..PLAIN };
    let login = |separate| Program { separate, attached: separate, needs: "login", ..PLAIN };
    let slash = Program { slash: true, ..PLAIN };
    vec![
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
        (&["ldappasswd"], both(&["-p", "-s", "-a", "-w"])),
        (
            &["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"],
            both(&["-A", "-X", "-c"]),
        ),
        (
            &["curl"],
            Program {
                separate: &["-b", "--cookie", "--oauth2-bearer"],
                ..pair(&["-u", "-U", "--user", "--proxy-user", "-E", "--cert"])
            },
        ),
        (&["http", "https", "xh"], Program { whole: true, ..pair(&["-a", "--auth"]) }),
        (&["ab", "siege"], pair(&["-A", "-P"])),
        (&["lftp"], Program { pair: &["-u"], between: b',', ..PLAIN }),
        (
            &["smbclient", "rpcclient", "smbmap", "smbget"],
            Program { pair: &["-U", "--user"], between: b'%', ..PLAIN },
        ),
        (
            &[
                "docker", "podman", "helm", "nerdctl", "buildah", "skopeo", "oras", "crane", "oc",
                "argocd", "ibmcloud", "rancher",
            ],
            login(&["-p"]),
        ),
        (&["az"], Program { attached: &["-p"], ..separate(&["-p", "--value"]) }),
        (&["aws"], Program { names: true, needs: "put-parameter", ..separate(&["--value"]) }),
        (&["npm", "yarn", "pnpm", "setx", "rclone", "nmcli"], Program { names: true, ..PLAIN }),
        (&["vault"], Program { words: &["login", "unseal", "value"], ..attached(&["value="]) }),
        (&["kubectl"], attached(&["--from-literal="])),
        (
            &["openssl"],
            Program {
                separate: &["-k", "-K", "-passin", "-passout", "-pass", "-psk", "-hmac"],
                after: &[("passwd", 0)],
                ..PLAIN
            },
        ),
        (
            &["twine", "rabbitmqadmin", "ncftpput", "ncftpget", "ncftp", "hydra", "psexec"],
            both(&["-p"]),
        ),
        (&["mosquitto_pub", "mosquitto_sub"], both(&["-P"])),
        (&["ssh-keygen"], both(&["-N", "-P"])),
        (
            &["rabbitmqctl"],
            Program {
                after: &[("add_user", 1), ("change_password", 1), ("authenticate_user", 1)],
                ..PLAIN
            },
        ),
        (&["poetry"], Program { after: &[("http-basic.", 1), ("pypi-token.", 0)], ..PLAIN }),
        (&["cargo"], Program { after: &[("login", 0)], ..PLAIN }),
        (&["gem"], separate(&["--key"])),
        (&["mc"], Program { after: &[("set", 3), ("add", 3)], ..PLAIN }),
        (&["etcdctl"], Program { after: &[("add", 0)], ..pair(&["--user"]) }),
        (&["net"], Program { after: &[("user", 1), ("use", 1)], ..PLAIN }),
        (&["schtasks"], separate(&["/rp", "/p"])),
        (&["virsh"], Program { needs: "secret-set-value", ..separate(&["--base64"]) }),
        (&["wpa_passphrase"], Program { from: Some(1), always: true, ..PLAIN }),
        (&["convertto-securestring"], Program { from: Some(0), always: true, ..PLAIN }),
        (
            &["keytool", "jarsigner", "apksigner"],
            separate(&["-storepass", "-keypass", "-srcstorepass", "-deststorepass", "-new"]),
        ),
        (&["xfreerdp", "wfreerdp", "freerdp"], attached(&["/p:"])),
        (&["cmdkey", "runas"], attached(&["/pass:"])),
        (&["htpasswd", "mosquitto_passwd"], Program { from: Some(2), ..PLAIN }),
        (
            &["chpasswd", "passwd", "kinit", "cryptsetup", "smbpasswd", "gcloud"],
            Program { reads: true, ..PLAIN },
        ),
        (&["sqlplus", "rman", "expdp", "impdp", "sqlldr", "sqlcl"], slash),
    ]
});

/// All of them by their names, in lower case.
pub(super) fn all() -> &'static [(&'static [&'static str], Program)] {
    &PROGRAMS
}

impl Program {
    /// How many words come between this one and the secrets, if it is one that says so.
    pub(super) fn before_secret(&self, word: &[u8]) -> Option<u8> {
        let is_known = |known: &str| match known.strip_suffix('.') {
            Some(_) => word.starts_with(known.as_bytes()),
            None => word.eq_ignore_ascii_case(known.as_bytes()),
        };
        self.after.iter().find(|(known, _)| is_known(known)).map(|(_, before)| *before)
    }
}
