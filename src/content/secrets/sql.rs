//! The state of the SQL statement at a position of a text.

use super::keywords::Keyword;

/// Where an INSERT is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Insert {
    #[default]
    Off,
    /// A list of columns may come.
    Table,
    /// In the list of columns, at this depth.
    Columns { depth: usize, index: u32, secret: u64 },
    /// Behind it: rows come.
    Rows { secret: u64 },
    /// In a row.
    Row { depth: usize, index: u32, secret: u64 },
}

/// The statement so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Sql {
    select: bool,
    update: bool,
    delete: bool,
    insert: bool,
    /// It reads or changes rows: words in it are columns.
    query: bool,
    /// CREATE, ALTER, GRANT.
    definition: bool,
    /// It is about an account, or something else that has a secret.
    account: bool,
    /// Literals are secrets from here on.
    masks: bool,
    /// Not yet: whose secret it is comes first.
    held: bool,
    /// The next literal names a plugin.
    plugin: bool,
    set: bool,
    /// `SET` was the last word.
    pub(super) sets_password: bool,
    pub(super) attaches: bool,
    pub(super) connects: bool,
    identified: bool,
    rows: Insert,
    /// How many quotes were open where the statement began.
    quotes: usize,
}

impl Sql {
    /// Whether the statement is known as one of SQL.
    pub(super) fn is_any(&self) -> bool {
        self.query || self.account || self.masks || self.attaches
    }

    pub(super) fn is_query(&self) -> bool {
        self.query
    }

    pub(super) fn selects(&self) -> bool {
        self.select
    }

    /// Whether an account is given a secret by `IDENTIFIED BY`.
    pub(super) fn is_identified(&self) -> bool {
        self.identified
    }

    pub(super) fn is_account(&self) -> bool {
        self.account
    }

    pub(super) fn in_tuple(&self) -> bool {
        matches!(self.rows, Insert::Row { .. })
    }

    /// Whether a literal here is a secret.
    pub(super) fn masks_literals(&self) -> bool {
        if let Insert::Row { index, secret, .. } = self.rows {
            return secret >> index.min(u64::BITS - 1) & 1 == 1;
        }
        self.masks && !self.held
    }

    /// Whether the literal here names a plugin. The next one does not.
    pub(super) fn takes_plugin(&mut self) -> bool {
        std::mem::take(&mut self.plugin)
    }

    /// The name of a secret; in a list of columns it is one of those. Returns whether
    /// it is.
    pub(super) fn column(&mut self) -> bool {
        let Insert::Columns { index, secret, .. } = &mut self.rows else { return false };
        *secret |= 1 << (*index).min(u64::BITS - 1);
        true
    }

    pub(super) fn secret_name(&mut self) {
        self.sets_password = std::mem::take(&mut self.set);
        if self.account && self.definition {
            self.masks = true;
            self.held = false;
        }
    }

    pub(super) fn other_word(&mut self) {
        self.set = false;
        self.plugin = false;
    }

    /// Literals are secrets from here on, or from the next `=` or TO on.
    pub(super) fn begin_account(&mut self, held: bool) {
        self.account = true;
        self.masks = true;
        self.held = held;
    }

    /// `=` was read.
    pub(super) fn assigned(&mut self) {
        self.held = false;
    }

    pub(super) fn open(&mut self, depth: usize) {
        self.rows = match self.rows {
            Insert::Table => Insert::Columns { depth, index: 0, secret: 0 },
            Insert::Rows { secret } => Insert::Row { depth, index: 0, secret },
            other => other,
        };
    }

    pub(super) fn close(&mut self, now: usize) {
        self.rows = match self.rows {
            Insert::Columns { depth, secret, .. } if now < depth => {
                if secret == 0 {
                    Insert::Off
                } else {
                    Insert::Rows { secret }
                }
            }
            Insert::Row { depth, secret, .. } if now < depth => Insert::Rows { secret },
            other => other,
        };
    }

    pub(super) fn comma(&mut self, now: usize) {
        match &mut self.rows {
            Insert::Columns { depth, index, .. } | Insert::Row { depth, index, .. }
                if now == *depth =>
            {
                *index = index.saturating_add(1);
            }
            _ => {}
        }
    }

    /// Quotes were closed: a statement that began within has ended.
    pub(super) fn quote_closed(&mut self, depth: usize) {
        if depth < self.quotes {
            *self = Self::default();
        }
    }

    /// Takes a keyword. Returns whether a value comes next, also an unquoted one.
    pub(super) fn keyword(
        &mut self,
        keyword: Keyword,
        upper: bool,
        depth: usize,
        quotes: usize,
    ) -> bool {
        let was_set = std::mem::take(&mut self.set);
        let was_plugin = std::mem::take(&mut self.plugin);
        let _ = was_plugin;
        match keyword {
            Keyword::Select
            | Keyword::Update
            | Keyword::Delete
            | Keyword::Insert
            | Keyword::Definition
            | Keyword::Connect
            | Keyword::Attach
                if !self.is_any() && !self.definition =>
            {
                self.quotes = quotes;
            }
            _ => {}
        }
        match keyword {
            Keyword::Select => {
                self.select = true;
                if let Insert::Rows { secret } = self.rows {
                    self.rows = Insert::Row { depth, index: 0, secret };
                }
            }
            Keyword::Update => self.update = true,
            Keyword::Delete => self.delete = true,
            Keyword::Insert => {
                self.insert = true;
                self.rows = Insert::Table;
            }
            Keyword::Into if self.insert => {
                self.query = true;
                self.rows = Insert::Table;
            }
            Keyword::Replace => {
                self.insert |= !self.masks;
                return self.masks && self.identified;
            }
            Keyword::Values if self.masks && self.identified => {
                return true;
            }
            Keyword::From if self.held && self.masks && !self.identified => self.held = false,
            Keyword::From => {
                self.query |= self.select || self.delete;
                if let Insert::Row { depth: row, .. } = self.rows
                    && row == depth
                {
                    self.rows = Insert::Off;
                }
            }
            Keyword::Set if self.identified && self.masks && !self.update => return true,
            Keyword::Hash => self.begin_account(false),
            Keyword::Set => {
                self.query |= self.update;
                if self.update {
                    self.rows = Insert::Table;
                }
                self.set = !self.update;
            }
            Keyword::Where => {
                self.query |= self.select || self.update || self.delete;
                self.rows = Insert::Off;
            }
            Keyword::Definition => {
                self.definition = true;
            }
            Keyword::Account => {
                self.account |= self.definition || was_set || self.connects;
            }
            // Snowflake has types of secrets: TYPE = PASSWORD.
            Keyword::Object if !self.account => self.definition = false,
            Keyword::Connect => self.connects = true,
            Keyword::Attach => self.attaches = true,
            Keyword::Identified => {
                self.identified = true;
                if upper || self.definition || self.account || self.connects {
                    self.begin_account(true);
                }
            }
            Keyword::With => self.plugin = self.identified,
            Keyword::By | Keyword::As | Keyword::Using => {
                if self.identified && (self.masks || keyword == Keyword::By) {
                    self.account = true;
                    self.held = false;
                    return true;
                }
                return keyword == Keyword::Using && self.connects && self.account;
            }
            Keyword::To => {
                let held = std::mem::take(&mut self.held);
                return held && self.masks && !self.identified;
            }
            _ => {}
        }
        false
    }
}
