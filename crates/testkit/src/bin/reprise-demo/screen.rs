//! What the demo says and how it is laid out: labels in one column, facts in the next.
#![expect(clippy::print_stdout, reason = "to show things is what a demo is for")]

use std::{fmt::Display, path::Path};

/// The first line.
pub(crate) fn title(text: &str) {
    println!("\n  {text}\n");
}

/// One aligned line.
pub(crate) fn fact(label: &str, text: impl Display) {
    println!("  {label:<12}  {text}");
}

/// One aligned line for something that runs and writes a log.
pub(crate) fn program(label: &str, url: &str, log: &Path) {
    fact(label, format_args!("{url:<36}  log: {}", log.display()));
}

/// An empty line.
pub(crate) fn gap() {
    println!();
}

/// A command to copy, under the words that say what it does.
pub(crate) fn command(what: &str, lines: &[String]) {
    println!("  {what}\n\n    {}\n", lines.join(" \\\n      "));
}

/// Why the demo ends.
pub(crate) fn failure(error: &anyhow::Error) {
    eprintln!("\n  The demo failed: {error:#}\n");
}
