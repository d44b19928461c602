//! What a program writes, kept line by line.

use std::{
    io::{BufRead, BufReader, PipeReader},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::watch;

use crate::polling;

/// The lines of a pipe, read by a thread: it works while a test blocks, and after its runtime.
#[derive(Debug)]
pub(super) struct Output {
    lines: watch::Receiver<Vec<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the program, which we kill"
    )]
    pub(super) fn read_from(pipe: PipeReader) -> Self {
        let (writer, lines) = watch::channel(Vec::new());
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                writer.send_modify(|lines| lines.push(line));
            }
        });
        Self {
            lines,
            reader: Some(reader),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Waits for a line that `find` accepts; `None` at the end of the output or of `timeout`.
    pub(super) async fn wait_for<T>(
        &self,
        find: impl Fn(&str) -> Option<T>,
        timeout: Duration,
    ) -> Option<T> {
        let mut lines = self.lines.clone();
        let found = |lines: &Vec<String>| lines.iter().find_map(|line| find(line));
        let waiting = lines.wait_for(|lines| found(lines).is_some());
        let waited = polling::wait_for(timeout, waiting).await?.ok()?;
        found(&waited)
    }

    /// Blocks until the program has closed its output.
    pub(super) fn wait_for_end(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
