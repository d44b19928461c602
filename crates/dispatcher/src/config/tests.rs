use super::*;

const KEY: &str = "dGVzdC1vbmx5LXNlY3JldC1rZXktb2YtMzItYnl0ZXM=";

fn read(flags: &[&str]) -> Result<Config, Problems> {
    let flags = ["reprise-dispatcher"].iter().chain(flags);
    Config::read(&Arguments::try_parse_from(flags).expect("the flags are known"))
}

#[test]
fn defaults_are_the_contracts() {
    let config = read(&["--database-url=postgres://localhost/x", "--secret-key", KEY])
        .expect("all that is required is there");
    assert_eq!(config.limits.in_flight, 512);
    assert_eq!(config.limits.per_tenant, 256);
    assert_eq!(config.limits.per_endpoint, 32);
    assert_eq!(config.drain_timeout, Duration::from_mins(1));
    assert_eq!(config.retention, Duration::from_hours(90 * 24));
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9090");
    assert!(!config.outbound.allow_http);
    for private in ["127.0.0.1", "10.0.0.1", "::1"] {
        let address = private.parse().expect("an address");
        assert!(!config.outbound.guard.permits(address), "{private}");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mistakes = [
        ("--database-url", "DATABASE_URL"),
        ("--secret-key", "REPRISE_SECRET_KEY"),
        ("--secret-key-previous", "REPRISE_SECRET_KEY_PREVIOUS"),
        ("--admin-listen", "REPRISE_ADMIN_LISTEN"),
        ("--allow-networks", "REPRISE_ALLOW_NETWORKS"),
        ("--allow-http", "REPRISE_ALLOW_HTTP"),
        ("--max-in-flight", "REPRISE_MAX_IN_FLIGHT"),
        (
            "--max-in-flight-per-tenant",
            "REPRISE_MAX_IN_FLIGHT_PER_TENANT",
        ),
        (
            "--max-in-flight-per-endpoint",
            "REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT",
        ),
        ("--circuit-failures", "REPRISE_CIRCUIT_FAILURES"),
        ("--circuit-failing-for", "REPRISE_CIRCUIT_FAILING_FOR"),
        ("--circuit-pause", "REPRISE_CIRCUIT_PAUSE"),
        ("--circuit-max-pause", "REPRISE_CIRCUIT_MAX_PAUSE"),
        ("--retention-days", "REPRISE_RETENTION_DAYS"),
        ("--drain-timeout", "REPRISE_DRAIN_TIMEOUT"),
        ("--poll-interval", "REPRISE_POLL_INTERVAL"),
        ("--database-connections", "REPRISE_DATABASE_CONNECTIONS"),
        ("--log", "REPRISE_LOG"),
        ("--log-format", "REPRISE_LOG_FORMAT"),
    ];
    let flags: Vec<String> = mistakes.map(|(flag, _)| format!("{flag}=!=!")).into();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let report = read(&flags).expect_err("all of it is wrong").to_string();
    for (_, variable) in mistakes {
        assert!(
            report.contains(&format!("\n  {variable}: ")),
            "{variable} in {report}"
        );
    }
}
