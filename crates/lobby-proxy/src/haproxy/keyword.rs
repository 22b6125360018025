//! Which lines may stand in a frontend, which in a backend. Decides where a line of `listen` goes and what of a section's own
//! lines is at the wrong place.
//!
//! The tables follow the keyword matrix of HAProxy's manuals from 1.5 to 3.2; what they do not know may be newer.

/// Where a line may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
    Both,
    /// May stand in both, but not twice for one service: `listen` gives it to the backend.
    Once,
    /// It begins another section.
    Section,
    /// No keyword that we know.
    Unknown,
}

impl Side {
    /// Whether a frontend takes it, when `listen` asks.
    pub(crate) fn is_for_frontend(self) -> bool {
        matches!(self, Self::Front | Self::Both)
    }

    /// Whether a backend takes it, when `listen` asks.
    pub(crate) fn is_for_backend(self) -> bool {
        matches!(self, Self::Back | Self::Both | Self::Once)
    }
}

/// Titles of sections.
const SECTIONS: &[&str] = &[
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
];

/// First words that only a frontend takes.
const FRONT: &[&str] = &[
    "backlog",
    "bind",
    "capture",
    "clitcpka-cnt",
    "clitcpka-idle",
    "clitcpka-intvl",
    "clitimeout",
    "declare",
    "default_backend",
    "error-log-format",
    "log-format",
    "log-format-sd",
    "log-steps",
    "max-session-srv-conns",
    "maxconn",
    "monitor",
    "monitor-net",
    "monitor-uri",
    "quic-initial",
    "rate-limit",
    "unique-id-format",
    "unique-id-header",
    "use_backend",
];

/// First words that only a backend takes.
const BACK: &[&str] = &[
    "appsession",
    "balance",
    "contimeout",
    "cookie",
    "default-server",
    "dispatch",
    "email-alert",
    "external-check",
    "force-persist",
    "fullconn",
    "hash-balance-factor",
    "hash-preserve-affinity",
    "hash-type",
    "http-check",
    "http-reuse",
    "http-send-name-header",
    "ignore-persist",
    "load-server-state-from-file",
    "max-keep-alive-queue",
    "persist",
    "redisp",
    "redispatch",
    "retries",
    "retry-on",
    "server",
    "server-state-file-name",
    "server-template",
    "source",
    "srvtcpka-cnt",
    "srvtcpka-idle",
    "srvtcpka-intvl",
    "srvtimeout",
    "stick",
    "tcp-check",
    "tcp-response",
    "transparent",
    "use-fcgi-app",
    "use-server",
];

/// First words that both take.
const BOTH: &[&str] = &[
    "acl",
    "bind-process",
    "block",
    "compression",
    "description",
    "disabled",
    "enabled",
    "errorfile",
    "errorfiles",
    "errorloc",
    "errorloc302",
    "errorloc303",
    "filter",
    "grace",
    "http-after-response",
    "http-error",
    "http-request",
    "http-response",
    "log",
    "log-tag",
    "mode",
    "redirect",
    "reqadd",
    "reqallow",
    "reqdel",
    "reqdeny",
    "reqiallow",
    "reqidel",
    "reqideny",
    "reqipass",
    "reqirep",
    "reqitarpit",
    "reqpass",
    "reqrep",
    "reqtarpit",
    "rspadd",
    "rspdel",
    "rspdeny",
    "rspidel",
    "rspideny",
    "rspirep",
    "rsprep",
    "stats",
];

/// First words that both take, but each of two sections needs its own.
const ONCE: &[&str] = &["guid", "id", "stick-table"];

/// Words after `option` that only a frontend takes.
const OPTION_FRONT: &[&str] = &[
    "accept-invalid-http-request",
    "accept-unsafe-violations-in-http-request",
    "clitcpka",
    "contstats",
    "disable-h2-upgrade",
    "dontlog-normal",
    "dontlognull",
    "h1-case-adjust-bogus-client",
    "http-drop-request-trailers",
    "http-ignore-probes",
    "http-use-proxy-header",
    "httplog",
    "httpslog",
    "idle-close-on-response",
    "log-separate-errors",
    "logasap",
    "socket-stats",
    "tcp-smart-accept",
    "tcplog",
];

/// Words after `option` that only a backend takes.
const OPTION_BACK: &[&str] = &[
    "abortonclose",
    "accept-invalid-http-response",
    "accept-unsafe-violations-in-http-response",
    "allbackups",
    "checkcache",
    "external-check",
    "forwarded",
    "h1-case-adjust-bogus-server",
    "http-drop-response-trailers",
    "http-pretend-keepalive",
    "httpchk",
    "ldap-check",
    "log-health-checks",
    "lb-agent-chk",
    "mysql-check",
    "persist",
    "pgsql-check",
    "prefer-last-server",
    "redis-check",
    "redispatch",
    "smtpchk",
    "spop-check",
    "srvtcpka",
    "ssl-hello-chk",
    "tcp-check",
    "tcp-smart-connect",
    "transparent",
];

/// Words after `option` that both take.
const OPTION_BOTH: &[&str] = &[
    "forceclose",
    "forwardfor",
    "http-buffer-request",
    "http-keep-alive",
    "http-no-delay",
    "http-proxy",
    "http_proxy",
    "http-restrict-req-hdr-names",
    "http-server-close",
    "http-tunnel",
    "httpclose",
    "independent-streams",
    "independant-streams",
    "nolinger",
    "originalto",
    "splice-auto",
    "splice-request",
    "splice-response",
    "tcpka",
];

/// Words after `timeout`.
const TIMEOUT_FRONT: &[&str] = &["client", "client-fin", "client-hs", "clitimeout"];
const TIMEOUT_BACK: &[&str] = &["check", "connect", "contimeout", "queue", "server", "server-fin", "srvtimeout", "tunnel"];
const TIMEOUT_BOTH: &[&str] = &["http-keep-alive", "http-request", "tarpit"];

/// Where `line` may stand.
pub(crate) fn side(line: &str) -> Side {
    let mut words = line.split_whitespace().peekable();
    if let Some(&("no" | "default")) = words.peek() {
        words.next();
    }
    let first = words.next().unwrap_or_default();
    let second = words.next().unwrap_or_default();
    match first {
        "option" => among(second, OPTION_FRONT, OPTION_BACK, OPTION_BOTH),
        "timeout" => among(second, TIMEOUT_FRONT, TIMEOUT_BACK, TIMEOUT_BOTH),
        "tcp-request" => among(second, &["connection", "session"], &[], &["content", "inspect-delay"]),
        _ if SECTIONS.contains(&first) => Side::Section,
        _ if ONCE.contains(&first) => Side::Once,
        _ => among(first, FRONT, BACK, BOTH),
    }
}

fn among(word: &str, front: &[&str], back: &[&str], both: &[&str]) -> Side {
    if both.contains(&word) {
        Side::Both
    } else if front.contains(&word) {
        Side::Front
    } else if back.contains(&word) {
        Side::Back
    } else {
        Side::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_their_place() {
        for (line, want) in [
            ("mode http", Side::Both),
            ("  option   httpchk GET /", Side::Back),
            ("no option dontlognull", Side::Front),
            ("option idle-close-on-response", Side::Front),
            ("timeout client 1m", Side::Front),
            ("timeout server 1m", Side::Back),
            ("timeout http-request 1m", Side::Both),
            ("log-format %ci", Side::Front),
            ("log global", Side::Both),
            ("tcp-request connection reject", Side::Front),
            ("tcp-request content accept", Side::Both),
            ("http-reuse safe", Side::Back),
            ("id 7", Side::Once),
            ("backend x", Side::Section),
            ("option brand-new", Side::Unknown),
            ("balanced", Side::Unknown),
            ("", Side::Unknown),
        ] {
            assert_eq!(side(line), want, "{line:?}");
        }
    }

    #[test]
    fn no_keyword_is_on_two_tables() {
        for tables in [
            [FRONT, BACK, BOTH, ONCE, SECTIONS].as_slice(),
            &[OPTION_FRONT, OPTION_BACK, OPTION_BOTH],
            &[TIMEOUT_FRONT, TIMEOUT_BACK, TIMEOUT_BOTH],
        ] {
            let mut all: Vec<_> = tables.concat();
            let n = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), n);
        }
    }
}
