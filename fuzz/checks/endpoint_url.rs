//! Whatever a tenant sends as a URL: what is taken leads where both of its readers say, and nowhere private.

use std::net::IpAddr;

use hyper::Uri;
use reprise_core::address::is_public;
use reprise_core::endpoint_url::{EndpointUrl, Host, UrlRules, is_refused_port};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let rules = UrlRules::default();
    let Ok(url) = EndpointUrl::parse(text, &rules) else {
        return;
    };
    assert!(url.is_https() && !is_refused_port(url.port()));
    match url.host() {
        Host::Domain(name) => assert!(name.parse::<IpAddr>().is_err()),
        Host::Ipv4(ip) => assert!(is_public((*ip).into())),
        Host::Ipv6(ip) => assert!(is_public((*ip).into())),
    }
    assert_eq!(EndpointUrl::parse(url.as_str(), &rules).as_ref(), Ok(&url));
    assert_eq!(EndpointUrl::from_stored(url.as_str()).as_ref(), Ok(&url));
    check_that_the_dispatcher_agrees(&url);
}

/// The API reads URLs with one library, the dispatcher with another.
fn check_that_the_dispatcher_agrees(url: &EndpointUrl) {
    let uri: Uri = url.as_str().parse().expect("the dispatcher can read it");
    assert_eq!(uri.scheme_str(), Some(url.scheme()));
    assert_eq!(uri.host(), Some(url.host().to_string().as_str()));
    assert_eq!(uri.port_u16().unwrap_or(443), url.port());
    let authority = uri.authority().expect("a host").as_str();
    assert!(!authority.contains('@'));
    let path = uri.path_and_query().expect("a path").as_str();
    assert_eq!(format!("https://{authority}{path}"), url.as_str());
}

#[cfg(test)]
#[test]
fn the_corpus_of_endpoint_url_holds() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/corpus/endpoint_url"
    );
    let files: Vec<_> = std::fs::read_dir(folder).expect("a corpus").collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.expect("listed").path();
        check(&std::fs::read(path).expect("readable"));
    }
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn any_url_that_is_taken_is_read_alike(
        host in "[a-zA-Z0-9.%:@\\[\\]_-]{1,30}",
        tail in "[ -~äß]{0,40}",
    ) {
        check(format!("https://{tail}").as_bytes());
        check(format!("https://{host}/{tail}").as_bytes());
        check(format!("https://receiver.example:8443/{tail}").as_bytes());
        check(format!("https://receiver.example?{tail}").as_bytes());
    }
}
