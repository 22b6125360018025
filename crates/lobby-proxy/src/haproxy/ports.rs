//! Where HAProxy is to listen, and whether somebody else does already. Decides which addresses of a new file are new, and how
//! one is tried.
//!
//! A process that cannot listen on one of its ports keeps all others from working: while the new one tries again and again,
//! the old one has paused its listeners. `haproxy -c` binds nothing, so it does not see that.
//! Not here: when it is looked at, and for which HAProxy (`output::taken`).

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
};

use tokio::net::TcpSocket;

use super::{
    keyword::{Side, side},
    words::split,
};

/// Most ports of one range that are looked at: people write some, not thousands.
const RANGE: usize = 1_024;

/// After these words on its line an address means something that cannot be tried from here.
const ELSEWHERE: [&str; 5] = ["interface", "namespace", "transparent", "v6only", "v4v6"];

/// Kinds of addresses without a port.
const PORTLESS: [&str; 6] = ["unix", "uxst", "uxdg", "abns", "abnsz", "sockpair"];

/// One port of one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listener {
    /// Kind and name: `frontend web`.
    pub(super) section: String,
    address: SocketAddr,
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

/// What of a file can be tried: no names, no unix sockets, no UDP, nothing with variables or in a section that is switched off.
fn listeners(text: &str) -> Vec<Listener> {
    let (mut section, mut found, mut begin) = (String::new(), Vec::new(), 0);
    let (mut is_off, mut is_off_by_default) = (false, false);
    for line in text.lines() {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (addresses, rest) = match words.as_slice() {
            ["bind", addresses, rest @ ..] | ["stats", "socket", addresses, rest @ ..] => (*addresses, rest),
            ["disabled", ..] => {
                is_off = true;
                // Whoever refers to which defaults: one port too few is looked at rather than one too many.
                is_off_by_default |= section.starts_with("defaults");
                continue;
            }
            ["enabled", ..] => {
                is_off = false;
                continue;
            }
            [] => continue,
            title => {
                if side(line) == Side::Section {
                    found.truncate(if is_off { begin } else { found.len() });
                    (begin, is_off) = (found.len(), is_off_by_default && title[0] != "global");
                    section = title.iter().take(2).copied().collect::<Vec<_>>().join(" ");
                }
                continue;
            }
        };
        if rest.iter().any(|word| ELSEWHERE.contains(word)) {
            continue;
        }
        for (host, ports) in addresses.split(',').filter_map(parse) {
            let listener = |port| Listener { section: section.clone(), address: SocketAddr::new(host, port) };
            found.extend(ports.take(RANGE).map(listener));
        }
    }
    found.truncate(if is_off { begin } else { found.len() });
    found
}

/// `:80`, `*:80`, `10.0.0.1:80`, `[::1]:80-89`, `ipv4@127.0.0.1:80`
fn parse(text: &str) -> Option<(IpAddr, RangeInclusive<u16>)> {
    let (kind, text) = text.split_once('@').unwrap_or(("", text));
    if !["", "ipv4", "ipv6", "tcp", "tcp4", "tcp6"].contains(&kind) {
        return None;
    }
    let (host, ports) = text.rsplit_once(':')?;
    let ports = range(ports).filter(|ports| *ports.start() != 0)?;
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "*" if kind.ends_with('6') => Ipv6Addr::UNSPECIFIED.into(),
        "" | "*" => Ipv4Addr::UNSPECIFIED.into(),
        // What a name is here and now, HAProxy may see otherwise.
        host => host.parse().ok()?,
    };
    Some((host, ports))
}

fn range(ports: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// All ports on which a process with this file may listen, wherever and however. None: one of them cannot be told.
fn ports(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let (mut is_peers, mut found) = (false, Vec::new());
    for line in text.lines() {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if side(line) == Side::Section {
            is_peers = words.first() == Some(&"peers");
        }
        let addresses = match words.as_slice() {
            ["bind", addresses, ..] | ["stats", "socket", addresses, ..] => addresses,
            // One of them is the process itself.
            ["peer" | "server", _, address, ..] if is_peers && address.contains([':', '$']) => address,
            // As old releases have it.
            ["frontend" | "listen", _, addresses, ..] if *addresses != "from" => addresses,
            _ => continue,
        };
        let plain = addresses.replace(['"', '\'', '\\'], "");
        for address in plain.split(',').filter(|address| !is_portless(address)) {
            let (_, ports) = address.rsplit_once(':')?;
            found.push(range(ports)?);
        }
    }
    Some(found)
}

fn is_portless(address: &str) -> bool {
    // `${RUNTIME_DIRECTORY}/haproxy.sock`
    let is_path = address.starts_with('/') || address.rsplit('}').next().is_some_and(|end| end.contains('/'));
    is_path || address.is_empty() || address.split_once('@').is_some_and(|(kind, _)| PORTLESS.contains(&kind))
}

/// What `wanted` has on a port that none of the others has anywhere. One port too few is no harm; to try one that our own
/// process has is: it would keep the file back for ever. So if a port of theirs cannot be told, there is nothing.
pub(super) fn new_in(wanted: &str, others: &[&str]) -> Vec<Listener> {
    let Some(others) = others.iter().map(|text| ports(text)).collect::<Option<Vec<_>>>() else { return Vec::new() };
    let others = others.concat();
    let is_new = |listener: &Listener| !others.iter().any(|ports| ports.contains(&listener.address.port()));
    listeners(wanted).into_iter().filter(is_new).collect()
}

/// The first that somebody has, with its section.
pub(super) fn first_taken(listeners: &[Listener]) -> Option<Taken> {
    let listener = listeners.iter().find(|listener| is_taken(listener.address))?;
    Some(Taken { owner: listener.section.clone(), address: listener.address })
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
        listeners.iter().map(|one| format!("{} {} {}", one.section, one.address.ip(), one.address.port())).collect()
    }

    #[test]
    fn addresses_are_read_as_far_as_they_can_be_tried() {
        const CASES: &[(&str, &[&str])] = &[
            ("bind 10.0.0.1:80 ssl crt /x", &["10.0.0.1 80"]),
            ("bind :80,[::1]:81", &["0.0.0.0 80", "::1 81"]),
            ("bind *:80-82", &["0.0.0.0 80", "0.0.0.0 81", "0.0.0.0 82"]),
            ("bind :::80", &[":: 80"]),
            ("bind ipv4@localhost:80", &[]),
            ("bind localhost:80", &[]),
            ("bind ipv4@127.0.0.1:80", &["127.0.0.1 80"]),
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
    fn a_section_that_is_switched_off_listens_nowhere() {
        const CASES: &[(&str, &[&str])] = &[
            ("frontend a\nbind :1\ndisabled\nfrontend b\nbind :2\n", &["frontend b 0.0.0.0 2"]),
            ("frontend a\nbind :1\nfrontend b\ndisabled\nbind :2\n", &["frontend a 0.0.0.0 1"]),
            ("frontend a\ndisabled\nenabled\nbind :1\n", &["frontend a 0.0.0.0 1"]),
            ("defaults\ndisabled\nfrontend a\nbind :1\nfrontend b\nenabled\nbind :2\n", &["frontend b 0.0.0.0 2"]),
        ];
        for (text, want) in CASES {
            assert_eq!(shown(&listeners(text)), *want, "{text}");
        }
    }

    #[test]
    fn what_somebody_of_ours_may_have_is_not_new() {
        let file = |bind: &str| format!("frontend web\n\tbind {bind}\nlisten stats\nbind 127.0.0.1:9\n");
        const CASES: &[(&str, &str, usize)] = &[
            ("10.0.0.1:80", "10.0.0.1:80", 0),
            ("10.0.0.1:80", "10.0.0.1:81", 1),
            // It may be free, and that is not worth a mistake.
            ("10.0.0.1:80", "10.0.0.2:80", 0),
            ("10.0.0.1:80", ":80", 0),
            ("[::]:80", "10.0.0.1:80", 0),
            ("[::]:80 v6only", "[::]:80", 0),
            (":80 interface eth0", ":80", 0),
            (":80 namespace x", ":80", 0),
            ("10.0.0.1:80 transparent", ":80", 0),
            ("mptcp@:80", ":80", 0),
            ("quic4@:80 ssl", ":80", 0),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", 0),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", 0),
            ("localhost:80", "127.0.0.1:80", 0),
            ("${IP}:80", "10.0.0.1:80", 0),
            ("\"${IP}:80\"", "10.0.0.1:80", 0),
            ("${IP}:80", "10.0.0.1:81", 1),
            (":1000-9000", ":8000", 0),
            (":70,[::1]:80", ":80", 0),
            // Whatever it is, it may be this one.
            (":${PORT}", "10.0.0.1:80", 0),
            ("${ADDRESS}", "10.0.0.1:80", 0),
            ("fd@3", "10.0.0.1:80", 0),
            ("/run/web.sock", "127.0.0.1:80", 1),
            ("${FOLDER}/web.sock", "127.0.0.1:80", 1),
            ("unix@/run/web.sock,abns@x:80", "127.0.0.1:80", 1),
        ];
        for (before, now, want) in CASES {
            assert_eq!(new_in(&file(now), &[&file(before)]).len(), *want, "{before} {now}");
        }
        assert_eq!(shown(&new_in(&file(":80"), &["", "listen x\n\tbind :9\n"])), ["frontend web 0.0.0.0 80"]);
        const ELSEWHERE: &[(&str, usize)] = &[
            ("peers p\npeer a 10.0.0.1:80\n", 0),
            ("peers p\nbind :80\nserver a\n", 0),
            ("peers p\nserver a 10.0.0.1:80\n", 0),
            ("backend b\nserver a 10.0.0.1:80\n", 1),
            ("backend b\nserver a 10.0.0.1\n", 1),
            ("global\nstats socket 127.0.0.1:80 level admin\n", 0),
            ("global\nstats socket /run/h.sock mode 660\n", 1),
            ("listen old :80\n", 0),
            ("frontend new from base\n", 1),
        ];
        for (before, want) in ELSEWHERE {
            assert_eq!(new_in(&file(":80"), &[before, "listen x\n\tbind :9\n"]).len(), *want, "{before}");
        }
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
            let taken = first_taken(&new_in(&file(bind), &[])).unwrap();
            assert_eq!((taken.owner.as_str(), taken.address.port()), ("frontend web", address.port()));
        }
        drop(listening);
        assert_eq!(first_taken(&new_in(&file(address.to_string()), &[])), None);
        // Not on this machine: not ours to judge.
        assert_eq!(first_taken(&new_in(&file("192.0.2.1:80".into()), &[])), None);
    }
}
