//! What a delivery's pure steps cost: the shares of a claim, signing, the retry decision, the address guard. Run by
//! `make bench-micro`. What the claim costs in PostgreSQL is measured by `reprise-bench backlog`.

use std::{hint::black_box, net::IpAddr, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reprise_core::{
    address::AddressGuard,
    attempt_outcome::{AttemptOutcome, FailureKind},
    fair_share::{Caps, InFlight, share_out},
    ids::{EndpointId, TenantId},
    retry::{Jitter, RetryPolicy, RetrySchedule},
    signing::{SignatureAlgorithm, SignatureScheme, SignedMessage, SigningSecret, sign},
};

/// A small event, the one of the other benchmarks, and the largest there is.
const BODY_BYTES: [usize; 3] = [50, 500, 1_048_576];

/// Places that a claim of a dispatcher with nothing in flight shares out.
const PLACES: usize = 448;

fn claim(criterion: &mut Criterion) {
    let caps = Caps {
        per_endpoint: 32,
        per_tenant: 256,
    };
    let in_flight = InFlight::default();
    let tenants: Vec<_> = (0..8).map(|_| TenantId::new()).collect();
    let mut group = criterion.benchmark_group("claim");
    for endpoints in [1, 64, 1_024] {
        let tenants = tenants.iter().copied().cycle();
        let endpoint_ids = std::iter::repeat_with(EndpointId::new);
        let candidates: Vec<_> = tenants.zip(endpoint_ids).take(endpoints).collect();
        group.bench_function(BenchmarkId::new("shares", endpoints), |bencher| {
            bencher.iter(|| {
                let mut last_lot = 0;
                let lot = || {
                    last_lot += 1;
                    last_lot
                };
                share_out(
                    PLACES,
                    PLACES,
                    black_box(&candidates),
                    &in_flight,
                    caps,
                    lot,
                )
            });
        });
    }
    group.finish();
}

fn signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sign");
    for (name, algorithm) in [
        ("hmac-sha256", SignatureAlgorithm::HmacSha256),
        ("ed25519", SignatureAlgorithm::Ed25519),
    ] {
        let scheme = SignatureScheme::Standard(algorithm);
        let secret = SigningSecret::generate_for(&scheme);
        for bytes in BODY_BYTES {
            let body = vec![b'a'; bytes];
            let message = SignedMessage {
                id: "01940d1c-7a80-7000-8000-000000000000",
                timestamp: 1_735_689_600,
                body: &body,
            };
            group.throughput(Throughput::Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)));
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| sign(&scheme, &[&secret], black_box(&message)));
            });
        }
    }
    group.finish();
}

fn retry_decision(criterion: &mut Criterion) {
    let policy = RetryPolicy::new(RetrySchedule::Exponential, None).unwrap_or_default();
    let answered = |status, retry_after| AttemptOutcome::Answered {
        status,
        retry_after,
    };
    let mut group = criterion.benchmark_group("retry");
    for (name, outcome) in [
        ("delivered", answered(200, None)),
        ("told to wait", answered(503, Some(Duration::from_secs(90)))),
        ("timed out", AttemptOutcome::Failed(FailureKind::Timeout)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| policy.decide(black_box(3), black_box(&outcome), Jitter::MAX));
        });
    }
    group.finish();
}

fn address_guard(criterion: &mut Criterion) {
    let networks = ["10.20.0.0/16", "fd00::/8"];
    let networks = networks.iter().filter_map(|network| network.parse().ok());
    let guard = AddressGuard::new(networks.collect());
    let mut group = criterion.benchmark_group("address");
    for (name, address) in [
        ("public IPv4", IpAddr::from([93, 184, 216, 34])),
        ("private IPv4", IpAddr::from([10, 0, 0, 1])),
        ("allowed IPv4", IpAddr::from([10, 20, 0, 1])),
        (
            "public IPv6",
            IpAddr::from([0x2606, 0x2800, 0, 0, 0, 0, 0, 1]),
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| guard.permits(black_box(address)));
        });
    }
    group.finish();
}

criterion_group!(micro, claim, signing, retry_decision, address_guard);
criterion_main!(micro);
