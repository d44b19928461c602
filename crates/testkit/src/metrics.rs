//! Metrics as a program exposes them, and as `docs/metrics.md` describes them.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of a metric besides its values: its type, and the names of its labels.
pub type Described = (String, BTreeSet<String>);

const DOCUMENT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/metrics.md"
));

/// The metrics that the document describes under a program's heading, by their names.
///
/// # Panics
///
/// When there is no such heading.
#[must_use]
pub fn documented(program: &str) -> BTreeMap<String, Described> {
    let section = DOCUMENT
        .split("\n## ")
        .find_map(|section| section.strip_prefix(program));
    let rows = section.expect("the program has a heading").lines();
    rows.filter_map(documented_row).collect()
}

/// A row of a table: `name` | type | `label`, … | unit | meaning.
fn documented_row(line: &str) -> Option<(String, Described)> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
    let name = cells.next()?.trim_end_matches('`').to_owned();
    let kind = cells.next()?.to_owned();
    let labels = cells
        .next()?
        .split(',')
        .map(|label| label.trim().trim_matches('`'));
    let labels = labels.filter(|label| !label.is_empty());
    Some((name, (kind, labels.map(str::to_owned).collect())))
}

/// The metrics in what a program exposes, by the names under which they are asked for.
#[must_use]
pub fn exposed(text: &str) -> BTreeMap<String, Described> {
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let described = described.filter_map(|line| line.split_once(' '));
    described
        .map(|(name, kind)| {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let name = format!("{name}{suffix}");
            let labels = labels_of(text, &name);
            (name, (kind.to_owned(), labels))
        })
        .collect()
}

/// The labels of a metric's samples; those that make a histogram are none.
fn labels_of(text: &str, name: &str) -> BTreeSet<String> {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let rest = rest.strip_prefix("_bucket").unwrap_or(rest);
        Some(rest.strip_prefix('{')?.rsplit_once('}')?.0)
    });
    let labels = samples.flat_map(|labels| labels.split("\","));
    let names = labels.filter_map(|label| label.split_once('='));
    let names = names.map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}

/// The value of the sample that is written so, such as `reprise_attempts_total{outcome="dns"}`.
#[must_use]
pub fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(sample)?.strip_prefix(' ')?;
        value.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_metrics_are_read_with_their_labels() {
        let text = "# TYPE calls counter\ncalls_total{route=\"/{id}\",how=\"a,b\"} 2\n\
                    # TYPE took_seconds histogram\ntook_seconds_bucket{le=\"1.0\",route=\"/\"} 1\n# EOF\n";
        let found = exposed(text);
        let labels = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            found["took_seconds"],
            ("histogram".to_owned(), labels(&["route"]))
        );
        assert_eq!(
            found["calls_total"],
            ("counter".to_owned(), labels(&["how", "route"]))
        );
        assert_eq!(
            value("calls_total{a=\"b\"} 2\n", "calls_total{a=\"b\"}"),
            Some(2.0)
        );
        assert_eq!(value("calls_total 2\n", "calls"), None);
    }

    #[test]
    fn documented_metrics_are_read_with_their_labels() {
        let found = documented("reprise-api");
        let (kind, labels) = &found["reprise_api_requests_total"];
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        assert_eq!(
            (kind.as_str(), labels),
            ("counter", vec!["method", "route", "status"])
        );
    }
}
