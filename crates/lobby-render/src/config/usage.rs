//! Every flag, as data: its name, what it takes, the key that it sets, what it means. `-h` is made of the same table.
//!
//! Not here: how a command line is read (`flags`).

use std::fmt::Write as _;

/// One flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Without dashes.
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// The key that it sets, with dots; several with a blank between them.
    pub(super) path: &'static str,
    /// Empty: an old spelling, or without effect; not shown.
    pub(super) help: &'static str,
}

/// What comes after a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, or `=false`.
    Nothing,
    /// A value, called this in `-h`.
    Value(&'static str),
    /// A file or folder.
    Config,
    /// `SOURCE[:DESTINATION[:COMMAND]]`
    Template,
}

const fn takes(name: &'static str, value: &'static str, path: &'static str, help: &'static str) -> Flag {
    Flag { name, takes: Takes::Value(value), path, help }
}

const fn is(name: &'static str, path: &'static str, help: &'static str) -> Flag {
    Flag { name, takes: Takes::Nothing, path, help }
}

/// The flags that do something.
pub(super) const FLAGS: &[Flag] = &[
    Flag {
        name: "template",
        takes: Takes::Template,
        path: "",
        help: "Render SOURCE to DESTINATION, then run COMMAND if the file changed; may be repeated.",
    },
    Flag {
        name: "config",
        takes: Takes::Config,
        path: "",
        help: "Read a file (HCL, JSON, TOML) or every file below a folder; may be repeated, later ones win.",
    },
    is("once", "once", "Render everything once, then end."),
    is("dry", "dry", "Print what would be written; write and run nothing."),
    is("diff", "diff", "With -dry, also print how each file would change."),
    is("parse-only", "parse_only", "Parse the templates, then end."),
    takes("wait", "MIN[:MAX]", "wait", "Gather changes until none came for MIN, at most for MAX (4 × MIN)."),
    takes("exec", "COMMAND", "exec", "Run a program while the files are there, and tell it of changes."),
    takes("exec-kill-signal", "SIGNAL", "exec.kill_signal", "Ends the program (SIGINT)."),
    takes("exec-kill-timeout", "DURATION", "exec.kill_timeout", "Killed by force after this (30s)."),
    takes("exec-reload-signal", "SIGNAL", "exec.reload_signal", "Tells the program of changes; without it, it is restarted."),
    takes("exec-splay", "DURATION", "exec.splay", "A random time up to this before the program is told or ended."),
    is("exec-env-pristine", "exec.env.pristine", "The program inherits no environment."),
    takes("exec-env-custom", "NAME=VALUE", "exec.env.custom", "Add to the program's environment; may be repeated."),
    takes("exec-env-allowlist", "GLOB", "exec.env.allowlist", "Only these variables are inherited; may be repeated."),
    takes("exec-env-denylist", "GLOB", "exec.env.denylist", "These variables are not inherited; may be repeated."),
    takes("kill-signal", "SIGNAL", "kill_signal", "Ends this process (SIGINT)."),
    takes("reload-signal", "SIGNAL", "reload_signal", "Reads the configuration again (SIGHUP)."),
    takes("pid-file", "PATH", "pid_file", "Holds the process' number."),
    takes("log-level", "LEVEL", "log_level", "trace, debug, info, warn or err (warn)."),
    takes("max-stale", "DURATION", "max_stale", "How old an answer may be (2s)."),
    takes("block-query-wait", "DURATION", "block_query_wait", "How long a question waits for a change (60s)."),
    takes("default-left-delimiter", "TEXT", "default_delimiters.left", "Begins an action in templates ({{)."),
    takes("default-right-delimiter", "TEXT", "default_delimiters.right", "Ends an action in templates (}})."),
    is("template-error-fatal", "template_error_fatal", "Whether an error in a template ends the process (true)."),
    is("err-on-failed-lookup", "err_on_failed_lookup", "An error, and a key that is not there, end the process at once."),
    takes("consul-addr", "ADDRESS", "consul.address", "Ask this agent instead of the one beside us."),
    takes("consul-namespace", "NAME", "consul.namespace", "Sent along with questions."),
    takes("consul-auth", "USER[:PASSWORD]", "consul.auth", "Basic authentication."),
    takes("consul-token", "TOKEN", "consul.token", "Sent along with questions."),
    takes("consul-token-file", "PATH", "consul.token_file", "Holds the token."),
    is("consul-retry", "consul.retry.enabled", "Ask again after failures (true)."),
    takes("consul-retry-attempts", "NUMBER", "consul.retry.attempts", "How often; 0: without end (12)."),
    takes("consul-retry-backoff", "DURATION", "consul.retry.backoff", "Before the first attempt, doubled with each (250ms)."),
    takes("consul-retry-max-backoff", "DURATION", "consul.retry.max_backoff", "Never more than this (1m)."),
    is("consul-ssl", "consul.ssl.enabled", "Use TLS."),
    is("consul-ssl-verify", "consul.ssl.verify", "The agent's certificate has to be right (true)."),
    takes("consul-ssl-cert", "PATH", "consul.ssl.cert", "Our own certificate."),
    takes("consul-ssl-key", "PATH", "consul.ssl.key", "Its key."),
    takes("consul-ssl-ca-cert", "PATH", "consul.ssl.ca_cert", "Whom we trust."),
    takes("consul-ssl-ca-path", "PATH", "consul.ssl.ca_path", "A folder of those."),
    takes("consul-ssl-server-name", "NAME", "consul.ssl.server_name", "Who the agent has to be."),
    takes("keys-dir", "PATH", "keys_dir", "A folder whose files are the keys."),
    takes("rate", "NUMBER", "rate", "At most so many renderings a second (100)."),
    takes("stagger-at-once", "NUMBER", "stagger.at_once", "So many agents of the fleet run a command at once."),
    takes("stagger-slot", "DURATION", "stagger.slot", "How long one agent's command may take (30s)."),
    takes("retry", "DURATION", "consul.retry.backoff consul.retry.max_backoff", ""),
    takes("consul", "ADDRESS", "consul", ""),
];

/// Old names of flags above.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("exec-env-whitelist", "exec-env-allowlist"),
    ("exec-env-blacklist", "exec-env-denylist"),
    ("auth", "consul-auth"),
    ("token", "consul-token"),
    ("ssl", "consul-ssl"),
    ("ssl-verify", "consul-ssl-verify"),
    ("ssl-cert", "consul-ssl-cert"),
    ("ssl-key", "consul-ssl-key"),
    ("ssl-ca-cert", "consul-ssl-ca-cert"),
];

const VALUE: Takes = Takes::Value("");

/// Flags that are accepted with the warning of the block that they belong to.
pub(super) const IGNORED: &[(Takes, &str, &[&str])] = &[
    (Takes::Nothing, "syslog.enabled", &["syslog"]),
    (VALUE, "syslog.name", &["syslog-facility", "syslog-name"]),
    (VALUE, "log_file.path", &["log-file", "log-rotate-bytes", "log-rotate-duration", "log-rotate-max-files"]),
    (Takes::Nothing, "deduplicate.enabled", &["dedup"]),
    (VALUE, "dump_signal", &["dump-signal"]),
    (Takes::Nothing, "consul.transport.keep", &["consul-transport-disable-keep-alives"]),
    (
        VALUE,
        "consul.transport.time",
        &[
            "consul-transport-dial-keep-alive",
            "consul-transport-dial-timeout",
            "consul-transport-max-conns-per-host",
            "consul-transport-max-idle-conns-per-host",
            "consul-transport-tls-handshake-timeout",
        ],
    ),
    (
        Takes::Nothing,
        "vault.enabled",
        &[
            "vault-renew-token",
            "vault-retry",
            "vault-ssl",
            "vault-ssl-verify",
            "vault-transport-disable-keep-alives",
            "vault-unwrap-token",
        ],
    ),
    (
        VALUE,
        "vault.address",
        &[
            "vault-addr",
            "vault-agent-token-file",
            "vault-default-lease-duration",
            "vault-k8s-auth-role-name",
            "vault-k8s-service-account-token",
            "vault-k8s-service-account-token-path",
            "vault-k8s-service-mount-path",
            "vault-lease-renewal-threshold",
            "vault-namespace",
            "vault-retry-attempts",
            "vault-retry-backoff",
            "vault-retry-max-backoff",
            "vault-ssl-ca-cert",
            "vault-ssl-ca-path",
            "vault-ssl-cert",
            "vault-ssl-key",
            "vault-ssl-server-name",
            "vault-token",
            "vault-transport-dial-keep-alive",
            "vault-transport-dial-timeout",
            "vault-transport-max-conns-per-host",
            "vault-transport-max-idle-conns-per-host",
            "vault-transport-tls-handshake-timeout",
        ],
    ),
    (Takes::Nothing, "nomad.enabled", &["nomad-ssl", "nomad-ssl-verify", "nomad-transport-disable-keep-alives"]),
    (
        VALUE,
        "nomad.address",
        &[
            "nomad-addr",
            "nomad-auth-password",
            "nomad-auth-username",
            "nomad-namespace",
            "nomad-ssl-ca-cert",
            "nomad-ssl-ca-path",
            "nomad-ssl-cert",
            "nomad-ssl-key",
            "nomad-ssl-server-name",
            "nomad-token",
            "nomad-transport-dial-keep-alive",
            "nomad-transport-dial-timeout",
            "nomad-transport-max-conns-per-host",
            "nomad-transport-max-idle-conns-per-host",
            "nomad-transport-tls-handshake-timeout",
        ],
    ),
];

/// What `-h` prints.
pub(super) fn text(program: &str) -> String {
    let mut out = format!(
        "Usage: {program} [flags]\n\nRenders templates from the catalog, again whenever it changes, and runs \
         commands.\n\nFlags:\n"
    );
    for flag in FLAGS.iter().filter(|flag| !flag.help.is_empty()) {
        let value = match flag.takes {
            Takes::Nothing => "",
            Takes::Value(value) => value,
            Takes::Config => "PATH",
            Takes::Template => "SOURCE[:DESTINATION[:COMMAND]]",
        };
        let equals = if value.is_empty() { "" } else { "=" };
        let _ = writeln!(out, "  -{}{equals}{value}\n      {}", flag.name, flag.help);
    }
    out.push_str(
        "  -h\n      Print this.\n  -v\n      Print the version.\n\n\
         Flags of consul-template for Vault, Nomad, syslog, log files and connections are accepted without effect.\n",
    );
    out
}
