//! Every setting of lobbyd, as data: names, default, what it means.
//!
//! Flags, environment, file, `--help`, `--print-config` and docs/configuration.md are all made from this one table, so
//! they cannot disagree. The environment variable is the name (LOBBY_NAME works too and wins), the flag is the name in
//! lower case with dashes, the key in the file is `group.key`.
//! Not here: what values mean to the program (`config`).

mod dns;

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The environment variable.
    pub(crate) name: &'static str,
    /// Table and key in the file.
    pub(crate) path: &'static str,
    /// What to write for the value in help texts.
    pub(crate) value: &'static str,
    /// The default as text; empty when there is none.
    pub(crate) default: &'static str,
    /// What it means, one sentence or two.
    pub(crate) help: &'static str,
    /// How its value may be shown and whether it does something yet.
    pub(crate) kind: Kind,
}

/// What to mind about a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordinary setting.
    Plain,
    /// Never shown.
    Secret,
    /// A list of addresses, each of which may have a password before its `@`.
    Url,
    /// One item a line, because an item may hold commas. The flag may be given several times.
    Lines,
}

impl Kind {
    pub(crate) const fn is_secret(self) -> bool {
        matches!(self, Self::Secret)
    }

    /// What stands between the items of a list when it is one text.
    pub(crate) const fn separator(self) -> &'static str {
        if matches!(self, Self::Lines) { "\n" } else { "," }
    }
}

impl Setting {
    /// The long flag, without dashes in front.
    pub(crate) fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// The table in the file.
    pub(crate) fn group(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(group, _)| group)
    }

    /// The key in its table.
    pub(crate) fn key(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, key)| key)
    }
}

/// The setting of that name.
pub(crate) fn by_name(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Groups in the order of help and documentation, with their headings.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("agent", "This agent"),
    ("labels", "Labels"),
    ("http", "HTTP"),
    ("consul", "Consul"),
    ("tls", "HTTPS and named tokens"),
    ("checks", "Services and checks"),
    ("exchange", "Exchanges"),
    ("gossip", "Gossip"),
    ("nats", "NATS"),
    ("redis", "Redis"),
    ("callback", "Callback"),
    ("events", "Event handlers"),
    ("templates", "Templates"),
    ("prometheus", "Prometheus"),
    ("log", "Log"),
    ("hold", "Hold"),
    ("dns", "DNS"),
];

const fn plain(
    name: &'static str,
    path: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, path, value, default, help, kind: Kind::Plain }
}

const fn secret(name: &'static str, path: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, path, value, default: "", help, kind: Kind::Secret }
}

/// Every setting, grouped.
pub(crate) const SETTINGS: &[Setting] = &[
    plain(
        "HOSTNAME",
        "agent.hostname",
        "NAME",
        "",
        "Name of this node; without it the machine's host name, followed while the daemon runs.",
    ),
    plain("REGISTER", "agent.register", "BOOL", "true", "Whether others list this node. If false, the daemon only listens."),
    plain("CLUSTER", "agent.cluster", "NAME", "lobby", "Cluster name; packets of other clusters are dropped and counted."),
    plain("DATACENTER", "agent.datacenter", "NAME", "dc1", "Data centre of this node."),
    plain(
        "DATA_DIR",
        "agent.data_dir",
        "FOLDER",
        "",
        "Where identity and generation are kept. Default: /var/lib/lobby if it can be written, else $XDG_STATE_HOME/lobby or ~/.local/state/lobby, a numbered folder below it for each daemon of the machine.",
    ),
    plain("WARM_MAX", "agent.warm_max", "SECONDS", "60", "How long an exchange may take to be warm before it stops counting."),
    plain(
        "AGENT_GRACE",
        "agent.grace",
        "SECONDS",
        "10",
        "How long a node stays listed whose agent restarts, or is gone while its host lives.",
    ),
    plain("LABELS", "labels.labels", "LIST", "", "Labels of this node, separated by commas."),
    plain(
        "LABELS_PATH",
        "labels.path",
        "FOLDER",
        "/etc/lobby/labels",
        "Folder of label files, one label a line; followed while the daemon runs.",
    ),
    plain(
        "RUNTIME_LABELS_FILENAME",
        "labels.runtime_filename",
        "NAME",
        "_runtime",
        "File in LABELS_PATH that keeps the labels added through the API.",
    ),
    plain("HOST", "http.host", "IP", "127.0.0.1", "Address that the API listens on."),
    plain("PORT", "http.port", "PORT", "1313", "Port that the API listens on; 0 takes a free one."),
    plain("SOCKET", "http.socket", "PATH[:MODE]", "", "Unix socket for the API, with its mode in octal (default 0660)."),
    secret("TOKEN", "http.token", "TEXT", "Token that API requests must carry, and that may do everything; empty: none."),
    plain("DISABLE_API", "http.disable_api", "BOOL", "false", "Serves only /metrics and /v1/health."),
    plain(
        "ALLOWED_HOSTS",
        "http.allowed_hosts",
        "LIST",
        "",
        "Host names accepted in requests besides our own while listening on loopback.",
    ),
    plain(
        "OPERATOR_LOOPBACK",
        "http.operator_loopback",
        "BOOL",
        "true",
        "Whether operator verbs are allowed from loopback while neither TOKEN nor TOKENS_FILE is set.",
    ),
    plain(
        "CONSUL_ADDR",
        "consul.addr",
        "IP:PORT",
        "",
        "A second listener of the same API, where Consul's clients look for it: 127.0.0.1:8500; empty or off: none.",
    ),
    plain(
        "TLS_CERT",
        "tls.cert",
        "FILE",
        "",
        "Certificate of the API with those between it and its authority, PEM: HOST:PORT and CONSUL_ADDR then speak HTTPS. Read again on a reload.",
    ),
    plain("TLS_KEY", "tls.key", "FILE", "", "Its key, PEM. Read again on a reload."),
    plain(
        "TLS_CLIENT_CA",
        "tls.client_ca",
        "FILE",
        "",
        "Authorities, PEM: clients must then show a certificate of one of them. Read again on a reload.",
    ),
    plain(
        "TOKENS_FILE",
        "tls.tokens_file",
        "FILE",
        "",
        "Named tokens and what each may do, beside TOKEN, which may do everything. Read again on a reload.",
    ),
    plain("ENABLE_SCRIPT_CHECKS", "checks.enable_script_checks", "BOOL", "false", "Whether checks may run programs."),
    plain(
        "SERVICES_PATH",
        "checks.services_path",
        "FOLDER",
        "/etc/lobby/services.d",
        "Folder of service definitions, followed while the daemon runs.",
    ),
    plain(
        "DRIVER",
        "exchange.driver",
        "LIST",
        "",
        "Exchanges, several at once: gossip, nats, redis. Default: nats if NATS_URL is set, else gossip.",
    ),
    plain("KEEP_ALIVE", "exchange.keep_alive", "SECONDS", "5", "How often the record is sent to a broker when nothing changes."),
    plain("TTL", "exchange.ttl", "SECONDS", "30", "How long a node of a broker stays without being heard of."),
    plain(
        "CLEAN_EVERY",
        "exchange.clean_every",
        "SECONDS",
        "15",
        "Kept for old unit files: nodes expire at their deadline, not at a sweep.",
    ),
    secret(
        "EXCHANGE_KEY",
        "exchange.key",
        "LIST",
        "Keys, base64 of 32 bytes, or an absolute path of a file that holds them; the first one seals packets to NATS and Redis, all open. Packets without a good seal are then ignored. Read again on a reload.",
    ),
    plain(
        "EXCHANGE_UNSIGNED",
        "exchange.unsigned",
        "BOOL",
        "false",
        "With EXCHANGE_KEY: takes packets without a seal all the same, while a fleet gets its first key or has Go daemons. Read again on a reload.",
    ),
    plain(
        "GOSSIP_ADDR",
        "gossip.addr",
        "IP:PORT",
        "127.0.0.1:1314",
        "Address of gossip, UDP and TCP. Not loopback: needs GOSSIP_KEY or GOSSIP_INSECURE.",
    ),
    plain(
        "GOSSIP_ADVERTISE",
        "gossip.advertise",
        "IP[:PORT]",
        "",
        "Address that peers use; without it the one that routes outward.",
    ),
    plain(
        "GOSSIP_JOIN",
        "gossip.join",
        "LIST",
        "",
        "Agents to join, tried for ever: host:port, DNS names with all their addresses, or SRV names such as _lobby._tcp.example.com.",
    ),
    plain(
        "GOSSIP_BEACON",
        "gossip.beacon",
        "GROUP:PORT",
        "",
        "Multicast group on which agents of one network find each other without GOSSIP_JOIN, such as 239.255.13.14:1315 or [ff02::1314]:1315; empty or off: none.",
    ),
    secret(
        "GOSSIP_KEY",
        "gossip.key",
        "LIST",
        "Keys, base64 of 32 bytes; the first one encrypts, all decrypt (lobbyctl keygen).",
    ),
    plain(
        "GOSSIP_INSECURE",
        "gossip.insecure",
        "BOOL",
        "false",
        "Allows gossip without a key on an address that is not loopback.",
    ),
    plain("GOSSIP_PROFILE", "gossip.profile", "NAME", "lan", "Timing: lan, wan or fast."),
    Setting {
        name: "NATS_URL",
        path: "nats.url",
        value: "LIST",
        default: "",
        help: "NATS servers: nats://host:4222, tls://…, with user:password@ or token@.",
        kind: Kind::Url,
    },
    plain("NATS_DISCOVERY_CHANNEL", "nats.discovery_channel", "SUBJECT", "lobby.discovery", "Subject of the discovery packets."),
    plain("NATS_USER", "nats.user", "TEXT", "", "User name."),
    secret("NATS_PASSWORD", "nats.password", "TEXT", "Password."),
    secret("NATS_TOKEN", "nats.token", "TEXT", "Token."),
    plain("NATS_CREDS", "nats.creds", "FILE", "", "Credentials file."),
    secret("NATS_NKEY", "nats.nkey", "SEED", "An nkey seed, or a file that holds one."),
    plain("NATS_CA", "nats.ca", "FILE", "", "Certificates that the server's is checked against, instead of the system's."),
    plain("NATS_CERT", "nats.cert", "FILE", "", "Client certificate."),
    plain("NATS_KEY", "nats.key", "FILE", "", "Key of the client certificate."),
    plain("REDIS_HOST", "redis.host", "HOST", "127.0.0.1", "Redis server."),
    plain("REDIS_PORT", "redis.port", "PORT", "6379", "Its port."),
    plain("REDIS_DB", "redis.db", "NUMBER", "0", "Its database."),
    plain("REDIS_CHANNEL", "redis.channel", "NAME", "lobby:discovery", "Channel of the discovery packets."),
    plain("REDIS_USER", "redis.user", "TEXT", "", "User name."),
    secret("REDIS_PASSWORD", "redis.password", "TEXT", "Password."),
    plain("REDIS_TLS", "redis.tls", "BOOL", "false", "Whether to connect with TLS."),
    plain("REDIS_CA", "redis.ca", "FILE", "", "Certificates that the server's is checked against, instead of the system's."),
    plain("REDIS_CERT", "redis.cert", "FILE", "", "Client certificate."),
    plain("REDIS_KEY", "redis.key", "FILE", "", "Key of the client certificate."),
    plain(
        "CALLBACK",
        "callback.command",
        "COMMAND",
        "",
        "Program and arguments, split at blanks, run on changes with all packets on stdin.",
    ),
    plain("CALLBACK_COOLDOWN", "callback.cooldown", "SECONDS", "15", "Least time between the end of a run and the next."),
    plain("CALLBACK_FIRST_RUN_DELAY", "callback.first_run_delay", "SECONDS", "30", "Least time from the start to the first run."),
    plain(
        "CALLBACK_TIMEOUT",
        "callback.timeout",
        "SECONDS",
        "60",
        "A run that takes longer is killed with everything it started.",
    ),
    Setting {
        name: "ON",
        path: "events.on",
        value: "SPECS=COMMAND",
        default: "",
        help: "Runs a program on events: member-failed,user:deploy=/usr/local/bin/notify --all. The flag several times, the variable one a line, the file a list.",
        kind: Kind::Lines,
    },
    plain("ON_COOLDOWN", "events.cooldown", "SECONDS", "0", "Least time between the end of a run of one handler and its next."),
    plain("ON_FIRST_RUN_DELAY", "events.first_run_delay", "SECONDS", "0", "Least time from the start to the first run."),
    plain("ON_TIMEOUT", "events.timeout", "SECONDS", "60", "A run that takes longer is killed with everything it started."),
    plain(
        "TEMPLATE_KEYS_DIR",
        "templates.keys_dir",
        "FOLDER",
        "",
        "Folder whose files are the keys that templates read, until there is a key/value store.",
    ),
    plain(
        "TEMPLATE_WAIT",
        "templates.wait",
        "MIN[:MAX]",
        "",
        "How long changes are gathered before a file is written again, such as 2s:10s; a template's own wait wins.",
    ),
    plain("TEMPLATE_RATE", "templates.rate", "NUMBER", "100", "Evaluations of templates a second, at most; more wait."),
    plain(
        "TEMPLATE_STAGGER",
        "templates.stagger",
        "COUNT[:SLOT]",
        "",
        "So many agents of the fleet run their commands at once, each within its slot of 30s; empty or off: all.",
    ),
    plain("NODE_EXPORTER_PORT", "prometheus.node_exporter_port", "PORT", "9100", "Port of targets whose labels name none."),
    plain("LOG", "log.filter", "FILTER", "info", "What is logged: error, warn, info, debug, trace, or a filter by module."),
    plain("LOG_FORMAT", "log.format", "NAME", "text", "text or json."),
    plain(
        "HOLD_THRESHOLD",
        "hold.threshold",
        "PERCENT",
        "50",
        "When more than this share of the nodes of an exchange, and at least three, fall silent at once, their services stay for a while; off never.",
    ),
    plain(
        "HOLD_WINDOW",
        "hold.window",
        "SECONDS",
        "10",
        "Within what time; half a second for each node of a large gossip fleet.",
    ),
    plain("HOLD_MAX", "hold.max", "SECONDS", "60", "How long a node is held at most."),
    dns::ADDR,
    dns::DOMAINS,
    dns::FORWARD,
    dns::TTL,
    dns::SERVICE_TTL,
    dns::NEGATIVE_TTL,
    dns::ONLY_PASSING,
    dns::NEAR,
    dns::TRUNCATE,
    dns::NODE_TXT,
    dns::A_RECORD_LIMIT,
    dns::RATE,
];
