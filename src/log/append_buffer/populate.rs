//! The thread that populates pages ahead of the writers.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The most pages that wait to be populated. A page too many is left to its writer, who
/// waits for it.
const JOBS_MAX: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// Runs a job on the thread that all buffers of the process share. It begins with the first
/// job, and sleeps when there is none. Without it, and where too much waits, nothing is done.
pub fn run(job: impl FnOnce() + Send + 'static) {
    static JOBS: OnceLock<Option<SyncSender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, receiver) = sync_channel(JOBS_MAX);
        let thread = std::thread::Builder::new().name("populate".to_owned());
        thread.spawn(move || work(&receiver)).ok().map(|_| sender)
    });
    if let Some(jobs) = jobs {
        let _ = jobs.try_send(Box::new(job));
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job();
    }
}
