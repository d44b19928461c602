//! The two charts of the documentation.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    figures::{float, milliseconds},
    findings::{Findings, LatencyAtRate},
    plot::{Chart, Line},
};

/// Writes the charts for which something was measured into a folder.
pub fn write(findings: &Findings, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    if !findings.replicas.is_empty() {
        let svg = replicas(&findings.replicas).to_svg();
        write_file(&folder.join("benchmarks-replicas.svg"), &svg)?;
    }
    if !findings.latencies.is_empty() {
        let svg = latencies(&findings.latencies).to_svg();
        write_file(&folder.join("benchmarks-latency.svg"), &svg)?;
    }
    Ok(())
}

fn write_file(path: &Path, svg: &str) -> Result<()> {
    fs::write(path, svg).with_context(|| format!("writing {}", path.display()))
}

fn replicas(measured: &[(usize, f64)]) -> Chart {
    let points = measured.iter();
    Chart {
        title: "Draining a backlog with more dispatchers, on the same machine".to_owned(),
        x_label: "dispatchers".to_owned(),
        y_label: "deliveries/s, all together".to_owned(),
        lines: vec![Line {
            name: "deliveries/s".to_owned(),
            points: points.map(|(count, rate)| (float(*count), *rate)).collect(),
        }],
    }
}

fn latencies(measured: &[LatencyAtRate]) -> Chart {
    let line = |name: &str, value: fn(&LatencyAtRate) -> f64| Line {
        name: name.to_owned(),
        points: measured.iter().map(|one| (one.rate, value(one))).collect(),
    };
    Chart {
        title: "From publishing to receipt, up to 90 % of the saturated rate".to_owned(),
        x_label: "events/s".to_owned(),
        y_label: "ms".to_owned(),
        lines: vec![
            line("p50", |one| milliseconds(one.p50)),
            line("p99", |one| milliseconds(one.p99)),
        ],
    }
}
