//! Pipelines over made addresses: what is private, and what the words do.

use super::*;

fn machine() -> Vec<Address> {
    [
        ("lo", "127.0.0.1", 8),
        ("eth0", "10.1.2.3", 16),
        ("eth0", "fe80::1", 64),
        ("eth1", "8.8.4.4", 24),
        ("docker0", "172.17.0.1", 24),
    ]
    .map(|(name, ip, prefix)| Address { name: name.into(), ip: ip.parse().unwrap(), prefix })
    .into()
}

#[track_caller]
fn check(text: &str, want: &str) {
    assert_eq!(evaluate(text, &machine()).unwrap_or_else(|err| err.0), want, "{text}");
}

#[test]
fn addresses_by_what_they_are_for() {
    // The smaller network comes first.
    check("GetPrivateIP", "172.17.0.1");
    check("GetPrivateIPs", "172.17.0.1 10.1.2.3");
    check("GetPublicIP", "8.8.4.4");
    check(r#"GetInterfaceIP "eth0""#, "10.1.2.3");
    check(r#"GetInterfaceIP "wlan""#, "");
}

#[test]
fn pipelines() {
    check(r#"GetAllInterfaces | include "name" "eth" | include "type" "IPv4" | join "address" ",""#, "10.1.2.3,8.8.4.4");
    check(r#"GetPrivateInterfaces | exclude "name" "docker.*" | attr "address""#, "10.1.2.3");
    check(r#"GetAllInterfaces | sort "-address" | limit 1 | attr "name""#, "eth0");
    check(r#"GetAllInterfaces | include "network" "10.0.0.0/8" | attr "network""#, "10.1.0.0/16");
    check(r#"GetAllInterfaces | exclude "flags" "loopback" | unique "name" | offset 1 | join "name" " ""#, "eth1 docker0");
    check(r#"GetAllInterfaces | include "rfc" "1918" | attr "size""#, "65536");
    check(r#"GetAllInterfaces | include "name" "none" | attr "address""#, "");
}

#[test]
fn what_is_not_known_is_said() {
    check("GetTeapots", r#"sockaddr: "GetTeapots" with 0 arguments is not known"#);
    check(r#"GetPrivateIP | attr "x""#, "sockaddr: attr needs addresses");
    check(r#"GetAllInterfaces | attr "x""#, r#"sockaddr: no attribute "x""#);
    check(r#"GetAllInterfaces | include "name" "("#, "sockaddr: unterminated quoted string");
}
