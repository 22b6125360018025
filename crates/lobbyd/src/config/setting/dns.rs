//! The settings of DNS, in the order in which they are shown.
//!
//! Not here: what their values mean (`config::dns`).

use super::{Setting, plain};

pub(super) const ADDR: Setting = plain(
    "DNS_ADDR",
    "dns.addr",
    "IP:PORT",
    "127.0.0.1:8600",
    "Address of DNS, UDP and TCP, or off. If the default is taken, DNS is off and says so once.",
);
pub(super) const DOMAINS: Setting = plain(
    "DNS_DOMAINS",
    "dns.domains",
    "LIST",
    "lobby,consul",
    "Domains that are answered; the first one stands in the answers to reverse questions.",
);
pub(super) const FORWARD: Setting = plain(
    "DNS_FORWARD",
    "dns.forward",
    "LIST",
    "",
    "Servers for all other names, asked one after the other: IP or IP:PORT. Without it other names are refused.",
);
pub(super) const TTL: Setting = plain("DNS_TTL", "dns.ttl", "SECONDS", "0", "How long answers may be kept.");
pub(super) const SERVICE_TTL: Setting = plain(
    "DNS_SERVICE_TTL",
    "dns.service_ttl",
    "LIST",
    "",
    "The same for services: NAME=SECONDS; a name may end with a star; the most exact rule counts.",
);
pub(super) const NEGATIVE_TTL: Setting =
    plain("DNS_NEGATIVE_TTL", "dns.negative_ttl", "SECONDS", "1", "How long it may be kept that there is no such name.");
pub(super) const ONLY_PASSING: Setting =
    plain("DNS_ONLY_PASSING", "dns.only_passing", "BOOL", "false", "Whether instances with a warning are left out.");
pub(super) const NEAR: Setting = plain(
    "DNS_NEAR",
    "dns.near",
    "BOOL",
    "false",
    "Whether the instances nearest to the member that asks, or else to this agent, come first, by round trips that gossip measures; else the order changes with \
     each answer.",
);
pub(super) const TRUNCATE: Setting = plain(
    "DNS_TRUNCATE",
    "dns.truncate",
    "WORD",
    "tell",
    "When not all answers fit into a datagram: tell the client, which asks again over TCP, or cut silently as Consul does.",
);
pub(super) const NODE_TXT: Setting = plain(
    "DNS_NODE_TXT",
    "dns.node_txt",
    "BOOL",
    "false",
    "Whether SRV answers bring labels and meta of the nodes along as TXT, as Consul does.",
);
pub(super) const A_RECORD_LIMIT: Setting = plain(
    "DNS_A_RECORD_LIMIT",
    "dns.a_record_limit",
    "NUMBER",
    "0",
    "Most addresses in one answer, over UDP and TCP; which ones changes, or with DNS_NEAR the nearest; 0: as many as fit.",
);
pub(super) const RATE: Setting = plain(
    "DNS_RATE",
    "dns.rate",
    "NUMBER",
    "5000",
    "Datagrams a second that the clients of one network get (/24, /56), our own machine excepted; 0: any number.",
);
