//! Where HAProxy is to listen, and whether somebody else does already. Decides which addresses of a new file are new, and how
//! one is tried.
//!
//! A process that cannot listen on one of its ports keeps all others from working: while the new one tries again and again,
//! the old one has paused its listeners. `haproxy -c` binds nothing, so it does not see that.
//! Not here: when it is looked at, and for which HAProxy (`output::taken`).

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{TcpSocket, lookup_host};

use super::{
    keyword::{Side, side},
    words::split,
};

/// Most ports of one range that are looked at: people write some, not thousands.
const RANGE: usize = 1_024;

/// After these words on its line an address means something that cannot be tried from here.
const ELSEWHERE: [&str; 5] = ["interface", "namespace", "transparent", "v6only", "v4v6"];

/// One port of one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listener {
    /// Kind and name: `frontend web`.
    pub(super) section: String,
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// An address that another program has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Who was to have it: `proxy.service.web`, or a section.
    pub owner: String,
    /// Which.
    pub address: SocketAddr,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is taken by another program", self.owner, self.address)
    }
}

/// All that a file has, as far as they can be understood: no unix sockets, no UDP, nothing with variables.
fn listeners(text: &str) -> Vec<Listener> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (addresses, rest) = match words.as_slice() {
            ["bind", addresses, rest @ ..] | ["stats", "socket", addresses, rest @ ..] => (*addresses, rest),
            [] => continue,
            title => {
                if side(line) == Side::Section {
                    section = title.iter().take(2).copied().collect::<Vec<_>>().join(" ");
                }
                continue;
            }
        };
        if rest.iter().any(|word| ELSEWHERE.contains(word)) {
            continue;
        }
        for (host, ports) in addresses.split(',').filter_map(parse) {
            let listener = |port| Listener { section: section.clone(), host: host.clone(), port };
            found.extend(ports.take(RANGE).map(listener));
        }
    }
    found
}

/// `:80`, `*:80`, `10.0.0.1:80`, `[::1]:80-89`, `ipv4@localhost:80`
fn parse(text: &str) -> Option<(Host, std::ops::RangeInclusive<u16>)> {
    let (kind, text) = text.split_once('@').unwrap_or(("", text));
    if !["", "ipv4", "ipv6", "tcp", "tcp4", "tcp6"].contains(&kind) {
        return None;
    }
    let (host, ports) = text.rsplit_once(':')?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let ports = first.parse().ok().filter(|port| *port != 0)?..=last.parse().ok()?;
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "*" if kind.ends_with('6') => Host::Address(Ipv6Addr::UNSPECIFIED.into()),
        "" | "*" => Host::Address(Ipv4Addr::UNSPECIFIED.into()),
        host => match host.parse() {
            Ok(address) => Host::Address(address),
            Err(_) if host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) => Host::Name(host.to_owned()),
            Err(_) => return None,
        },
    };
    Some((host, ports))
}

impl Listener {
    /// Who has one of them may have the other. Of a name nobody knows.
    fn overlaps(&self, other: &Self) -> bool {
        let is_one = match (&self.host, &other.host) {
            (Host::Address(one), Host::Address(other)) => one == other || one.is_unspecified() || other.is_unspecified(),
            _ => true,
        };
        self.port == other.port && is_one
    }

    /// Names are not asked for, but for the one that each machine knows by itself.
    async fn address(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Address(address) => Some(SocketAddr::new(*address, self.port)),
            Host::Name(name) if name == "localhost" => lookup_host((name.as_str(), self.port)).await.ok()?.next(),
            Host::Name(_) => None,
        }
    }
}

/// What `wanted` has and none of the others.
pub(super) fn new_in(wanted: &str, others: &[&str]) -> Vec<Listener> {
    let others: Vec<_> = others.iter().flat_map(|text| listeners(text)).collect();
    let is_new = |listener: &Listener| !others.iter().any(|other| other.overlaps(listener));
    listeners(wanted).into_iter().filter(is_new).collect()
}

/// The first that somebody has, with its section.
pub(super) async fn first_taken(listeners: &[Listener]) -> Option<Taken> {
    for listener in listeners {
        if let Some(address) = listener.address().await
            && is_taken(address)
        {
            return Some(Taken { owner: listener.section.clone(), address });
        }
    }
    None
}

/// Whether somebody listens there. Nobody can connect to this try, and HAProxy can bind meanwhile, as it listens to nothing.
/// Only this counts: another user may bind what this one may not, and an address may be about to come.
fn is_taken(address: SocketAddr) -> bool {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        // Connections that linger are in nobody's way. Without SO_REUSEPORT, so that an HAProxy of others is seen as well.
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    });
    bound.is_err_and(|err| err.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(listeners: &[Listener]) -> Vec<String> {
        let host = |host: &Host| match host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        };
        listeners.iter().map(|one| format!("{} {} {}", one.section, host(&one.host), one.port)).collect()
    }

    #[test]
    fn addresses_are_read_as_far_as_they_can_be_tried() {
        const CASES: &[(&str, &[&str])] = &[
            ("bind 10.0.0.1:80 ssl crt /x", &["10.0.0.1 80"]),
            ("bind :80,[::1]:81", &["0.0.0.0 80", "::1 81"]),
            ("bind *:80-82", &["0.0.0.0 80", "0.0.0.0 81", "0.0.0.0 82"]),
            ("bind :::80", &[":: 80"]),
            ("bind ipv4@localhost:80", &["localhost 80"]),
            ("bind ipv6@:80", &[":: 80"]),
            ("stats socket 127.0.0.1:999 level admin", &["127.0.0.1 999"]),
            ("stats socket /run/h.sock mode 660", &[]),
            ("bind /run/web.sock", &[]),
            ("bind unix@/run/web.sock", &[]),
            ("bind abns@x:80", &[]),
            ("bind quic4@:443 ssl", &[]),
            ("bind :80 interface eth0", &[]),
            ("bind [::]:80 v6only", &[]),
            ("bind \"${HOST}:80\"", &[]),
            ("bind :${PORT}", &[]),
            ("bind :0", &[]),
            ("bind :65536", &[]),
            ("bind", &[]),
            ("# bind :80", &[]),
            ("server x 10.0.0.1:80", &[]),
        ];
        for (line, want) in CASES {
            let found = shown(&listeners(&format!("frontend f from d\n\t{line}\n")));
            let want: Vec<_> = want.iter().map(|place| format!("frontend f {place}")).collect();
            assert_eq!(found, want, "{line}");
        }
    }

    #[test]
    fn what_somebody_of_ours_may_have_is_not_new() {
        let file = |bind: &str| format!("frontend web\n\tbind {bind}\nlisten stats\nbind 127.0.0.1:9\n");
        const CASES: &[(&str, &str, usize)] = &[
            ("10.0.0.1:80", "10.0.0.1:80", 0),
            ("10.0.0.1:80", "10.0.0.1:81", 1),
            ("10.0.0.1:80", "10.0.0.2:80", 1),
            ("10.0.0.1:80", ":80", 0),
            ("[::]:80", "10.0.0.1:80", 0),
            ("localhost:80", "127.0.0.1:80", 0),
            ("/run/web.sock", "127.0.0.1:80", 1),
        ];
        for (before, now, want) in CASES {
            assert_eq!(new_in(&file(now), &[&file(before)]).len(), *want, "{before} {now}");
        }
        assert_eq!(shown(&new_in(&file(":80"), &["", "listen x\n\tbind :9\n"])), ["frontend web 0.0.0.0 80"]);
    }

    #[tokio::test]
    async fn a_listener_is_seen_whatever_it_shares_and_a_free_port_is_not() {
        let file = |bind: String| format!("frontend web\n\tbind {bind}\n");
        let listening = TcpSocket::new_v4().unwrap();
        listening.set_reuseport(true).unwrap();
        listening.set_reuseaddr(true).unwrap();
        listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listening = listening.listen(1).unwrap();
        let address = listening.local_addr().unwrap();
        for bind in [address.to_string(), format!(":{}", address.port())] {
            let taken = first_taken(&new_in(&file(bind), &[])).await.unwrap();
            assert_eq!((taken.owner.as_str(), taken.address.port()), ("frontend web", address.port()));
        }
        drop(listening);
        assert_eq!(first_taken(&new_in(&file(address.to_string()), &[])).await, None);
        // Not on this machine: not ours to judge.
        assert_eq!(first_taken(&new_in(&file("192.0.2.1:80".into()), &[])).await, None);
    }
}
