//! What all kinds have in common, and help for the tests of each.

use lobby_testkit::{eventually_async, expect};

use super::*;

pub(super) mod grpc_server;

/// Far above what any test needs, and below what a reader of a hanging test waits.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// A run that is expected to end long before its timeout.
pub(super) async fn check(kind: &Kind) -> Verdict {
    check_within(kind, SOON * 2, 4096).await
}

pub(super) async fn check_within(kind: &Kind, timeout: Duration, keep: usize) -> Verdict {
    tokio::time::timeout(SOON, run(kind, timeout, keep)).await.expect("the run ends")
}

/// Waits until something is so.
pub(super) async fn eventually(mut is_so: impl FnMut() -> bool) {
    eventually_async(SOON, || std::future::ready(expect(is_so(), "it is not so yet"))).await;
}

pub(super) fn text(verdict: &Verdict) -> String {
    verdict.output().cut(4096)
}

#[tokio::test]
async fn what_cannot_be_run_is_critical_and_says_so() {
    let cases = [
        (Kind::Docker { container: "web".into(), shell: None, args: vec!["true".into()] }, "docker", "not available"),
        (Kind::Ttl { ttl: SOON }, "ttl", "is not run"),
        (Kind::Hold, "hold", "is not run"),
        (Kind::Maintenance, "maintenance", "is not run"),
    ];
    for (kind, what, why) in cases {
        let verdict = check(&kind).await;
        assert_eq!(verdict.status, Status::Critical, "{kind:?}");
        let text = text(&verdict);
        assert!(text.contains(what) && text.contains(why), "{text}");
    }
}

#[tokio::test]
async fn no_timeout_and_no_size_is_too_long_or_too_short() {
    let args = ["sh", "-c", "printf abc"].map(str::to_owned).into();
    let script = Kind::Script { args };
    for keep in [0, 1] {
        let verdict = check_within(&script, Duration::MAX, keep).await;
        assert_eq!((verdict.status, verdict.output()), (Status::Passing, Output { tail: "c", total: 3 }));
    }
    assert_eq!(check_within(&script, Duration::MAX, usize::MAX).await.output().tail, "abc");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = Kind::Tcp { address: listener.local_addr().unwrap().to_string(), tls: None };
    assert_eq!(check_within(&tcp, Duration::MAX, 1).await.status, Status::Passing);
    let endless = Kind::Script { args: ["sh", "-c", "while :; do :; done"].map(str::to_owned).into() };
    for timeout in [Duration::ZERO, Duration::from_nanos(1)] {
        assert_eq!(check_within(&endless, timeout, 1).await.status, Status::Critical);
    }
}
