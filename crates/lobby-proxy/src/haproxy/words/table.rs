//! Words of a server's line: which there are in HAProxy 1.5 to 3.2, what follows each, which of them a catalog may not say, and
//! since which release the others are known.

use super::super::version::Version;

/// What follows a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    Number,
    Time,
    Word,
}

/// Words of a server's line with nothing after them, of HAProxy 1.5 to 3.2. This table and the next ones are in order.
const ALONE: &[&str] = &[
    "agent-check",
    "allow-0rtt",
    "backup",
    "check",
    "check-send-proxy",
    "check-ssl",
    "check-via-socks4",
    "disabled",
    "enabled",
    "force-sslv3",
    "force-tlsv10",
    "force-tlsv11",
    "force-tlsv12",
    "force-tlsv13",
    "no-agent-check",
    "no-backup",
    "no-check",
    "no-check-send-proxy",
    "no-check-ssl",
    "no-send-proxy",
    "no-send-proxy-v2",
    "no-send-proxy-v2-ssl",
    "no-send-proxy-v2-ssl-cn",
    "no-ssl",
    "no-ssl-reuse",
    "no-sslv3",
    "no-tfo",
    "no-tls-tickets",
    "no-tlsv10",
    "no-tlsv11",
    "no-tlsv12",
    "no-tlsv13",
    "non-stick",
    "send-proxy",
    "send-proxy-v2",
    "send-proxy-v2-ssl",
    "send-proxy-v2-ssl-cn",
    "ssl",
    "ssl-reuse",
    "stick",
    "tfo",
    "tls-tickets",
];

/// Words with a number after them.
const NUMBER: &[&str] = &[
    "agent-port",
    "error-limit",
    "fall",
    "id",
    "log-bufsize",
    "max-reuse",
    "maxconn",
    "maxqueue",
    "minconn",
    "pool-low-conn",
    "pool-max-conn",
    "port",
    "rise",
    "weight",
];

/// Words with a time after them.
const TIME: &[&str] = &["agent-inter", "downinter", "fastinter", "idle-ping", "inter", "pool-purge-delay", "slowstart", "tcp-ut"];

/// Words with one other word after them.
const WORD: &[&str] = &[
    "addr",
    "agent-addr",
    "agent-send",
    "alpn",
    "ca-file",
    "check-alpn",
    "check-proto",
    "check-sni",
    "ciphers",
    "ciphersuites",
    "client-sigalgs",
    "cookie",
    "crl-file",
    "crt",
    "curves",
    "guid",
    "hash-key",
    "init-addr",
    "init-state",
    "interface",
    "log-proto",
    "namespace",
    "npn",
    "observe",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "proto",
    "proxy-v2-options",
    "redir",
    "renegotiate",
    "resolve-net",
    "resolve-opts",
    "resolve-prefer",
    "resolvers",
    "set-proxy-v2-tlv-fmt",
    "shard",
    "sigalgs",
    "sni",
    "socks4",
    "source",
    "ssl-max-ver",
    "ssl-min-ver",
    "strict-maxconn",
    "track",
    "usesrc",
    "verify",
    "verifyhost",
    "ws",
];

/// Words whose values are files, expressions or names of other things, that together leave no version of TLS, that hang on how
/// HAProxy was built, or that only the newest one knows: from a catalog, each could make it refuse the file.
pub(super) const ELSEWHERE: &[&str] = &[
    "allow-0rtt",
    "ca-file",
    "check-proto",
    "ciphers",
    "ciphersuites",
    "client-sigalgs",
    "crl-file",
    "crt",
    "curves",
    "force-sslv3",
    "force-tlsv10",
    "force-tlsv11",
    "force-tlsv12",
    "force-tlsv13",
    "guid",
    "hash-key",
    "idle-ping",
    "init-state",
    "interface",
    "log-bufsize",
    "log-proto",
    "namespace",
    "no-sslv3",
    "no-tlsv10",
    "no-tlsv11",
    "no-tlsv12",
    "no-tlsv13",
    "npn",
    "proto",
    "proxy-v2-options",
    "redir",
    "renegotiate",
    "resolve-net",
    "resolve-opts",
    "resolvers",
    "set-proxy-v2-tlv-fmt",
    "shard",
    "sigalgs",
    "sni",
    "socks4",
    "source",
    "ssl-max-ver",
    "ssl-min-ver",
    "strict-maxconn",
    "tfo",
    "track",
    "usesrc",
];

/// The other words that 1.5 does not know, with a release that certainly does. In order.
const SINCE: &[(&str, Version)] = &[
    ("agent-addr", Version::new(1, 7)),
    ("agent-send", Version::new(1, 7)),
    ("alpn", Version::new(2, 0)),
    ("check-alpn", Version::new(2, 0)),
    ("check-sni", Version::new(2, 0)),
    ("check-via-socks4", Version::new(2, 0)),
    ("enabled", Version::new(1, 8)),
    ("init-addr", Version::new(1, 7)),
    ("max-reuse", Version::new(2, 0)),
    ("no-agent-check", Version::new(1, 8)),
    ("no-backup", Version::new(1, 8)),
    ("no-check", Version::new(1, 8)),
    ("no-check-send-proxy", Version::new(1, 8)),
    ("no-check-ssl", Version::new(1, 8)),
    ("no-send-proxy", Version::new(1, 8)),
    ("no-send-proxy-v2", Version::new(1, 8)),
    ("no-send-proxy-v2-ssl", Version::new(1, 8)),
    ("no-send-proxy-v2-ssl-cn", Version::new(1, 8)),
    ("no-ssl", Version::new(1, 8)),
    ("no-ssl-reuse", Version::new(1, 8)),
    ("no-tfo", Version::new(2, 0)),
    ("pool-low-conn", Version::new(2, 4)),
    ("pool-max-conn", Version::new(2, 0)),
    ("pool-purge-delay", Version::new(2, 0)),
    ("resolve-prefer", Version::new(1, 6)),
    ("ssl-reuse", Version::new(1, 8)),
    ("stick", Version::new(1, 8)),
    ("tcp-ut", Version::new(2, 4)),
    ("tls-tickets", Version::new(1, 8)),
    ("ws", Version::new(2, 6)),
];

/// The first release that certainly knows `word`; None: all do.
pub(super) fn since(word: &str) -> Option<Version> {
    SINCE.binary_search_by_key(&word, |(word, _)| word).ok().map(|at| SINCE[at].1)
}

/// What follows `word`; None: it is not known.
pub(super) fn follows(word: &str) -> Option<Follows> {
    [(ALONE, Follows::Nothing), (NUMBER, Follows::Number), (TIME, Follows::Time), (WORD, Follows::Word)]
        .into_iter()
        .find_map(|(table, follows)| table.binary_search(&word).is_ok().then_some(follows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_order() {
        for table in [ALONE, NUMBER, TIME, WORD] {
            assert!(table.windows(2).all(|two| two[0] < two[1]), "{table:?}");
        }
        assert!(SINCE.windows(2).all(|two| two[0].0 < two[1].0));
        assert!(ELSEWHERE.iter().chain(SINCE.iter().map(|(word, _)| word)).all(|word| follows(word).is_some()));
    }
}
