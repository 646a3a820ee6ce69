//! Keywords of SQL, of headers and of pairs.

/// A word that tells something about what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    /// A header that authenticates.
    Header,
    /// A scheme of authentication, before its credentials.
    Scheme,
    Identified,
    /// Opens a statement that may set a secret: CREATE, ALTER, GRANT.
    Definition,
    /// What such a statement is about: USER, LOGIN.
    Account,
    /// What another statement is about: TABLE, INDEX.
    Object,
    Connect,
    Attach,
    Key,
    Select,
    Update,
    Delete,
    Insert,
    Replace,
    /// Its digest comes instead of the secret.
    Hash,
    Into,
    Values,
    From,
    Set,
    Where,
    For,
    To,
    By,
    As,
    Using,
    /// Names the plugin that comes next.
    With,
    Is,
    Not,
    /// An operator, after which a literal is compared.
    Compare,
    /// The member of a pair that holds the name.
    NameMember,
    /// A function whose literals are secrets.
    Function,
    /// A procedure whose arguments are secrets.
    Procedure,
}

/// All of them, in lower case.
pub(super) const ALL: [(Keyword, &[&str]); 32] = {
    use Keyword::{
        Account, As, Attach, By, Compare, Connect, Definition, Delete, For, From, Function, Hash,
        Header, Identified, Insert, Into, Is, Key, NameMember, Not, Object, Procedure, Replace,
        Scheme, Select, Set, To, Update, Using, Values, Where, With,
    };
    [
        (Header, &["authorization", "proxy-authorization", "cookie", "set-cookie"]),
        (Scheme, &["bearer", "basic", "digest", "negotiate"]),
        (Identified, &["identified"]),
        (Definition, &["create", "alter", "grant", "administer", "open", "backup", "restore"]),
        (
            Account,
            &[
                "user",
                "login",
                "role",
                "group",
                "secret",
                "credential",
                "server",
                "mapping",
                "link",
            ],
        ),
        (Object, &["table", "view", "index", "function", "procedure", "trigger", "column", "type"]),
        (Connect, &["connect", "conn"]),
        (Hash, &["hash"]),
        (Attach, &["attach", "pragma"]),
        (Key, &["key", "rekey", "hexkey", "hexrekey"]),
        (Select, &["select"]),
        (Update, &["update"]),
        (Delete, &["delete"]),
        (Insert, &["insert"]),
        (Replace, &["replace"]),
        (Into, &["into"]),
        (Values, &["values", "value"]),
        (From, &["from"]),
        (Set, &["set"]),
        (Where, &["where", "join", "having", "on"]),
        (For, &["for"]),
        (To, &["to"]),
        (By, &["by"]),
        (As, &["as"]),
        (Using, &["using"]),
        (With, &["with", "via"]),
        (Is, &["is", "was"]),
        (Not, &["not", "distinct"]),
        (Compare, &["like", "ilike", "rlike", "regexp", "glob", "in", "similar", "between"]),
        (NameMember, &["name"]),
        (
            Function,
            &[
                "old_password",
                "crypt",
                "encrypt",
                "aes_encrypt",
                "aes_decrypt",
                "des_encrypt",
                "des_decrypt",
                "pgp_sym_encrypt",
                "pgp_sym_decrypt",
                "encryptbypassphrase",
                "decryptbypassphrase",
                "converttosecurestring",
                "changeuserpassword",
                "createuser",
                "networkcredential",
                "hashbytes",
                "hmac",
                "pwdcompare",
                "pwdencrypt",
                "set_config",
                "openrowset",
            ],
        ),
        (
            Procedure,
            &[
                "sp_addlogin",
                "sp_password",
                "sp_addlinkedsrvlogin",
                "sp_setapprole",
                "sp_addapprole",
                "convertto-securestring",
            ],
        ),
    ]
};
