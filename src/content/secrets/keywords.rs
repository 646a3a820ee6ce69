//! Keywords of SQL, of headers and of pairs.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::names::Lower;

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

static KEYWORDS: LazyLock<HashMap<&'static [u8], Keyword, FixedState>> = LazyLock::new(|| {
    use Keyword::{
        Account, As, Attach, By, Compare, Connect, Definition, Delete, For, From, Function, Header,
        Identified, Insert, Into, Is, Key, NameMember, Not, Object, Procedure, Replace, Scheme,
        Select, Set, To, Update, Using, Values, Where, With,
    };
    let lists: [(Keyword, &[&str]); 31] = [
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
        (Connect, &["connect"]),
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
    ];
    lists
        .into_iter()
        .flat_map(|(keyword, words)| words.iter().map(move |word| (word.as_bytes(), keyword)))
        .collect()
});

/// The keyword, if the word is one.
pub(super) fn keyword(word: &[u8]) -> Option<Keyword> {
    /// Of the longest one, in bytes.
    const KEYWORD_BYTES_MAX: usize = 24;
    if word.len() > KEYWORD_BYTES_MAX {
        return None;
    }
    KEYWORDS.get(Lower::new(word).get()).copied()
}
