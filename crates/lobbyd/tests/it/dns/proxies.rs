//! Proxies that find their servers by SRV: real requests arrive where they should, and follow changes.

use std::{collections::BTreeSet, net::SocketAddr};

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect, http,
    server::{caddy, haproxy},
};
use serde_json::json;

use super::{dns, with_dns};
use crate::{
    catalog::{deregister, register},
    clients::Backend,
    fleet::SOON,
};

fn offer(agent: &Daemon, backend: &Backend) {
    let (id, port) = (&backend.name, backend.address.port());
    register(agent, &json!({"Name": "web", "ID": id, "Address": "127.0.0.1", "Port": port}));
}

/// Waits until requests arrive at exactly these.
#[track_caller]
fn arrive_at(proxy: SocketAddr, want: &[&str], log: impl Fn() -> String) {
    let want: BTreeSet<_> = want.iter().map(|name| (*name).to_owned()).collect();
    eventually(SOON, || {
        let answers = (0..12).map(|_| http::get(proxy, "/"));
        let seen: BTreeSet<_> = answers
            .map(|answer| match answer {
                Ok(answer) if answer.status == 200 => answer.text().trim().to_owned(),
                Ok(answer) => format!("status {}", answer.status),
                Err(err) => err.to_string(),
            })
            .collect();
        expect(seen == want, (seen, log()))
    });
}

fn check(agent: &Daemon, proxy: SocketAddr, log: impl Fn() -> String) {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    offer(agent, &one);
    arrive_at(proxy, &["one"], &log);
    offer(agent, &two);
    arrive_at(proxy, &["one", "two"], &log);
    deregister(agent, "one");
    arrive_at(proxy, &["two"], &log);
    offer(agent, &one);
    arrive_at(proxy, &["one", "two"], &log);
}

#[test]
fn haproxy_routes_by_srv() {
    let agent = with_dns("n1").start();
    let proxy = haproxy::start(&format!(
        "resolvers lobby\n  nameserver local {}\n  accepted_payload_size 1232\n  hold valid 100ms\n  hold nx 100ms\n  \
         hold obsolete 100ms\n  timeout resolve 200ms\nbackend s\n  balance roundrobin\n  \
         server-template web 3 _web._tcp.service.consul resolvers lobby init-addr none\n",
        dns(&agent)
    ));
    check(&agent, proxy.address, || proxy.log());
}

#[test]
fn caddy_routes_by_srv() {
    let agent = with_dns("n1").start();
    let at = dns(&agent);
    let proxy = caddy::start(&format!(
        "\treverse_proxy {{\n\t\tdynamic srv web.service.consul {{\n\t\t\trefresh 100ms\n\t\t\tresolvers {at}\n\t\t}}\n\t\t\
         lb_policy round_robin\n\t\ttransport http {{\n\t\t\tresolvers {at}\n\t\t}}\n\t}}"
    ));
    check(&agent, proxy.address, || proxy.log());
}
