//! What a check looks at: its kind with the kind's own fields, and which of their texts are accepted.
//!
//! Texts end up in requests, command lines and tables of other programs, so what could break out of a line there (line
//! ends, NUL) is refused here, once. Not here: intervals and thresholds (`spec`), carrying a check out (the crate `lobby`).

use std::time::Duration;

use crate::limits::beginning;

/// Most bytes that all texts of one check may have together: enough for a body to post or a script on the command line.
pub const TEXT_BYTES: usize = 32 * 1024;

/// Most header lines or arguments of one check; nobody is known to use more than a dozen.
pub const ITEMS: usize = 64;

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The program reports by itself, at least once per `ttl`.
    Ttl {
        /// How long a report is valid. Above zero, without a lower bound.
        ttl: Duration,
    },
    /// An HTTP request.
    Http(Http),
    /// A TCP connection, with a TLS handshake if `tls` is there.
    Tcp {
        /// `host:port`.
        address: String,
        /// How to do TLS; plain when absent.
        tls: Option<Tls>,
    },
    /// A datagram that must not be refused.
    Udp {
        /// `host:port`.
        address: String,
    },
    /// The standard health service of gRPC.
    Grpc {
        /// `host:port` or `host:port/service`.
        target: String,
        /// How to do TLS; plain when absent.
        tls: Option<Tls>,
    },
    /// An HTTP/2 ping.
    H2ping {
        /// `host:port`.
        address: String,
        /// How to do TLS; plain when absent.
        tls: Option<Tls>,
    },
    /// A command; its exit code is the result.
    Script {
        /// Program and arguments.
        args: Vec<String>,
    },
    /// A command inside of a container.
    Docker {
        /// Id or name of the container.
        container: String,
        /// The shell to run it with; the container's own when absent.
        shell: Option<String>,
        /// Program and arguments.
        args: Vec<String>,
    },
    /// The worst status of another instance, or of a node's own checks.
    Alias {
        /// Id of the instance.
        service: Option<String>,
        /// Name of the node; ours when absent.
        node: Option<String>,
    },
    /// A unit of the service manager.
    OsService {
        /// Name of the unit.
        name: String,
    },
    /// A process of this host: passing as long as it lives.
    Process {
        /// Its process id.
        pid: u32,
    },
    /// An open connection of the one who registered: passing as long as it is open.
    Hold,
    /// An operator has taken the instance or node out: always critical. Made by us, never by a registration.
    Maintenance,
}

/// An HTTP request and how to make it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// `http://…` or `https://…`.
    pub url: String,
    /// The method; GET when empty.
    pub method: String,
    /// Header lines, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// Whether a redirect is the answer instead of being followed.
    pub disable_redirects: bool,
    /// How to do TLS, for `https://` only.
    pub tls: Tls,
}

/// How to do TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The name to ask for and to verify; that of the address when absent.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub skip_verify: bool,
}

/// A text of a kind is not accepted. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// A text does not have the form of its field.
    #[error("{field} must be {accepted}: {value:?}")]
    Form {
        /// The field, as Consul's documents call it.
        field: &'static str,
        /// Its value, or its beginning.
        value: String,
        /// What would be accepted.
        accepted: &'static str,
    },
    /// A list has more than [`ITEMS`] entries.
    #[error("{field} may have at most {ITEMS} entries: {count}")]
    TooMany {
        /// The field.
        field: &'static str,
        /// How many it has.
        count: usize,
    },
    /// All texts together have more than [`TEXT_BYTES`].
    #[error("all texts of a check may have at most {TEXT_BYTES} bytes: {bytes}")]
    TooLong {
        /// How many they have.
        bytes: usize,
    },
}

impl Kind {
    /// The word for it in Consul's field `Type`, and in ours.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ttl { .. } => "ttl",
            Self::Http(_) => "http",
            Self::Tcp { .. } => "tcp",
            Self::Udp { .. } => "udp",
            Self::Grpc { .. } => "grpc",
            Self::H2ping { .. } => "h2ping",
            Self::Script { .. } => "script",
            Self::Docker { .. } => "docker",
            Self::Alias { .. } => "alias",
            Self::OsService { .. } => "os_service",
            Self::Process { .. } => "process",
            Self::Hold => "hold",
            Self::Maintenance => "maintenance",
        }
    }

    /// Whether somebody has to run it again and again: it needs an interval, and thresholds and flap detection apply.
    pub const fn is_run(&self) -> bool {
        use Kind::*;
        matches!(
            self,
            Http(_) | Tcp { .. } | Udp { .. } | Grpc { .. } | H2ping { .. } | Script { .. } | Docker { .. } | OsService { .. }
        )
    }

    /// Whether all of its fields are accepted.
    pub(super) fn validate(&self) -> Result<(), KindError> {
        match self {
            Self::Ttl { .. } | Self::Hold | Self::Maintenance => {}
            Self::Http(http) => http.validate()?,
            Self::Tcp { address, tls } => {
                check_address("TCP", address)?;
                check_tls(tls.as_ref())?;
            }
            Self::Udp { address } => check_address("UDP", address)?,
            Self::Grpc { target, tls } => {
                check_address("GRPC", target.split_once('/').map_or(target, |(address, _)| address))?;
                check("GRPC", target, "host:port/service", is_word)?;
                check_tls(tls.as_ref())?;
            }
            Self::H2ping { address, tls } => {
                check_address("H2PING", address)?;
                check_tls(tls.as_ref())?;
            }
            Self::Script { args } => check_args(args)?,
            Self::Docker { container, shell, args } => {
                check("DockerContainerID", container, "the id or name of a container", is_word)?;
                check_optional("Shell", shell.as_deref(), "a program")?;
                check_args(args)?;
            }
            Self::Alias { service, node } => {
                check_optional("AliasService", service.as_deref(), "the id of an instance")?;
                check_optional("AliasNode", node.as_deref(), "the name of a node")?;
                let target = service.as_deref().or(node.as_deref()).unwrap_or_default();
                check("AliasService", target, "given, or AliasNode", |target| !target.is_empty())?;
            }
            Self::OsService { name } => check("OSService", name, "the name of a unit", is_word)?,
            Self::Process { pid } => {
                check("PID", &pid.to_string(), "1 to 2147483647", |_| (1..=i32::MAX as u32).contains(pid))?;
            }
        }
        match self.text_bytes() {
            bytes if bytes > TEXT_BYTES => Err(KindError::TooLong { bytes }),
            _ => Ok(()),
        }
    }

    fn text_bytes(&self) -> usize {
        let tls_bytes = |tls: &Tls| tls.server_name.as_ref().map_or(0, String::len);
        let args_bytes = |args: &[String]| args.iter().map(String::len).sum::<usize>();
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::Ttl { .. } | Self::Process { .. } | Self::Hold | Self::Maintenance => 0,
            Self::Http(http) => {
                let headers: usize = http.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                http.url.len() + http.method.len() + headers + http.body.len() + tls_bytes(&http.tls)
            }
            Self::Udp { address: text } | Self::OsService { name: text } => text.len(),
            Self::Tcp { address: text, tls } | Self::Grpc { target: text, tls } | Self::H2ping { address: text, tls } => {
                text.len() + tls.as_ref().map_or(0, tls_bytes)
            }
            Self::Script { args } => args_bytes(args),
            Self::Docker { container, shell, args } => container.len() + optional(shell) + args_bytes(args),
            Self::Alias { service, node } => optional(service) + optional(node),
        }
    }
}

impl Http {
    fn validate(&self) -> Result<(), KindError> {
        let is_url = |url: &str| {
            let rest = ["http://", "https://"].iter().find_map(|scheme| {
                url.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &url[scheme.len()..])
            });
            is_word(url) && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']))
        };
        check("HTTP", &self.url, "a URL that begins with http:// or https:// and a host", is_url)?;
        check("Method", &self.method, "a method such as GET", |method| method.is_empty() || is_token(method))?;
        if self.headers.len() > ITEMS {
            return Err(KindError::TooMany { field: "Header", count: self.headers.len() });
        }
        for (name, value) in &self.headers {
            check("Header", name, "a name of letters, digits and dashes", is_token)?;
            check("Header", value, "a value without control characters", |value| {
                !value.chars().any(|c| c.is_control() && c != '\t')
            })?;
        }
        check_tls(Some(&self.tls))
    }
}

fn check(
    field: &'static str,
    value: &str,
    accepted: &'static str,
    is_accepted: impl FnOnce(&str) -> bool,
) -> Result<(), KindError> {
    if is_accepted(value) {
        return Ok(());
    }
    Err(KindError::Form { field, value: beginning(value).to_owned(), accepted })
}

fn check_optional(field: &'static str, value: Option<&str>, accepted: &'static str) -> Result<(), KindError> {
    value.map_or(Ok(()), |value| check(field, value, accepted, is_word))
}

fn check_tls(tls: Option<&Tls>) -> Result<(), KindError> {
    check_optional("TLSServerName", tls.and_then(|tls| tls.server_name.as_deref()), "a host name")
}

/// `host:port`; an IPv6 address stands in brackets.
fn check_address(field: &'static str, address: &str) -> Result<(), KindError> {
    check(field, address, "host:port with a port from 1 to 65535, IPv6 in brackets", |address| {
        let Some((host, port)) = address.rsplit_once(':') else { return false };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = bare.map_or(!host.contains([':', '[', ']']), |ip| !ip.is_empty());
        let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
        is_port && is_host && is_word(host) && !host.contains('/')
    })
}

fn check_args(args: &[String]) -> Result<(), KindError> {
    if args.len() > ITEMS {
        return Err(KindError::TooMany { field: "Args", count: args.len() });
    }
    check("Args", args.first().map_or("", String::as_str), "a program and its arguments", |program| !program.is_empty())?;
    args.iter().try_for_each(|arg| check("Args", arg, "without NUL", |arg| !arg.contains('\0')))
}

/// Not empty, and without blanks or control characters.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// A token of HTTP (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests;
