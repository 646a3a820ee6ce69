//! stand-in until the filter branch lands
use crate::catalog::TypeId;
use crate::proto::pb;
use crate::record::Columns;
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct Error;
impl Error {
    pub fn field(&self) -> String {
        String::new()
    }
}
pub enum Verdict {
    No,
    Unsure,
    Yes,
}
pub enum Outcome {
    Match,
    NoMatch,
    ExpressionFailed,
}
#[derive(Default)]
pub struct Selection {
    pub types: Option<Vec<TypeId>>,
    pub users: Option<Vec<u32>>,
    pub sessions: Option<Vec<u32>>,
    pub servers: Option<Vec<u32>>,
    pub results: Option<Vec<u8>>,
}
pub struct Filter {
    s: Selection,
}
impl Filter {
    pub fn compile(_f: &pb::Filter) -> Result<Filter, Error> {
        Ok(Filter { s: Selection::default() })
    }
    pub fn matches_all(&self) -> bool {
        true
    }
    pub fn selection(&self) -> &Selection {
        &self.s
    }
    pub fn columns(&self, _c: &Columns) -> Verdict {
        Verdict::Yes
    }
    pub fn record(&self, _r: &[u8]) -> Outcome {
        Outcome::Match
    }
}
