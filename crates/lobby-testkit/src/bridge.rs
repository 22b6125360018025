//! Hosts on one switch: a network namespace for each host and one for the switch between them. Needs root.
//!
//! ```text
//! host 0 (eth0 10.77.0.1) ── v0 ┐
//! host 1 (eth0 10.77.0.2) ── v1 ┼ br0, in a namespace of its own
//! …                             ┘
//! ```
//! Nothing reaches the machine's own network. Hosts are unplugged, cut from each other in one direction or both, and made
//! to lose packets at the switch, so that no host notices by itself.
//! Not here: one namespace with loopback only (`netns`).

use std::{net::Ipv4Addr, path::Path, process::Command};

use crate::netns::Netns;

/// Hosts that one switch takes: as many as addresses in the last byte.
const MOST: usize = 250;

/// A switch and its hosts; all are deleted on drop.
#[derive(Debug)]
pub struct Bridge {
    hosts: Vec<Host>,
    switch: Netns,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    ns: Netns,
    /// Its address on the switch.
    pub ip: Ipv4Addr,
    /// The switch's side of its cable.
    port: String,
}

impl Bridge {
    /// A switch with `n` hosts.
    #[track_caller]
    pub fn new(n: usize) -> Self {
        assert!(n <= MOST, "at most {MOST} hosts");
        let switch = Netns::new();
        switch.run("ip", &["link", "add", "br0", "type", "bridge"]);
        switch.run("ip", &["link", "set", "br0", "up"]);
        let hosts: Vec<_> = (0..n).map(|idx| Host::plug_in(&switch, idx)).collect();
        hosts.iter().for_each(|host| host.know_neighbours(n));
        Self { hosts, switch }
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Pulls the cable of a host: it is silent from now on, and hears nothing.
    #[track_caller]
    pub fn unplug(&self, host: usize) {
        self.switch.run("ip", &["link", "set", &self.hosts[host].port, "down"]);
    }

    /// Plugs it in again.
    #[track_caller]
    pub fn plug(&self, host: usize) {
        self.switch.run("ip", &["link", "set", &self.hosts[host].port, "up"]);
    }

    /// Drops what hosts `from` send to hosts `to`, and only that, until [`Self::heal`].
    #[track_caller]
    pub fn cut(&self, from: impl IntoIterator<Item = usize>, to: impl IntoIterator<Item = usize>) {
        let (from, to) = (self.ports(from), self.ports(to));
        self.filter(&format!("iifname {{ {from} }} oifname {{ {to} }} drop"));
    }

    /// Drops what these hosts send to those, and those to these, until [`Self::heal`].
    #[track_caller]
    pub fn cut_both(&self, these: impl IntoIterator<Item = usize>, those: impl IntoIterator<Item = usize>) {
        let (these, those) = (self.ports(these), self.ports(those));
        let apart = |from: &str, to: &str| format!("iifname {{ {from} }} oifname {{ {to} }} drop");
        self.filter(&format!("{}; add rule bridge faults f {}", apart(&these, &those), apart(&those, &these)));
    }

    /// Loses this percentage of all packets until [`Self::heal`].
    #[track_caller]
    pub fn lose(&self, percent: u8) {
        self.filter(&format!("numgen random mod 100 < {percent} drop"));
    }

    /// Ends every cut and loss.
    #[track_caller]
    pub fn heal(&self) {
        self.switch.run("nft", &["delete", "table", "bridge", "faults"]);
    }

    /// Packets and bytes (Ethernet headers included) that a host has sent so far.
    pub fn sent(&self, host: usize) -> (u64, u64) {
        let port = &self.hosts[host].port;
        let read = |what: &str| {
            let path = format!("/sys/class/net/{port}/statistics/rx_{what}");
            let output = self.switch.command(Path::new("cat")).arg(path).output();
            let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            text.trim().parse().unwrap_or(0)
        };
        (read("packets"), read("bytes"))
    }

    fn filter(&self, rule: &str) {
        let table = "add table bridge faults; add chain bridge faults f { type filter hook forward priority 0; }; ";
        self.switch.run("nft", &[&format!("{table} add rule bridge faults f {rule}")]);
    }

    fn ports(&self, hosts: impl IntoIterator<Item = usize>) -> String {
        hosts.into_iter().map(|host| self.hosts[host].port.clone()).collect::<Vec<_>>().join(", ")
    }
}

impl Host {
    fn plug_in(switch: &Netns, idx: usize) -> Self {
        let host = Self {
            ns: Netns::new(),
            ip: Ipv4Addr::new(10, 77, 0, u8::try_from(idx + 1).expect("fewer hosts than addresses")),
            port: format!("v{idx}"),
        };
        switch.run("ip", &["link", "add", &host.port, "type", "veth", "peer", "name", "eth0", "netns", host.ns.name()]);
        switch.run("ip", &["link", "set", &host.port, "master", "br0", "up"]);
        host.ns.run("ip", &["addr", "add", &format!("{}/24", host.ip), "dev", "eth0"]);
        host.ns.run("ip", &["link", "set", "eth0", "address", &format!("02:00:0a:4d:00:{:02x}", idx + 1), "up"]);
        // A default route, for programs that guess their address by it.
        host.ns.run("ip", &["route", "add", "default", "dev", "eth0"]);
        host
    }

    /// Tells the host where all others are. Learnt addresses of all namespaces share one small table of the kernel, and
    /// when that is full, packets are dropped.
    fn know_neighbours(&self, n: usize) {
        let lines = format!(
            "for i in $(seq 1 {n}); do printf 'neigh replace 10.77.0.%d lladdr 02:00:0a:4d:00:%02x dev eth0 nud permanent\\n' $i $i; done"
        );
        self.run("sh", &["-c", &format!("{lines} | ip -batch -")]);
    }

    /// A command that will run on the host.
    pub fn command(&self, program: &Path) -> Command {
        self.ns.command(program)
    }

    /// Does something on the host, on a thread of its own. Sockets that are made there stay there, whoever uses them later.
    #[track_caller]
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        self.ns.within(act)
    }

    /// Runs a command on the host to its end; panics when it fails.
    #[track_caller]
    pub fn run(&self, program: &str, args: &[&str]) {
        self.ns.run(program, args);
    }

    /// Refuses every packet that others send to this port, as a firewall's REJECT does: TCP by a reset; UDP by an ICMP
    /// error, if `udp` too, else UDP goes through. Until [`Self::accept`].
    #[track_caller]
    pub fn reject(&self, port: u16, udp: bool) {
        let mut rules = format!("tcp dport {port} reject with tcp reset; tcp sport {port} reject with tcp reset;");
        if udp {
            rules.push_str(&format!(" udp dport {port} reject; udp sport {port} drop;"));
        }
        let table = format!(
            "table inet refuse {{ chain input {{ type filter hook input priority 0; iifname \"eth0\" jump rules; }}; chain rules {{ {rules} }}; }}"
        );
        self.run("nft", &[&table]);
    }

    /// Ends [`Self::reject`].
    #[track_caller]
    pub fn accept(&self) {
        self.run("nft", &["delete", "table", "inet", "refuse"]);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::process::find;

    fn reaches(bridge: &Bridge, from: usize, to: usize) -> bool {
        let target = bridge.hosts()[to].ip.to_string();
        let mut ping = bridge.hosts()[from].command(&find("ping"));
        ping.args(["-c", "1", "-W", "1", &target]).output().unwrap().status.success()
    }

    #[test]
    fn hosts_reach_each_other_until_they_are_cut_or_unplugged() {
        let bridge = Bridge::new(3);
        assert!(reaches(&bridge, 0, 1) && reaches(&bridge, 2, 1));
        bridge.cut([0], [1]);
        assert!(!reaches(&bridge, 0, 1) && reaches(&bridge, 0, 2));
        bridge.heal();
        bridge.cut_both([0], [1]);
        assert!(!reaches(&bridge, 0, 1) && !reaches(&bridge, 1, 0) && reaches(&bridge, 1, 2));
        bridge.heal();
        assert!(reaches(&bridge, 0, 1));
        let [first, second] = [0, 1].map(|idx| &bridge.hosts()[idx]);
        let listener = first.within(|| TcpListener::bind((first.ip, 0)).unwrap());
        let asking = second.within(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        assert_eq!(asking.local_addr().unwrap().ip(), second.ip);
        bridge.unplug(1);
        assert!(!reaches(&bridge, 0, 1));
        assert!(bridge.sent(0).0 > 0);
    }
}
