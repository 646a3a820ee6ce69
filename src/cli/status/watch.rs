//! Reads the key that ends `--watch`.

use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::{AsyncReadExt as _, Stdin};

/// Waits for `q` on a terminal, in a mode that reads each key at once without echo. Ctrl-C and
/// Ctrl-Z keep their meaning.
pub struct QuitKey(Option<KeyReader>);

struct KeyReader {
    input: Stdin,
    /// The previous mode of the terminal.
    before: Termios,
}

impl QuitKey {
    /// Reads keys if `wanted` and standard input is a terminal.
    pub fn watch(wanted: bool) -> Self {
        Self(if wanted { KeyReader::open() } else { None })
    }

    /// Whether keys are read.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns when the key was pressed; never if keys are not read.
    pub async fn pressed(&mut self) {
        let Some(reader) = &mut self.0 else { return std::future::pending().await };
        loop {
            match reader.input.read_u8().await {
                Ok(b'q' | b'Q') => return,
                Ok(_) => {}
                // The terminal is gone, or closed.
                Err(_) => return std::future::pending().await,
            }
        }
    }
}

impl KeyReader {
    fn open() -> Option<Self> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(std::io::stdin().as_fd()).ok()?;
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &keys).ok()?;
        Some(Self { input: tokio::io::stdin(), before })
    }
}

impl Drop for KeyReader {
    fn drop(&mut self) {
        // A line break, so that the prompt begins on its own line.
        let _ = writeln!(std::io::stderr());
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}
