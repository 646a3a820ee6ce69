//! The gateways that a client may use: one at a time, and the next one if that fails.

mod notice;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use tonic::Code;

use super::{Error, Refusal, Transport, rpc};
use crate::backoff::{Backoff, WAIT_MIN};
use crate::proto::pb;

use notice::Notices;
pub use notice::ServerNotice;

/// The most gateways of a client.
pub const SERVERS_MAX: usize = 16;
/// Time limit for a gateway to return the id of its log.
const CHECK_TIME_MAX: Duration = Duration::from_secs(5);
/// A name of `auditgate.v1.ErrorReason`: it is about one gateway alone, although its code
/// RESOURCE_EXHAUSTED is usually about a client's limit.
const STORAGE_FULL: &str = "STORAGE_FULL";

/// The gateways. All of them have one log.
#[derive(Debug)]
pub(super) struct Servers {
    list: Vec<Server>,
    /// The gateway that is used.
    current: AtomicUsize,
    /// The log that cursors, page tokens and ids belong to, and the gateway that returned its id.
    log: Mutex<Option<(String, usize)>>,
    notices: Notices,
}

/// A gateway.
#[derive(Debug)]
pub(super) struct Server {
    url: String,
    transport: Transport,
    /// Whether it has the log of the others, or did not return which log it has.
    is_checked: AtomicBool,
    /// Whether it has another log.
    is_excluded: AtomicBool,
    /// Why the client changed to another gateway, if it did.
    last: Mutex<Option<Refusal>>,
}

/// Counts failures of gateways since the last success.
#[derive(Debug)]
pub(super) struct Attempts {
    failures: usize,
    backoff: Backoff,
}

/// The URLs of a list that is separated by commas.
pub(super) fn parse(list: &str) -> Result<Vec<String>, Error> {
    let urls: Vec<_> = list.split(',').map(|url| url.trim().to_owned()).collect();
    let refused = |reason: String| Err(Error::Url { url: list.to_owned(), reason });
    if urls.len() > 1 && urls.iter().any(String::is_empty) {
        return refused("a URL between commas is empty".to_owned());
    }
    if urls.len() > SERVERS_MAX {
        return refused(format!("it has {} servers, limit {SERVERS_MAX}", urls.len()));
    }
    for (position, url) in urls.iter().enumerate() {
        if urls.iter().take(position).any(|other| other == url) {
            return refused(format!("{url} is given twice"));
        }
    }
    Ok(urls)
}

impl Server {
    pub fn new(url: String, transport: Transport) -> Self {
        Self {
            url,
            transport,
            is_checked: AtomicBool::new(false),
            is_excluded: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }
}

impl Servers {
    /// A list of gateways, of which the one at `current` is used first.
    pub fn new(list: Vec<Server>, current: usize) -> Self {
        let (log, notices) = (Mutex::new(None), Notices::default());
        Self { list, current: AtomicUsize::new(current), log, notices }
    }

    /// The number of gateways.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The gateway that is used.
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// The URL of a gateway; empty for an existing channel.
    pub fn url(&self, server: usize) -> &str {
        self.list.get(server).map_or("", |server| &server.url)
    }

    /// The connection to a gateway.
    pub fn transport(&self, server: usize) -> Transport {
        let server = self.list.get(server).or(self.list.first());
        server.expect("there is one server at least").transport.clone()
    }

    /// Calls `tell` whenever another gateway is used, and at once for gateways that failed before.
    pub fn tell(&self, tell: impl Fn(&ServerNotice) + Send + Sync + 'static) {
        self.notices.listen(Box::new(tell));
    }

    /// Adds a notice about a gateway that failed while connecting.
    pub fn left(&self, server: usize, reason: Refusal) {
        self.remember(server, &reason);
        self.notices.send(ServerNotice::Lost {
            server: self.url(server).to_owned(),
            next: self.url(self.current()).to_owned(),
            reason,
        });
    }

    /// Returns once a gateway may be used. With several gateways, it must have the log of the
    /// others.
    ///
    /// # Errors
    /// If it does not answer, or has another log.
    pub async fn check(&self, number: usize) -> Result<(), Refusal> {
        let Some(server) = self.list.get(number).filter(|_| self.count() > 1) else {
            return Ok(());
        };
        if server.is_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut rpc = rpc(server.transport.clone());
        let answer = timeout(CHECK_TIME_MAX, rpc.get_caller(pb::GetCallerRequest {})).await;
        let log_id = match answer {
            Ok(Ok(response)) => response.into_inner().log_id,
            Ok(Err(status)) => {
                let refusal = Refusal::from(status);
                if refusal.transient {
                    return Err(refusal);
                }
                // The call itself returns the error, if there is one.
                String::new()
            }
            Err(_) => return Err(Refusal::timed_out(CHECK_TIME_MAX)),
        };
        if !log_id.is_empty() {
            let mut log = self.log.lock();
            match &*log {
                Some((known, of)) if *known != log_id && *of != number => {
                    return Err(Refusal::other_log(&server.url, self.url(*of)));
                }
                // A single gateway may restart with a new log; its cursors show that.
                _ => *log = Some((log_id, number)),
            }
        }
        server.is_checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that a gateway has answered.
    pub fn answered(&self, server: usize) {
        self.notices.answered(self.url(server));
    }

    /// Notes that a gateway has failed. Returns whether another one is used from now on.
    pub fn failed(&self, number: usize, refusal: &Refusal) -> bool {
        self.remember(number, refusal);
        if !refusal.is_of_one_gateway() {
            return false;
        }
        let Some(server) = self.list.get(number) else { return false };
        server.is_checked.store(false, Ordering::Relaxed);
        if refusal.is_of_other_log() {
            server.is_excluded.store(true, Ordering::Relaxed);
        }
        let mut others = (1..self.count()).map(|step| (number + step) % self.count());
        let is_usable = |other: &usize| {
            self.list.get(*other).is_some_and(|other| !other.is_excluded.load(Ordering::Relaxed))
        };
        let Some(next) = others.find(is_usable) else { return false };
        let order = Ordering::Relaxed;
        if self.current.compare_exchange(number, next, order, order).is_ok() {
            self.notices.add(ServerNotice::Lost {
                server: server.url.clone(),
                next: self.url(next).to_owned(),
                reason: refusal.clone(),
            });
        }
        true
    }

    /// The last refusal; with several gateways, the refusals of all of them.
    pub fn summary(&self, last: Refusal) -> Refusal {
        if self.count() == 1 {
            return last;
        }
        let said = self.list.iter().map(|server| match &*server.last.lock() {
            Some(refusal) => format!("{}: {refusal}", server.url),
            None => format!("{}: not tried", server.url),
        });
        let said: Vec<_> = said.collect();
        Refusal { message: said.join("; "), ..last }
    }

    fn remember(&self, server: usize, refusal: &Refusal) {
        if let Some(server) = self.list.get(server) {
            *server.last.lock() = Some(refusal.clone());
        }
    }
}

impl Refusal {
    /// The refusal of a gateway with another log than the others.
    pub(super) fn other_log(url: &str, known: &str) -> Self {
        let message = format!(
            "{url} has another log than {known}: its records, ids and cursors are others. Name \
             the gateways of one shared log"
        );
        Self {
            reason: Some(OTHER_LOG.to_owned()),
            ..Self::unanswered(Code::FailedPrecondition, message, false)
        }
    }

    /// Whether a gateway has another log than the others.
    pub(super) fn is_of_other_log(&self) -> bool {
        self.reason.as_deref() == Some(OTHER_LOG)
    }

    /// Whether the refusal is about this gateway alone, so that another one may accept the call.
    /// Limits of a client are not.
    fn is_of_one_gateway(&self) -> bool {
        let is_limit =
            self.code == Code::ResourceExhausted && self.reason.as_deref() != Some(STORAGE_FULL);
        self.is_of_other_log() || self.transient && !is_limit
    }
}

/// The reason of a refusal that this client makes.
const OTHER_LOG: &str = "OTHER_LOG";

impl Attempts {
    pub fn new() -> Self {
        Self { failures: 0, backoff: Backoff::new() }
    }

    /// How long to wait after a failure: shortly before a gateway that was not tried since the last
    /// success, and longer with each round over all `servers`.
    pub fn wait(&mut self, moved: bool, servers: usize, asked: Option<Duration>) -> Duration {
        self.failures += 1;
        if moved && !self.failures.is_multiple_of(servers.max(1)) {
            // Spreads the clients of a lost gateway.
            return WAIT_MIN.mul_f64(fastrand::f64() / 2.0);
        }
        // A delay that one gateway asks for does not apply to another.
        self.backoff.wait(asked.filter(|_| !moved))
    }
}

#[cfg(test)]
mod tests;
