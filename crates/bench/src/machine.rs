//! Where and on what figures were measured.

use std::{fmt, fs, process::Command, thread};

use anyhow::Result;
use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::figures::float;

const POSTGRES: &str = "
    SELECT current_setting('server_version') AS version,
           string_agg(name || '=' || current_setting(name), ', ' ORDER BY name) AS settings
    FROM pg_settings
    WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size')";

/// The machine and the versions.
#[derive(Clone, Debug)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    postgres: PostgresRow,
    rustc: String,
    commit: String,
}

#[derive(Clone, Debug, QueryableByName)]
struct PostgresRow {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Text)]
    settings: String,
}

impl Machine {
    /// Looks at this machine and at the server of a connection.
    pub async fn look_at(conn: &mut AsyncPgConnection) -> Result<Self> {
        Ok(Self {
            processor: line_of("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism()?.get(),
            memory: memory(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            postgres: sql_query(POSTGRES).get_result(conn).await?,
            rustc: output_of("rustc", &["--version"]),
            commit: output_of("git", &["describe", "--always", "--dirty"]),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "- machine: {}, {} cores, {} of memory",
            self.processor, self.cores, self.memory
        )?;
        writeln!(
            f,
            "- Linux {}; {}; commit {}",
            self.kernel, self.rustc, self.commit
        )?;
        writeln!(
            f,
            "- PostgreSQL {}: {}",
            self.postgres.version, self.postgres.settings
        )?;
        writeln!(f, "- load generator and sink run on the same cores")
    }
}

/// The machine's memory, in gibibytes as it is sold.
fn memory() -> String {
    let kilobytes = line_of("/proc/meminfo", "MemTotal");
    let kilobytes = kilobytes.trim_end_matches(" kB").parse::<u64>();
    kilobytes.map_or_else(
        |_| "an unknown amount".to_owned(),
        |kilobytes| format!("{:.1} GiB", float(kilobytes) / f64::from(1 << 20)),
    )
}

/// The value of a line `name: value` of a file.
fn line_of(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| {
        let (_, value) = line.strip_prefix(name)?.split_once(':')?;
        Some(value.trim().to_owned())
    });
    value.unwrap_or_else(|| "unknown".to_owned())
}

/// The first line that a program prints, if it is there and succeeds.
fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    output
        .filter(|output| output.status.success())
        .and_then(|output| Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}
