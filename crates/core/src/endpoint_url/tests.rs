use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<EndpointUrl, UrlError> {
    EndpointUrl::parse(text, &UrlRules::default())
}

fn canonical(text: &str) -> String {
    let url = parse(text).unwrap_or_else(|error| panic!("{text} is refused: {error}"));
    url.as_str().to_owned()
}

fn rules_with_loopback() -> UrlRules {
    let loopback = "127.0.0.0/8".parse().expect("a test network parses");
    UrlRules {
        guard: AddressGuard::new(vec![loopback]),
        allow_http: true,
    }
}

#[test]
fn urls_are_kept_in_canonical_form() {
    for (text, expected) in [
        ("https://example.com", "https://example.com/"),
        (
            "HTTPS://EXAMPLE.com:443/A?b=%20",
            "https://example.com/A?b=%20",
        ),
        ("https://example.com./x", "https://example.com./x"),
        ("https://example.com/a/../b@c", "https://example.com/b@c"),
        (
            "https://bücher.example/ä",
            "https://xn--bcher-kva.example/%C3%A4",
        ),
        ("https://ｅxample.com:8443", "https://example.com:8443/"),
        ("https://134744072/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
    ] {
        assert_eq!(canonical(text), expected);
    }
}

#[test]
fn private_addresses_are_refused_in_every_notation() {
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "０177.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "0",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::808:808]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "localhost",
        "LocalHost",
        "localhost.",
        "a.b.localhost",
        "a.localhost.",
        "ｌocalhost",
    ] {
        assert_eq!(
            parse(&format!("https://{host}/")),
            Err(UrlError::Address),
            "{host}"
        );
    }
}

#[test]
fn what_parsers_disagree_about_is_refused() {
    use UrlError as Error;
    for (text, error) in [
        ("", Error::Malformed),
        (" https://example.com", Error::ForbiddenCharacter),
        ("https://example.com/\t", Error::ForbiddenCharacter),
        ("https://exam\nple.com/", Error::ForbiddenCharacter),
        ("https://example.com/\u{a0}", Error::ForbiddenCharacter),
        ("https://example.com/\u{85}", Error::ForbiddenCharacter),
        ("https://example.com/\0", Error::ForbiddenCharacter),
        ("https://example.com/\u{7f}", Error::ForbiddenCharacter),
        ("https://example.com\\@evil/", Error::ForbiddenCharacter),
        ("https://user:pass@example.com/", Error::Credentials),
        ("https://@example.com/", Error::Credentials),
        ("https://example.com/#", Error::Fragment),
        ("https://example.com#@evil", Error::Fragment),
        ("https:example.com", Error::Scheme),
        ("https:/example.com", Error::Scheme),
        ("//example.com", Error::Scheme),
        ("ftp://example.com", Error::Scheme),
        ("javascript://example.com", Error::Scheme),
        ("https://", Error::MissingHost),
        ("https:///example.com", Error::MissingHost),
        ("https://?x", Error::MissingHost),
        ("https://:443/", Error::Malformed),
        ("https://example.com:0/", Error::Port(0)),
        ("https://example.com:6379/", Error::Port(6379)),
        ("https://example.com:65536/", Error::Malformed),
        ("https://[::1%25eth0]/", Error::Malformed),
        ("https://256.0.0.1/", Error::Malformed),
        ("https://127.0.0.1../", Error::HostName),
        ("https://a..b/", Error::HostName),
        ("https://a\"b/", Error::HostName),
        ("https://*.example.com/", Error::HostName),
        ("http://example.com/", Error::HttpNotAllowed),
    ] {
        assert_eq!(parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn long_urls_are_refused_also_when_only_the_canonical_form_is() {
    let of_length = |bytes: usize| format!("https://e.example/{}", "x".repeat(bytes - 18));
    assert!(parse(&of_length(MAX_URL_BYTES)).is_ok());
    assert_eq!(parse(&of_length(MAX_URL_BYTES + 1)), Err(UrlError::TooLong));
    let growing = format!("https://e.example/{}", "ä".repeat(500));
    assert_eq!(parse(&growing), Err(UrlError::TooLong));
}

#[test]
fn names_that_dns_could_not_hold_are_refused() {
    let longest = format!(
        "{}.{}",
        ["x".repeat(63).as_str(); 3].join("."),
        "y".repeat(61)
    );
    assert_eq!(longest.len(), 253);
    for (host, is_name) in [
        ("x".repeat(63), true),
        ("x".repeat(64), false),
        (format!("{}.example.com", "x".repeat(64)), false),
        (longest.clone(), true),
        (format!("{longest}."), true),
        (format!("{longest}y"), false),
        ("x.".repeat(127), true),
        ("x.".repeat(128), false),
    ] {
        let expected = if is_name {
            Ok(())
        } else {
            Err(UrlError::HostName)
        };
        let parsed = parse(&format!("https://{host}/")).map(|_| ());
        assert_eq!(parsed, expected, "{host}");
    }
}

#[test]
fn operator_may_allow_http_and_networks() {
    let rules = rules_with_loopback();
    for text in [
        "http://127.0.0.1:8081/hook",
        "http://localhost:8081/",
        "http://[::ffff:127.0.0.1]/",
    ] {
        assert!(EndpointUrl::parse(text, &rules).is_ok(), "{text}");
    }
    assert_eq!(
        EndpointUrl::parse("http://10.0.0.1/", &rules),
        Err(UrlError::Address)
    );
}

#[test]
fn parts_are_those_of_the_canonical_form() {
    let url = parse("https://EXAMPLE.com/x?y").expect("a valid URL");
    assert_eq!((url.scheme(), url.port()), ("https", 443));
    assert_eq!(url.host(), &Host::Domain("example.com".to_owned()));
    let stored = EndpointUrl::from_stored("http://127.0.0.1:8081/").expect("a stored URL");
    assert_eq!((stored.is_https(), stored.port()), (false, 8081));
    assert_eq!(stored.host(), &Host::<String>::Ipv4(Ipv4Addr::LOCALHOST));
}

#[test]
fn debug_hides_path_and_query() {
    let url = parse("https://example.com/hunter2?token=hunter2").expect("a valid URL");
    assert_eq!(format!("{url:?}"), "EndpointUrl(https://example.com:443/…)");
}

proptest! {
    #[test]
    fn parsing_never_panics(text: String, tail in "[ -~]{0,40}") {
        let _ = parse(&text);
        let _ = parse(&format!("https://{tail}"));
    }

    #[test]
    fn canonical_form_is_a_fixed_point(tail in "[a-zA-Z0-9.%:/?&=@äß-]{1,40}") {
        if let Ok(url) = parse(&format!("https://{tail}")) {
            prop_assert_eq!(parse(url.as_str()), Ok(url.clone()));
            prop_assert_eq!(EndpointUrl::from_stored(url.as_str()), Ok(url));
        }
    }

    #[test]
    fn every_notation_of_an_address_is_judged_alike(bits: u32) {
        let guard = AddressGuard::default();
        let ip = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = ip.octets();
        let expected = guard.permits_literal(ip.into());
        for host in [
            format!("{ip}"),
            format!("{ip}."),
            format!("{bits}"),
            format!("0x{bits:x}"),
            format!("0{bits:o}"),
            format!("{a}.{}", bits & 0x00ff_ffff),
            format!("0x{a:x}.0{b:o}.{c}.{d}"),
            format!("[::ffff:{ip}]"),
        ] {
            prop_assert_eq!(parse(&format!("https://{host}/")).is_ok(), expected, "{}", host);
        }
    }
}

#[test]
fn the_readme_tells_the_refused_ports_and_the_fault_names_its_own() {
    let readme = include_str!("../../../../README.md");
    let (_, told) = readme.split_once("Refused ports, ").expect("a paragraph");
    let (told, _) = told.split_once("\n\n").expect("its end");
    let numbers = told.split(|c: char| !c.is_ascii_digit());
    let told: Vec<u16> = numbers.filter_map(|number| number.parse().ok()).collect();
    assert_eq!(told, REFUSED_PORTS);
    let fault = parse("https://example.com:6379/").expect_err("refused");
    assert!(fault.to_string().contains("port 6379"), "{fault}");
}

#[test]
fn another_scheme_is_told_which_ones_there_are() {
    for text in ["ftp://example.com/", "mailto:a@example.com", "example.com"] {
        let fault = parse(text).expect_err("refused").to_string();
        assert!(
            fault.contains("'https://'") && fault.contains("'http://'"),
            "{fault}"
        );
    }
}
